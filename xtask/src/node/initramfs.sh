#!/bin/sh
# no set -e: the kernel panics when its init ends, and then nothing says what failed.
# PID 1 until the node's own disk is mounted: loads the modules and hands over to the init there that the kernel's line names, or to busybox'. Whatever fails is
# said on the console; a node that cannot mount its disk panics, and with that its QEMU ends.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in $(cat /etc/guest/modules); do insmod /lib/modules/$module.ko || echo "initramfs: cannot load $module"; done
mkdir -p /new
mount -t ext4 -o noatime /dev/vda /new || exit 1
for folder in dev proc sys; do mount --move /$folder /new/$folder; done
init=/sbin/init
for word in $(cat /new/proc/cmdline); do case $word in init=*) init=${word#init=} ;; esac; done
exec switch_root /new $init
