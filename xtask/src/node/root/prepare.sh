#!/bin/sh
# no set -e: a node that lacks one of these still says what it lacks.
# Once, before anything else: file systems, network, kernel settings, the way to say how far the node is.
. /etc/node/environment
. /etc/node/common
mount --make-rshared /
mkdir -p /run/node /run/config
mkfifo /run/config/kubelet.json
stty -F /dev/ttyS1 raw -echo clocal
# Where the host keeps a file of its own for each: /dev/virtio-ports is udev's work elsewhere.
mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do ln -s /dev/${port##*/} /dev/virtio-ports/$(cat $port/name); done
hostname node
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
# What the kubelet checks, and what a network of pods needs.
sysctl -q -w vm.overcommit_memory=1 kernel.panic=10 kernel.panic_on_oops=1 net.ipv4.ip_forward=1
# An agent listens to tracepoints, and switching one on rewrites the kernel's code under running CPUs: the emulated ones were seen to spin in
# the int3 of that for ever. With two idle listeners of our own another one comes and goes without it (as in the VM tier's tracepoints.rs).
for listener in hold-a hold-b; do
  instance=/sys/kernel/tracing/instances/$listener
  mkdir $instance && echo 0 >$instance/tracing_on || echo "tracepoints are not held"
  for event in sched/sched_switch sched/sched_waking sched/sched_wakeup sched/sched_wakeup_new cgroup/cgroup_attach_task timer/hrtimer_expire_entry; do
    echo 1 >$instance/events/$event/enable
  done
done
mark prepared
