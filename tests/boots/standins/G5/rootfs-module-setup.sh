#!/bin/bash
check() { return 255; }
depends() { echo rootfs-block dm fs-lib elemental-sysroot; }
install() {
    inst_multiple mount umount mountpoint mkdir findmnt rsync elemental-mount
    inst_multiple /etc/systemd/system/elemental-rootfs.service /etc/systemd/system/initrd-fs.target.wants/elemental-rootfs.service
}
