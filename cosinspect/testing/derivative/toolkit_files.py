"""Stand-ins for the files of the cOS toolkit, at their true names and with the calls that a boot depends on.

They are written for test images: short, honest about what they would do, and nobody's machine runs them. What differs
between generations is an argument.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from cosinspect.testing.derivative.cloud_config_files import CLOUD_CONFIGS

__all__ = [
    "CLOUD_CONFIGS",
    "DRACUT_CONFIGS",
    "SHARE",
    "STAGES",
    "GenerationName",
    "bootargs",
    "cloud_configs",
    "config_directory",
    "dracut_library",
    "first_hooks",
    "generator",
    "grub_config",
    "hook",
    "loop_script",
    "module_setup",
    "mount_script",
    "setup_unit",
]

GenerationName: TypeAlias = Literal["G0", "G1", "G2", "G3", "G4", "G5", "G6", "kairos", "bootc"]
"""A generation in the words of reports."""

STAGES = ("rootfs", "initramfs", "fs", "boot", "network", "reconcile")
"""What the units run, in the order of a boot."""

SHARE = {"x86_64-efi": "x86_64", "arm64-efi": "aarch64", "riscv64-efi": "riscv64"}
"""The directory below /usr/share/efi that SUSE has shim in, by GRUB's name of the platform."""

DRACUT_CONFIGS = {
    "02-cos-immutable-rootfs.conf": 'add_dracutmodules+=" cos-immutable-rootfs "\n',
    "02-cos-setup-initramfs.conf": (
        'install_items+=" /usr/lib/systemd/system/cos-setup-rootfs.service '
        '/usr/lib/systemd/system/cos-setup-initramfs.service "\n'
        'add_dracutmodules+=" network "\n'
    ),
    "50-cos-initrd.conf": (
        'hostonly="no"\nhostonly_cmdline="no"\ncompress="xz"\nadd_dracutmodules+=" livenet dmsquash-live "\n'
    ),
}


_KERNEL_ARGUMENTS = "panic=5 security=selinux selinux=1 rd.neednet=1 rd.cos.oemlabel=COS_OEM"


def cloud_configs(generation: GenerationName) -> dict[str, str]:
    """Return the cloud-configs of a generation; the second toolkit keeps its modes below /run/elemental."""
    if generation != "G5":
        return dict(CLOUD_CONFIGS)
    found = {name: text.replace("/run/cos/", "/run/elemental/") for name, text in CLOUD_CONFIGS.items()}
    # `elemental mount` has defaults, and no release of it ships a layout for the ordinary boot.
    found["00_rootfs.yaml"] = """\
name: "Identity of the machine"
stages:
  initramfs:
    - name: "Keep it over upgrades"
      if: '[ ! -f "/run/elemental/recovery_mode" ]'
      commands:
        - |
          if [ -s /run/elemental/persistent/etc/machine-id ]; then
            cat /run/elemental/persistent/etc/machine-id > /etc/machine-id
          fi
"""
    return found


def config_directory(generation: GenerationName) -> str:
    """Return the directory of bootargs.cfg and grub.cfg, without a leading slash."""
    return "etc/elemental" if generation == "G5" else "etc/cos"


def bootargs(generation: GenerationName) -> str:
    """Write a bootargs.cfg that does what the generation's own does, with the variables that its menu sets."""
    if generation == "G5":
        return _SNAPSHOT_BOOTARGS
    if generation == "kairos":
        return _MODEL_BOOTARGS
    active = f"root=LABEL=$label cos-img/filename=$img {_KERNEL_ARGUMENTS}"
    recovery = "root=live:LABEL=$recoverylabel rd.live.dir=/ rd.live.squashimg=$img"
    condition = '[ -n "$recoverylabel" ]'
    if generation == "G0":
        active = "root=LABEL=$label iso-scan/filename=$img"
    elif generation in ("G3", "G4"):
        active = f"root=LABEL=$state_label cos-img/filename=$img {_KERNEL_ARGUMENTS}"
        recovery = "root=LABEL=$recovery_label cos-img/filename=$img selinux=0"
        condition = '[ "${img}" == "/cOS/recovery.img" ]'
    return f"""\
set kernel=/boot/vmlinuz
if {condition}; then
    set kernelcmd="{recovery}"
else
    set kernelcmd="{active}"
fi
set initramfs=/boot/initrd
"""


