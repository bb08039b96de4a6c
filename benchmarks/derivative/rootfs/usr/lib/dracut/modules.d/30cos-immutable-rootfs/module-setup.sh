#!/bin/bash
# dracut module: what the initrd needs to start from a loop image and to lay writable parts over it.

# Only on request: /etc/dracut.conf.d/02-cos-immutable-rootfs.conf asks for it.
check() {
    return 255
}

depends() {
    echo rootfs-block dm
}

installkernel() {
    instmods overlay loop
}

install() {
    local unit=cos-immutable-rootfs.service
    local wanted="$systemdsystemunitdir/initrd-fs.target.requires"

    inst_multiple mount mountpoint elemental sort findmnt rmdir rsync
    inst_multiple -o blkid e2fsck lsblk mkfs.ext2 mkfs.ext4 mkfs.vfat parted resize2fs sgdisk sync udevadm umount

    inst_hook cmdline 30 "$moddir/parse-cos-cmdline.sh"
    inst_script "$moddir/cos-generator.sh" "$systemdutildir/system-generators/dracut-cos-generator"
    inst_script "$moddir/cos-mount-layout.sh" /sbin/cos-mount-layout
    inst_script "$moddir/cos-loop-img.sh" /sbin/cos-loop-img

    inst_simple "$moddir/$unit" "$systemdsystemunitdir/$unit"
    mkdir -p "$initdir$wanted"
    ln -sf "../$unit" "$initdir$wanted/$unit"

    dracut_need_initqueue
}
