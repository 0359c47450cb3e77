#!/bin/sh
# no set -e: PID 1 must go on and report whatever fails.
# PID 1 of the guest. Four serial ports, each a file (or the terminal) on the host:
#   ttyS0 the kernel's console and this script's own complaints    ttyS1 the command's output
#   ttyS2 the command's errors                                     ttyS3 marks for xtask: "ready", "exit N", "done"
# What the host asked for lies in /etc/guest: modules, command, session, deadline.
export PATH=/usr/local/bin:/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=linux BERTH_VMTEST=1

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /run /tmp /out /root
. /etc/guest/common
for tty in 1 2 3; do stty -F /dev/ttyS$tty raw -echo clocal; done
for module in $(cat /etc/guest/modules); do insmod /lib/modules/$module.ko || echo "init: cannot load $module"; done
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$controller >/sys/fs/cgroup/cgroup.subtree_control; done
hostname guest

# A guest whose xtask was killed must not run for ever.
(sleep "$(cat /etc/guest/deadline)"; echo "init: past its deadline"; poweroff -f) &

echo "ready $(cut -d' ' -f1 /proc/uptime)" >/dev/ttyS3
cd /root
if [ "$(cat /etc/guest/session)" = terminal ]; then
    stty -F /dev/ttyS1 sane clocal $(cat /etc/guest/window)
    setsid -c sh /etc/guest/command </dev/ttyS1 >/dev/ttyS1 2>&1
else
    sh /etc/guest/command </dev/null >/dev/ttyS1 2>/dev/ttyS2
fi
code=$?
echo "exit $code" >/dev/ttyS3
if [ -b /dev/vda ]; then
    tar -C /out -cf /dev/vda . && sync && echo "done" >/dev/ttyS3
else
    echo "init: no disk to bring /out back on"
fi
poweroff -f
