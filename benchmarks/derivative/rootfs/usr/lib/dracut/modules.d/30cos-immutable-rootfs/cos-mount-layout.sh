#!/bin/sh
# Lays volumes and overlays over the read-only root and records them in the fstab of the system to come.
# The layout comes from the environment (/run/cos/cos-layout.env).

new=/sysroot
: "${OVERLAY:=tmpfs:25%}"
: "${VOLUMES:=}"
: "${RW_PATHS:=/etc /root /home /opt /srv /usr/local /var}"
: "${PERSISTENT_STATE_PATHS:=}"
: "${PERSISTENT_STATE_TARGET:=/usr/local/.state}"
scratch=/run/overlay
table=''

record() {
    table="$table$*
"
}

# "LABEL=X" -> the device node of that label; other sources as they are.
device() {
    case $1 in
        LABEL=*) echo "/dev/disk/by-label/${1#LABEL=}" ;;
        UUID=*) echo "/dev/disk/by-uuid/${1#UUID=}" ;;
        *) echo "$1" ;;
    esac
}

# Words, one to a line, parents before children.
ordered() {
    for word in "$@"; do echo "$word"; done | sort -u
}

mount_scratch() {
    mkdir -p "$scratch"
    case $OVERLAY in
        tmpfs:*)
            mount -t tmpfs -o "mode=0755,size=${OVERLAY#tmpfs:}" tmpfs "$scratch"
            record tmpfs "$scratch" tmpfs "defaults,size=${OVERLAY#tmpfs:}" 0 0
            ;;
        *)
            mount -t auto "$(device "$OVERLAY")" "$scratch"
            record "$(device "$OVERLAY")" "$scratch" auto defaults 0 0
            ;;
    esac
}

mount_volume() {
    source=$(device "${1%:*}")
    target=${1##*:}
    mkdir -p "$new$target"
    mount -t auto -o rw "$source" "$new$target"
    record "$source" "$target" auto defaults 0 0
}

# mount_overlay TARGET UPPER-PARENT: UPPER-PARENT as the system to come will see it.
mount_overlay() {
    target=$1
    above=$2
    case $above in
        "$scratch"/*) seen=$above ;;
        *) seen=$new$above ;;
    esac
    mkdir -p "$new$target" "$seen/upper" "$seen/work"
    mount -t overlay -o "lowerdir=$new$target,upperdir=$seen/upper,workdir=$seen/work" overlay "$new$target"
    record overlay "$target" overlay \
        "defaults,lowerdir=$target,upperdir=$above/upper,workdir=$above/work,x-systemd.requires-mounts-for=${above%/*}" 0 0
}

# mount_bind TARGET: the directory itself lives on the persistent volume, filled from the image the first time.
mount_bind() {
    target=$1
    kept=$PERSISTENT_STATE_TARGET/$(flat "$target").bind
    mkdir -p "$new$target" "$new$kept"
    if [ -z "$(ls -A "$new$kept")" ]; then
        rsync -aAX "$new$target/" "$new$kept/"
    fi
    mount --bind "$new$kept" "$new$target"
    record "$kept" "$target" none "defaults,bind" 0 0
}

# /a/b -> a-b, in pure shell: the initrd has few programs.
flat() {
    rest=${1#/}
    name=''
    while [ "$rest" != "${rest#*/}" ]; do
        name=$name${rest%%/*}-
        rest=${rest#*/}
    done
    echo "$name$rest"
}

mountpoint -q "$new" || exit 1
[ "$DEBUG_RW" != true ] || mount -o remount,rw "$new"

record "$(findmnt --noheadings --first-only --output SOURCE "$new")" / auto ro 0 0
mount_scratch

for volume in $VOLUMES; do
    mount_volume "$volume"
done
for path in $(ordered $RW_PATHS); do
    mountpoint -q "$new$path" || mount_overlay "$path" "$scratch/$(flat "$path").overlay"
done
for path in $(ordered $PERSISTENT_STATE_PATHS); do
    mountpoint -q "$new$path" && continue
    if [ "$PERSISTENT_STATE_BIND" = true ]; then
        mount_bind "$path"
    else
        mount_overlay "$path" "$PERSISTENT_STATE_TARGET/$(flat "$path").overlay"
    fi
done

printf '%s' "$table" > "$new/etc/fstab"
