#!/bin/bash
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
label=$(getarg elemental.oemlabel=)
[ -z "$label" ] && exit 0
cat > "$2/oem.mount" <<UNIT
[Unit]
DefaultDependencies=no
Before=elemental-setup-pre-rootfs.service
Conflicts=initrd-switch-root.target

[Mount]
What=/dev/disk/by-label/$label
Where=/oem
Options=rw,suid,dev,exec,noauto,nouser,async
UNIT
exit 0
