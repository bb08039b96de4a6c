#!/bin/sh
# cos-loop-img PATH: finds the labelled filesystem that holds the image PATH and puts the image on a loop device.
# Ends with 1 if no filesystem has it yet; the queue calls again.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
image=$1
state=/run/initramfs/cos-state

[ -n "$image" ] || exit 1
[ -e "$state/$image" ] && exit 0

mkdir -p "$state"
for link in /dev/disk/by-label/*; do
    [ -e "$link" ] || continue
    label=$(basename "$link")
    mount -o rw "/dev/disk/by-label/$label" "$state" || continue
    if [ -f "$state/$image" ] && losetup --find "$state/$image"; then
        echo "cos-loop-img: $image found on $label"
        exit 0
    fi
    umount "$state"
done

rm -d -- "$state"
exit 1
