#!/bin/sh
# Runs the kubelet once the host has said who this node is: "start SECONDS", the time since 1970, and what lies on the second disk.
# "warm" reads the programs, for a node whose state is saved and used again. While /run/node/hold is there, no kubelet runs.
set -eu
. /etc/node/environment

configure() {
    until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done
    mark ready
    while read -r verb argument; do
        case $verb in
            warm) kubelet --version >/dev/null; runc --version >/dev/null; containerd-shim-runc-v2 -v >/dev/null; mark warm ;;
            # A restored node's clock stands where it was saved.
            start) date -s "@$argument" >/dev/null; break ;;
            # The rest of a line that began before this node was restored.
            *) ;;
        esac
    done </dev/ttyS1
    mkdir -p /run/config
    # A restored node may remember the first blocks of the disk it had when it was saved.
    blockdev --flushbufs /dev/vdb
    tar -C /run/config -xf /dev/vdb || { mark "failed configuration"; exit 1; }
    # What a test wants in the node, under the path it names.
    [ ! -d /run/config/files ] || cp -a /run/config/files/. /
    : >/run/node/configured
}

[ -e /run/node/configured ] || configure
while [ -e /run/node/hold ]; do sleep 0.05; done
mark kubelet
exec kubelet --config=/run/config/kubelet.json --kubeconfig=/run/config/kubeconfig \
    --hostname-override="$(cat /run/config/name)" --node-ip=10.0.2.15 >/dev/virtio-ports/kubelet 2>&1
