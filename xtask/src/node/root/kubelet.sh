#!/bin/sh
# Becomes the kubelet, again and again. The first one starts before the host has said who this node is, and waits where it opens
# its configuration, which is a pipe until then: a saved state has that part of its start behind it. Its name is the host's.
set -eu
. /etc/node/environment
while [ -e /run/node/hold ]; do sleep 0.05; done
mark kubelet
exec kubelet --config=/run/config/kubelet.json --kubeconfig=/run/config/kubeconfig --node-ip=10.0.2.15 \
    >/dev/virtio-ports/kubelet 2>&1
