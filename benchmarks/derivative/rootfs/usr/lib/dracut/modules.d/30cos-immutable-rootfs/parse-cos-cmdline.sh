#!/bin/sh
# Sourced by dracut's cmdline hook. A system that lives in an image file needs that file on a loop device
# before its label can show up; the search runs each time udev has settled.

cos_image=$(getarg cos-img/filename=)

if [ -n "$cos_image" ]; then
    /sbin/initqueue --settled --unique --name cos-loop-img /sbin/cos-loop-img "$cos_image"
fi
