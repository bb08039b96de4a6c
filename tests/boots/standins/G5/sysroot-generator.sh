#!/bin/bash
# The state partition is mounted, and the active snapshot in it is the root.
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
[ -z "$(getarg elemental.mode=)" ] && exit 0
image=$(getarg elemental.image=)
root=$(getarg root=)
cat > "$2/run-initramfs-elemental\\x2dstate.mount" <<UNIT
[Unit]
DefaultDependencies=no
After=dracut-initqueue.service
Before=initrd-root-fs.target

[Mount]
What=/dev/disk/by-label/${root#LABEL=}
Where=/run/initramfs/elemental-state
Options=ro,suid,dev,exec,auto,nouser,async
UNIT
cat > "$2/sysroot.mount" <<UNIT
[Unit]
DefaultDependencies=no
RequiresMountsFor=/run/initramfs/elemental-state
Before=initrd-root-fs.target

[Mount]
What=/run/initramfs/elemental-state${image:-/.snapshots/active}
Where=/sysroot
Options=ro,suid,dev,exec,auto,nouser,async
UNIT
mkdir -p "$2/initrd-root-fs.target.requires"
ln -sf "$2/sysroot.mount" "$2/initrd-root-fs.target.requires/sysroot.mount"
exit 0
