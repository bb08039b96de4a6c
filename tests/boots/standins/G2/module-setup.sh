#!/bin/bash
check() { return 255; }
depends() { echo rootfs-block dm fs-lib; }
installkernel() { instmods overlay loop ext4 virtio_blk virtio_pci =drivers/virtio; }
install() {
    inst_multiple mount umount mountpoint mkdir rm rmdir ls ln sort findmnt basename losetup elemental systemctl rsync
    inst_hook cmdline 30 "$moddir/parse-cos-cmdline.sh"
    inst_script "$moddir/cos-generator.sh" "$systemdutildir/system-generators/dracut-cos-generator"
    inst_script "$moddir/cos-mount-layout.sh" /sbin/cos-mount-layout
    inst_script "$moddir/cos-loop-img.sh" /sbin/cos-loop-img
    inst_simple "$moddir/cos-immutable-rootfs.service" "$systemdsystemunitdir/cos-immutable-rootfs.service"
    mkdir -p "$initdir/$systemdsystemunitdir/initrd-fs.target.requires"
    ln_r "$systemdsystemunitdir/cos-immutable-rootfs.service" \
        "$systemdsystemunitdir/initrd-fs.target.requires/cos-immutable-rootfs.service"
    dracut_need_initqueue
}