# Where the image is a snapshot: its file is named only where the menu knows it, and the path only on btrfs.
_SNAPSHOT_BOOTARGS = """\
set kernel=/${root_subpath}boot/vmlinuz
if [ -n "${img}" ]; then
    set img_arg="elemental.image=${img}"
fi
if [ "${mode}" == "recovery" ]; then
    set kernelcmd="root=LABEL=${recovery_label} ${img_arg} elemental.mode=${mode} elemental.oemlabel=${oem_label} enforcing=0"
else
    if [ "${snapshotter}" == "btrfs" ]; then
        set snap_arg="elemental.snapshotter=btrfs"
    fi
    set kernelcmd="root=LABEL=${state_label} ${img_arg} ${snap_arg} elemental.mode=${mode} elemental.oemlabel=${oem_label} panic=5"
fi
set initramfs=/${root_subpath}boot/initrd
"""

# Functions put the command line together, by what the image says of the machine's model.
_MODEL_BOOTARGS = """\
set kernel=/boot/vmlinuz
function set_model {
    source (loop0)/etc/os-release
    if [ -f (loop0)/etc/kairos-release ]; then
        source (loop0)/etc/kairos-release
    fi
}

function set_console {
    set_model
    set console_args="console=ttyS0"
    if test $KAIROS_MODEL == "rpi3" -o test $KAIROS_MODEL == "rpi4"; then
        set console_args="console=ttyS0,115200"
    fi
}

function set_extra {
    set_model
    set extra_args=""
    if test $KAIROS_MODEL == "rpi4"; then
        set extra_args="cgroup_enable=memory"
    fi
}

function set_command_line {
    set common_args="console=tty1 net.ifnames=1 rd.cos.oemlabel=COS_OEM panic=5"
    if [ -n "$recoverylabel" ]; then
        set root_args="root=live:LABEL=$recoverylabel rd.live.dir=/ rd.live.squashimg=$img"
    else
        set root_args="root=LABEL=$label cos-img/filename=$img"
    fi
    set_console
    set_extra
    set kernelcmd="$console_args $common_args $root_args selinux=0 $extra_args"
}

set initramfs=/boot/initrd
set_command_line
"""


def grub_config(generation: GenerationName = "G2") -> str:
    """Write the menu that installation copies to disk; it does what the generation's own does."""
    if generation == "G5":
        return _SNAPSHOT_MENU
    labelled = generation in ("G3", "G4")
    text = _LABELLED_HEAD if labelled else _HEAD
    entries = [
        ("cos", "", "COS_STATE", "set img=/cOS/active.img", "active"),
        ("fallback", " (fallback)", "COS_STATE", "set img=/cOS/passive.img", "passive"),
        ("recovery", " recovery", "COS_RECOVERY", _RECOVERY_IMAGE, "system"),
    ]
    if labelled:  # the disk that GRUB starts from is the one of the first two
        entries = [(*entry[:2], "", *entry[3:]) for entry in entries[:2]]
        entries.append(("recovery", " recovery", "${recovery_label}", "set img=/cOS/recovery.img", "system"))
    for name, title, disk, image, role in entries:
        label = f"${{{role}_label}}" if labelled else f"COS_{role.upper()}"
        search = f"    search --no-floppy --label --set=root {disk}\n" if disk else ""
        text += f"""
menuentry "${{display_name}}{title}" --id {name} {{
{search}    {image}
    set label={label}
    if [ -e (loop0) ]; then
        loopback -d loop0
    fi
    loopback loop0 /$img
    source (loop0)/etc/cos/bootargs.cfg
    linux (loop0)$kernel $kernelcmd ${{extra_cmdline}}
    initrd (loop0)$initramfs
}}
"""
    return text


_DEFAULTS = """\
if [ "${next_entry}" ]; then
    set default="${next_entry}"
    set next_entry=
    save_env -f "(${env_blk})/grubenv" next_entry
else
    set default="${saved_entry}"
fi
if [ "${default_menu_entry}" ]; then
    set display_name="${default_menu_entry}"
else
    set display_name="derivative"
fi
if [ "${default_fallback}" ]; then
    set fallback="${default_fallback}"
else
    set fallback="@FALLBACK@"
fi
insmod loopback
insmod squash4
"""

_HEAD = """\
set timeout=10
search --no-floppy --file --set=env_blk "/grubenv"
if [ "${env_blk}" ]; then
    load_env -f "(${env_blk})/grubenv"
fi
search --no-floppy --file --set=oem_blk "/grub_oem_env"
if [ "${oem_blk}" ]; then
    load_env -f "(${oem_blk})/grub_oem_env"
fi
""" + _DEFAULTS.replace("@FALLBACK@", "0 1 2")

_LABELLED_HEAD = """\
set timeout=10
if [ -f "/grub_oem_env" ]; then
    load_env -f "/grub_oem_env"
fi
search --no-floppy --set env_blk --label "${oem_label}"
if [ -f "(${env_blk})/grubenv" ]; then
    load_env -f "(${env_blk})/grubenv"
fi
""" + _DEFAULTS.replace("@FALLBACK@", "0 1 2")

