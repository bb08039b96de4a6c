#!/bin/bash
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh
[ -z "$(getarg cos-img/filename=)" ] && return 0
rootok=1
return 0
