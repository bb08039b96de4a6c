#!/bin/bash
type getargs >/dev/null 2>&1 || . /lib/dracut-lib.sh
volume() {
    mkdir -p "/sysroot$2"
    mount "$1" "/sysroot$2"
    fstab="$fstab$1 $2 auto defaults 0 0
"
}
overlay() {
    name=${1//\//-}
    mkdir -p "/sysroot$1" "/run/overlay/$name/upper" "/run/overlay/$name/work"
    mountpoint -q "/sysroot$1" || mount -t overlay overlay -o \
        "defaults,lowerdir=/sysroot$1,upperdir=/run/overlay/$name/upper,workdir=/run/overlay/$name/work" "/sysroot$1"
    fstab="${fstab}overlay $1 overlay defaults,lowerdir=$1,upperdir=/run/overlay/$name/upper,workdir=/run/overlay/$name/work 0 0
"
}
fstab="$(findmnt -fno SOURCE /sysroot) / auto ro 0 0
"
for each in $(getargs rd.cos.mount=) $VOLUMES; do
    volume "${each%%:*}" "${each#*:}"
done
mkdir -p /run/overlay
size=${OVERLAY:-tmpfs:20%}
mount -t tmpfs -o "defaults,size=${size#tmpfs:}" tmpfs /run/overlay
for path in $(printf '%s\n' ${RW_PATHS:-/etc /root /home /opt /srv /var} | sort -u); do
    overlay "$path"
done
for path in $PERSISTENT_STATE_PATHS; do
    mountpoint -q "/sysroot$path" && continue
    kept=/sysroot/usr/local/.state/${path//\//-}.bind
    [ -d "/sysroot$path" ] || mkdir -p "/sysroot$path" || continue
    mkdir -p "$kept"
    rsync -aqAX "/sysroot$path/" "$kept/"
    mount --bind "$kept" "/sysroot$path"
done
printf '%s' "$fstab" > /sysroot/etc/fstab
exit 0
