#!/bin/bash
exec /usr/lib/systemd/systemd-fsck "$1"