_RECOVERY_IMAGE = """\
if [ -s /cOS/recovery.squashfs ]; then
        set img=/cOS/recovery.squashfs
        set recoverylabel=COS_RECOVERY
    else
        set img=/cOS/recovery.img
    fi"""

_SNAPSHOT_MENU = (
    _LABELLED_HEAD.replace("0 1 2", "0 recovery")
    + """
function set_loop {
    set volume="loop"
    if [ -e (${volume}) ]; then
        loopback -d ${volume}
    fi
    loopback ${volume} ${1}
}

function read_bootargs {
    source (${volume})/${root_subpath}etc/cos/bootargs.cfg
    source (${volume})/${root_subpath}etc/elemental/bootargs.cfg
}

function set_volume {
    set root_subpath=""
    if [ "${snapshotter}" == "btrfs" ]; then
        set btrfs_relative_path="y"
        set volume="${root}"
        if [ -d "@/.snapshots/${active_snap}/snapshot" ]; then
            set img="@/.snapshots/${active_snap}/snapshot"
            if [ -n "${1}" ]; then
                set img="@/.snapshots/${1}/snapshot"
            fi
            set root_subpath="${img}/"
        elif [ -n "${1}" ]; then
            set img="@/.snapshots/${1}/snapshot"
            btrfs-mount-subvol ($root) / ${img}
        fi
    elif [ -z "${1}" ]; then
        set_loop /.snapshots/active
    else
        set img="/.snapshots/${1}/snapshot.img"
        set_loop ${img}
    fi
}

menuentry "${display_name}" --id active {
    set mode=active
    search --no-floppy --set root --label ${state_label}
    set_volume
    read_bootargs
    linux (${volume})${kernel} ${kernelcmd} ${extra_cmdline} ${extra_active_cmdline}
    initrd (${volume})${initramfs}
}

for passive_snap in ${passive_snaps}; do
    menuentry "${display_name} (snapshot ${passive_snap})" --id passive${passive_snap} ${passive_snap} {
        set mode=passive
        search --no-floppy --set root --label ${state_label}
        set_volume ${2}
        read_bootargs
        linux (${volume})${kernel} ${kernelcmd} ${extra_cmdline} ${extra_passive_cmdline}
        initrd (${volume})${initramfs}
    }
done

menuentry "${display_name} recovery" --id recovery {
    set mode=recovery
    search --no-floppy --set root --label ${recovery_label}
    set img=/boot/recovery.img
    if [ -f "${img}" ]; then
        source (${root})/boot/bootargs.cfg
        linux (${root})${kernel} ${kernelcmd} ${extra_cmdline} ${extra_recovery_cmdline}
        initrd (${root})${initramfs}
    else
        set img=/cOS/recovery.img
        set_loop ${img}
        read_bootargs
        linux (${volume})${kernel} ${kernelcmd} ${extra_cmdline} ${extra_recovery_cmdline}
        initrd (${volume})${initramfs}
    fi
}
"""
)


def setup_unit(stage: str, generation: GenerationName) -> str:
    """Write the unit that runs one stage."""
    runner = (
        f"/usr/bin/cos-setup {stage}"
        if generation in ("G0", "G1")
        else f"/usr/bin/elemental run-stage {stage}"
    )
    text = f"[Unit]\nDescription=Stage {stage}\nDefaultDependencies=no\n\n[Service]\nType=oneshot\n"
    if stage == "rootfs":
        text += "ExecStartPre=/usr/bin/ln -sf -t / /sysroot/system\n"
    if stage == "initramfs":
        text += "RootDirectory=/sysroot\nBindPaths=/proc /sys /dev /run /tmp\n"
    return text + f"ExecStart={runner}\n"


def module_setup(generation: GenerationName) -> str:
    """Write the dracut module's own script."""
    if generation == "G0":
        hooks = {"cmdline 30": "parse-cos-overlay.sh", "initqueue/finished 30": "cos-wait-oem.sh"}
        hooks |= {"pre-pivot 10": "cos-mount-layout.sh", "pre-pivot 20": "cos-config-launcher.sh"}
        lines = "".join(f'    inst_hook {where} "$moddir/{name}"\n' for where, name in hooks.items())
        return f"#!/bin/bash\ncheck() {{ return 255; }}\ndepends() {{ echo rootfs-block dm; }}\ninstall() {{\n{lines}}}\n"
    third = "cos-fsck" if generation == "G3" else "cos-loop-img"
    return f"""\
#!/bin/bash
check() {{ return 255; }}
depends() {{ echo rootfs-block dm; }}
install() {{
    inst_hook cmdline 30 "$moddir/parse-cos-cmdline.sh"
    inst_script "$moddir/cos-generator.sh" "$systemdutildir/system-generators/dracut-cos-generator"
    inst_script "$moddir/cos-mount-layout.sh" /sbin/cos-mount-layout
    inst_script "$moddir/{third}.sh" /sbin/{third}
}}
"""


