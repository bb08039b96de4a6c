"""Stand-ins for the cloud-configs of the cOS toolkit: what a boot depends on, in words of our own."""

from __future__ import annotations

__all__ = ["CLOUD_CONFIGS"]

CLOUD_CONFIGS = {
    "00_rootfs.yaml": """\
name: "Layout of the immutable root"
stages:
  rootfs:
    - name: "In recovery the persistent partition is left alone"
      if: '[ -f "/run/cos/recovery_mode" ]'
      environment_file: /run/cos/cos-layout.env
      environment:
        VOLUMES: "LABEL=COS_OEM:/oem"
        OVERLAY: "tmpfs:25%"
    - name: "Where things are mounted"
      if: '[ ! -f "/run/cos/recovery_mode" ]'
      environment_file: /run/cos/cos-layout.env
      environment:
        VOLUMES: "LABEL=COS_OEM:/oem LABEL=COS_PERSISTENT:/usr/local"
        OVERLAY: "tmpfs:25%"
        RW_PATHS: "/etc /root /home /opt /srv /usr/local /var"
""",
    "01_defaults.yaml": """\
stages:
  initramfs:
    - name: "Time zone and keyboard"
      if: '[ ! -f "/run/cos/recovery_mode" ]'
      environment_file: /etc/environment
      environment: {TZ: UTC}
      systemctl:
        enable: [getty@tty1]
  boot:
    - name: Defaults
      hostname: derivative
      sysctl: {debug.exception-trace: "0"}
""",
    "01_upgrade_grub_hook.yaml": """\
stages:
  after-upgrade-chroot:
    - name: "Copy this file to where the machine reads it"
      commands: ["cp /system/oem/01_upgrade_grub_hook.yaml /oem"]
  after-upgrade:
    - name: "Labels for a menu that sets none"
      commands: ["grub2-editenv /run/initramfs/cos-state/grub_oem_env set state_label=COS_STATE"]
""",
    "02_upgrades.yaml": """\
stages:
  initramfs:
    - name: Channel
      files:
        - path: /etc/cos-upgrade-image
          content: CHANNEL_UPGRADES=false
          permissions: 0644
          owner: 0
          group: 0
""",
    "03_branding.yaml": """\
stages:
  initramfs:
    - name: Greeting
      files:
        - path: /etc/issue.d/01_derivative
          content: "Welcome to \\\\S\\n"
          permissions: 0644
          owner: 0
          group: 0
  boot:
    - name: Greeting
      commands: ["echo welcome"]
""",
    "04_accounting.yaml": "stages:\n  initramfs:\n    - name: Accounts\n      users:\n        root:\n          passwd: cos\n",
    "05_network.yaml": """\
stages:
  rootfs.before:
    - name: "What a cloud has for the machine"
      datasource:
        providers: ["aws", "gcp", "openstack", "cdrom"]
        path: /oem
  initramfs:
    - name: "Names by DHCP"
      dns: {nameservers: [8.8.8.8], path: /etc/resolv.conf}
""",
    "06_recovery.yaml": """\
stages:
  rootfs.before:
    - name: "Tell the recovery system"
      if: |
        cat /proc/cmdline | grep -q "COS_RECOVERY" || cat /proc/cmdline | grep -q "COS_SYSTEM"
      files:
        - path: /run/cos/recovery_mode
          content: "1"
          permissions: 0600
          owner: 0
          group: 0
  boot:
    - name: Recovery
      if: '[ -f "/run/cos/recovery_mode" ]'
      hostname: recovery
""",
    "07_live.yaml": """\
stages:
  rootfs.before:
    - name: "Tell the live system"
      if: |
        cat /proc/cmdline | grep -q "CDLABEL" || cat /proc/cmdline | grep -q "rd.cos.disable"
      files:
        - path: /run/cos/live_mode
          content: "1"
          permissions: 0600
          owner: 0
          group: 0
  boot:
    - name: Live
      if: '[ -f "/run/cos/live_mode" ]'
      hostname: live
""",
}
"""The toolkit's cloud-configs, by their names: their structure, conditions and effects are those of the releases, the words are not."""
