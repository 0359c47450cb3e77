#!/bin/sh
# Once: waits until the host says who this node is ("start SECONDS KIB": the time since 1970, the length of the archive that the
# second disk begins with) and gives the waiting kubelet its configuration, unless /run/node/hold is there. "warm" is for a
# node whose state is saved.
set -eu
. /etc/node/environment

# Opens when the kubelet has opened the other end.
exec 3>/run/config/kubelet.json
until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done
mark ready
while read -r verb seconds kib; do
    case $verb in
        # What the first pod needs is in memory then: the programs, and what containerd and the kernel keep of a container.
        warm) cat /usr/sbin/runc /usr/local/bin/* /opt/cni/bin/* >/dev/null
            ctr -n k8s.io run --rm --cni bench.test/box:1 warm true || { mark "failed warm-up"; exit 1; }
            rmdir /sys/fs/cgroup/k8s.io; mark warm ;;
        # A restored node's clock stands where it was saved.
        start) date -s "@$seconds" >/dev/null; break ;;
        # The rest of a line that began before this node was restored.
        *) ;;
    esac
done </dev/ttyS1
# A restored node may remember the first blocks of the disk it had when it was saved.
blockdev --flushbufs /dev/vdb
# A file takes the pipe's place, for the next kubelet.
dd if=/dev/vdb bs=1k count="$kib" 2>/dev/null | tar -C /run/config -xf - || { mark "failed configuration"; exit 1; }
# What a test wants in the node, under the path it names.
[ ! -d /run/config/files ] || cp -a /run/config/files/. /
hostname "$(cat /run/config/name)"
mark configured
while [ -e /run/node/hold ]; do sleep 0.05; done
cat /run/config/kubelet.json >&3
