#!/bin/sh
set -eu
. /etc/node/environment
exec containerd --config /etc/containerd/config.toml >/dev/virtio-ports/containerd 2>&1
