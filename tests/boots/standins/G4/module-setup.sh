#!/bin/bash
check() { return 255; }
depends() { echo rootfs-block dm fs-lib; }
installkernel() { instmods overlay loop ext4 virtio_blk virtio_pci =drivers/virtio; }
install() {
    inst_multiple mount umount mountpoint mkdir rm rmdir ls ln sort findmnt basename realpath lsblk losetup elemental systemctl rsync cat
    inst_hook cmdline 30 "$moddir/parse-elemental-cmdline.sh"
    inst_script "$moddir/elemental-generator.sh" "$systemdutildir/system-generators/dracut-elemental-generator"
    inst_script "$moddir/elemental-mount-layout.sh" /sbin/elemental-mount-layout
    inst_script "$moddir/elemental-fsck.sh" /sbin/elemental-fsck
    inst_multiple "$systemdutildir/systemd-fsck"
    inst_simple "$moddir/elemental-immutable-rootfs.service" "$systemdsystemunitdir/elemental-immutable-rootfs.service"
    mkdir -p "$initdir/$systemdsystemunitdir/initrd-fs.target.requires"
    ln_r "$systemdsystemunitdir/elemental-immutable-rootfs.service" \
        "$systemdsystemunitdir/initrd-fs.target.requires/elemental-immutable-rootfs.service"
    dracut_need_initqueue
}
