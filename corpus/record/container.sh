#!/bin/sh
# A container: its first process starts others, talks to one through a file, fails to read another, and ends.
exec podman --runtime=runc --cgroup-manager=cgroupfs --storage-driver=vfs \
    run --rm --name shop --hostname shop-1 --network=none --log-driver=none \
    --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024 --rootfs /srv/container /bin/sh -c '
        id -u
        cat /etc/hostname
        echo order 1 >/orders
        (while read -r line; do echo "seen: $line"; done) </orders
        sleep 0.1 &
        wait
        ls /proc/self/fd >/dev/null
        cat /etc/shadow 2>&1
        exit 3'
