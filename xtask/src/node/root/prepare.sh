#!/bin/sh
# no set -e: a node that lacks one of these still says what it lacks.
# Once, before anything else: file systems, network, kernel settings, the way to say how far the node is.
. /etc/node/environment
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount --make-rshared /
ln -sf /proc/self/fd /dev/fd
mkdir -p /run/node /run/config
mkfifo /run/config/kubelet.json
stty -F /dev/ttyS1 raw -echo clocal
# Where the host keeps a file of its own for each: /dev/virtio-ports is udev's work elsewhere.
mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do ln -s /dev/${port##*/} /dev/virtio-ports/$(cat $port/name); done
# See init.sh of the other guests: a first finite quota rewrites the kernel's code under running CPUs, which hangs emulated ones.
echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/held && echo "1000000 1000000" >/sys/fs/cgroup/held/cpu.max
hostname node
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
# What the kubelet checks, and what a network of pods needs.
sysctl -q -w vm.overcommit_memory=1 kernel.panic=10 kernel.panic_on_oops=1 net.ipv4.ip_forward=1
mark prepared
