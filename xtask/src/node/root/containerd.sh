#!/bin/sh
set -eu
. /etc/node/environment
config=/etc/containerd/config.toml
[ ! -d /run/systemd/system ] || config=/etc/containerd/systemd.toml
exec containerd --config $config >/dev/virtio-ports/containerd 2>&1
