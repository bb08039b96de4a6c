#!/bin/bash
check() { return 255; }
depends() { echo rootfs-block dm fs-lib elemental-setup; }
installkernel() { instmods overlay loop ext4 virtio_blk virtio_pci =drivers/virtio; }
install() {
    inst_multiple losetup realpath lsblk
    inst_hook cmdline 30 "$moddir/elemental-cmdline.sh"
    inst_script "$moddir/sysroot-generator.sh" "$systemdutildir/system-generators/dracut-elemental-sysroot-generator"
    dracut_need_initqueue
}
