#!/bin/bash
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
image=$(getarg cos-img/filename=)
[ -z "$image" ] && return 0
rootok=1
/sbin/initqueue --settled --unique /sbin/cos-loop-img "$image"
return 0
