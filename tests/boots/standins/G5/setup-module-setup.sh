#!/bin/bash
check() { return 255; }
depends() { echo systemd; }
install() {
    inst_multiple mount mkdir ln cat elemental
    inst_script "$moddir/oem-generator.sh" "$systemdutildir/system-generators/dracut-elemental-oem-generator"
    for unit in elemental-setup-pre-rootfs elemental-setup-rootfs elemental-setup-initramfs; do
        inst_multiple "/etc/systemd/system/$unit.service"
    done
    inst_multiple -o /etc/systemd/system/initrd-root-device.target.wants/elemental-setup-pre-rootfs.service \
        /etc/systemd/system/initrd-root-fs.target.wants/elemental-setup-rootfs.service \
        /etc/systemd/system/initrd.target.wants/elemental-setup-initramfs.service
    [ -e /etc/elemental/config.yaml ] && inst_simple /etc/elemental/config.yaml
    return 0
}
