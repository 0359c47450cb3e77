#!/bin/sh
# Runs in a guest that has the node's disk as its second one: starts the node's containerd there and gives it the images.
set -eu
mkdir -p /mnt
mount -t ext4 /dev/vdb /mnt
for folder in dev proc sys; do mount --rbind /$folder /mnt/$folder; done
mount -t tmpfs tmpfs /mnt/run
cat >/mnt/run/import <<'END'
set -eu
. /etc/node/environment
containerd --config /etc/containerd/config.toml >/run/containerd.log 2>&1 &
tries=0
until [ -S /run/containerd/containerd.sock ]; do
    tries=$((tries + 1))
    [ $tries -lt 1200 ] || { cat /run/containerd.log; exit 1; }
    sleep 0.05
done
for image in /images/*.tar; do ctr --namespace k8s.io images import --local $image; done
kill %1
wait || true
rm -r /images
END
chroot /mnt /bin/sh /run/import
umount /mnt/run
mount -o remount,ro /mnt
