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
volume PARTLABEL=oem /oem
mkdir -p /run/elemental/persistent
mount PARTLABEL=persistent /run/elemental/persistent
mkdir -p /run/overlay
mount -t tmpfs -o defaults,size=25% tmpfs /run/overlay
for path in /etc /srv /var; do
    overlay "$path"
done
for path in /etc/systemd /etc/ssh /home /opt /root /var/log; do
    [ -d "/sysroot$path" ] || continue
    name=${path//\//-}
    kept=/run/elemental/persistent/.state/$name
    mkdir -p "$kept/upper" "$kept/work"
    mount -t overlay overlay -o "defaults,lowerdir=/sysroot$path,upperdir=$kept/upper,workdir=$kept/work" "/sysroot$path"
done
printf '%s' "$fstab" > /sysroot/etc/fstab
exit 0