def first_hooks() -> dict[str, str]:
    """Write the hooks of the first generation, by their paths below dracut's hooks."""
    library = "#!/bin/bash\ntype getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh\n"
    return {
        "cmdline/30-parse-cos-overlay.sh": library
        + 'overlay=$(getarg rd.cos.overlay=)\n[ -z "$overlay" ] && return 0\nrootok=1\n',
        "initqueue/finished/30-cos-wait-oem.sh": library + "[ -e /dev/disk/by-label/COS_OEM ] || return 1\n",
        "pre-pivot/10-cos-mount-layout.sh": library
        + 'for path in $(printf "%s\\n" $cos_mounts | sort -u); do\n    mountpoint -q "/sysroot$path" || mount -o rw "$path"\ndone\nrmdir /tmp/cos\n',
        "pre-pivot/20-cos-config-launcher.sh": library + "cos-setup rootfs\n",
    }


def hook(generation: GenerationName) -> str:
    """Write the hook that reads the kernel command line."""
    if generation == "G3":
        then = '[ "$(getarg fsck.mode=)" = force ] && /sbin/initqueue --settled --unique /sbin/cos-fsck'
    else:
        then = '/sbin/initqueue --settled --unique /sbin/cos-loop-img "$image"'
    return f"""\
#!/bin/bash
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
image=$(getarg cos-img/filename=)
[ -z "$image" ] && return 0
info "the image file is $image"
rootok=1
{then}
return 0
"""


def loop_script(generation: GenerationName) -> str:
    """Write cos-loop-img, which loops the image file, or its successor cos-fsck."""
    if generation == "G3":
        return """\
#!/bin/bash
type info >/dev/null 2>&1 || . /lib/dracut-lib.sh
disk=$(realpath "/dev/disk/by-label/$1")
info "checking $(lsblk -no NAME "$disk")"
exec /usr/lib/systemd/systemd-fsck "$disk"
"""
    return """\
#!/bin/bash
# Loop the image file that lies on one of the state partitions.
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
state=/run/initramfs/cos-state
mkdir -p "$state"
for disk in /dev/disk/by-label/COS_STATE /dev/disk/by-label/COS_RECOVERY; do
    [ -e "/tmp/looped-$(basename "$disk")" ] && continue
    mount -o ro "$disk" "$state" || continue
    if [ -f "$state/$1" ]; then
        losetup -f "$state/$1"
        exit 0
    fi
    umount "$state"
done
rm -r "$state"
exit 1
"""


def mount_script() -> str:
    """Write cos-mount-layout, which lays the writable parts over the root."""
    return """\
#!/bin/bash
type info >/dev/null 2>&1 || . /lib/dracut-lib.sh
overlay() {
    mkdir -p "/run/overlay/$1/upper" "/run/overlay/$1/work"
    mountpoint -q "/sysroot/$1" || mount -t overlay overlay \\
        -o "lowerdir=/sysroot/$1,upperdir=/run/overlay/$1/upper,workdir=/run/overlay/$1/work" "/sysroot/$1"
}
echo "$(findmnt -fno SOURCE /sysroot) / auto ro 0 0" > /run/fstab
for path in $(printf '%s\\n' $RW_PATHS | sort -u); do
    overlay "${path#/}"
done
if [ "$PERSISTENT_STATE_BIND" = true ]; then
    for path in $PERSISTENT_STATE_PATHS; do
        [ -n "$(ls -A "/sysroot/$path")" ] && rsync -aqAX "/sysroot/$path/" "/usr/local/.state/$path/"
    done
fi
info "the layout is mounted"
"""


def generator() -> str:
    """Write the generator that gives the mounting service its environment."""
    return """\
#!/bin/bash
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
unit=/run/systemd/system/cos-immutable-rootfs.service.d
mkdir -p "$unit" "$2/initrd-root-fs.target.requires"
{
    echo "[Service]"
    echo "EnvironmentFile=/run/cos/cos-layout.env"
} > "$unit/override.conf"
ln -s "$2/sysroot.mount" "$2/initrd-root-fs.target.requires/sysroot.mount"
"""


def dracut_library() -> str:
    """Write as much of dracut's library as the scripts above call."""
    return """\
getarg() { dracut-getarg "$1"; }
info() { echo "$@"; }
"""
