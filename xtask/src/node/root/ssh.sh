#!/bin/sh
# Keys only. -F: init looks after it.
set -eu
. /etc/node/environment
exec dropbear -F -E -s -r /etc/dropbear/host_key -p 22 2>/run/node/ssh.log
