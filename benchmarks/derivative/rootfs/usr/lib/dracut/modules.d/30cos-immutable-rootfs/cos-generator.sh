#!/bin/sh
# systemd generator: turns the kernel command line into the units that mount the immutable root.
# Called with the normal, early and late unit directories; early wins over systemd's own generators.

early=$2
cos_layout=/run/cos/cos-layout.env
service=cos-immutable-rootfs.service
root='' image='' oem='' volumes='' overlay='' debug=''

set -f
read -r cmdline < /proc/cmdline
for word in $cmdline; do
    value=${word#*=}
    case $word in
        root=LABEL=*) root=/dev/disk/by-label/${value#LABEL=} ;;
        cos-img/filename=*) image=$value ;;
        rd.cos.oemlabel=*) oem=/dev/disk/by-label/$value ;;
        rd.cos.mount=*) volumes="$volumes $value" ;;
        rd.cos.overlay=*) overlay=$value ;;
        rd.cos.debugrw) debug=true ;;
    esac
done

mkdir -p "$early/$service.d"
{
    echo '[Service]'
    [ -z "$volumes" ] || echo "Environment=\"VOLUMES=${volumes# }\""
    [ -z "$overlay" ] || echo "Environment=\"OVERLAY=$overlay\""
    [ -z "$debug" ] || echo "Environment=\"DEBUG_RW=$debug\""
    echo "EnvironmentFile=$cos_layout"
} > "$early/$service.d/10-cmdline.conf"

[ -n "$image" ] && [ -n "$root" ] || exit 0

{
    echo '[Unit]'
    echo 'Before=initrd-root-fs.target'
    echo '[Mount]'
    echo "What=$root"
    echo 'Where=/sysroot'
    echo 'Options=ro,suid,dev,exec'
} > "$early/sysroot.mount"
mkdir -p "$early/initrd-root-fs.target.requires"
ln -sf ../sysroot.mount "$early/initrd-root-fs.target.requires/sysroot.mount"

[ -n "$oem" ] || exit 0

# The rootfs stage reads /oem too; a machine without that partition starts nevertheless.
{
    echo '[Unit]'
    echo 'DefaultDependencies=no'
    echo 'Before=cos-setup-rootfs.service'
    echo '[Mount]'
    echo "What=$oem"
    echo 'Where=/oem'
    echo 'Options=rw,nosuid,nodev,noexec,noatime'
} > "$early/oem.mount"
mkdir -p "$early/cos-setup-rootfs.service.wants"
ln -sf ../oem.mount "$early/cos-setup-rootfs.service.wants/oem.mount"
