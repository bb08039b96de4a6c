#!/bin/bash
# The state partition is mounted, and the image's file in it is the root.
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
image=$(getarg cos-img/filename=)
[ -z "$image" ] && exit 0
root=$(getarg root=)
cat > "$2/run-initramfs-cos\\x2dstate.mount" <<UNIT
[Unit]
DefaultDependencies=no
After=dracut-initqueue.service
Before=initrd-root-fs.target

[Mount]
What=/dev/disk/by-label/${root#LABEL=}
Where=/run/initramfs/cos-state
Options=ro,suid,dev,exec,auto,nouser,async
UNIT
cat > "$2/sysroot.mount" <<UNIT
[Unit]
DefaultDependencies=no
RequiresMountsFor=/run/initramfs/cos-state
Before=initrd-root-fs.target

[Mount]
What=/run/initramfs/cos-state$image
Where=/sysroot
Options=ro,suid,dev,exec,auto,nouser,async
UNIT
mkdir -p "$2/initrd-root-fs.target.requires"
ln -sf "$2/sysroot.mount" "$2/initrd-root-fs.target.requires/sysroot.mount"
mkdir -p "$2/elemental-immutable-rootfs.service.d"
{
    echo "[Service]"
    echo "EnvironmentFile=-/run/cos/cos-layout.env"
} > "$2/elemental-immutable-rootfs.service.d/override.conf"
exit 0
