#!/bin/bash
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
[ -z "$(getarg cos-img/filename=)" ] && exit 0
mkdir -p "$1/cos-immutable-rootfs.service.d"
{
    echo "[Service]"
    echo "EnvironmentFile=/run/cos/cos-layout.env"
} > "$1/cos-immutable-rootfs.service.d/override.conf"
mkdir -p "$1/initrd-root-fs.target.requires"
ln -sf "$1/sysroot.mount" "$1/initrd-root-fs.target.requires/sysroot.mount"
exit 0
