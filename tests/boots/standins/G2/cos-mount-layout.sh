#!/bin/bash
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
for each in $VOLUMES; do
    volume "${each%%:*}" "${each#*:}"
done
if [ -n "$OVERLAY" ]; then
    mkdir -p /run/overlay
    mount -t tmpfs -o "defaults,size=${OVERLAY#tmpfs:}" tmpfs /run/overlay
    for path in $(printf '%s\n' ${RW_PATHS:-/etc /root /home /opt /srv /usr/local /var} | sort -u); do
        overlay "$path"
    done
fi
printf '%s' "$fstab" > /sysroot/etc/fstab
exit 0
