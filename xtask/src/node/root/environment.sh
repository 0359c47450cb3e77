# For each script of the node.
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root

# A line for the host, which stamps it with the time.
mark() { echo "$*" >/dev/ttyS1; }
