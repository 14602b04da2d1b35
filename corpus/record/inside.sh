#!/bin/sh
# Runs in namespaces of its own for network, mounts and host name, as root, with an empty environment:
#
#   inside.sh ROOT SCRIPTS SCAPKIT EMPTY_FOLDER
#
# Moves into a copy of the folder ROOT, in memory, and records every capture there. The copy is a file system of its
# own, so that not even /proc/self/mountinfo knows of a path outside. The captures come out as a tar archive on the
# standard output, as no file outside may be open or mounted meanwhile.
set -eu
root=$1 scripts=$2 scapkit=$3 new=$4

if [ "$root" != moved ]; then
    hostname web1
    ip link set lo up
    # Addresses of the documentation ranges: the shop's, and the intruder's.
    for address in 192.0.2.10/32 203.0.113.66/32 2001:db8::10/128; do
        ip address add "$address" dev lo
    done
    mount -t tmpfs -o mode=755 root "$new"
    cp -a "$root/." "$new"
    mkdir -p "$new/opt/record" "$new/out" "$new/old"
    cp "$scripts"/*.sh "$scripts"/*.py "$scripts"/*.c "$new/opt/record"
    cp -r "$scripts/build" "$new/srv/build"
    cp "$scapkit" "$new/usr/local/bin/scapkit"
    mount -t proc proc "$new/proc"
    # Processes have the numbers that the kernel knows them by, as the recorder needs those. But podman asks what the
    # first one is, and that one is the machine's own.
    echo systemd >"$new/run/comm"
    mount --bind "$new/run/comm" "$new/proc/1/comm"
    mount -t sysfs sysfs "$new/sys"
    mount -t tmpfs -o mode=755 cgroup "$new/sys/fs/cgroup"
    # The recording machine's hierarchies, under the names they have there.
    # A copy, as the list grows meanwhile.
    cat /proc/mounts >"$new/tmp/mounts"
    while read -r _ folder kind _; do
        case $kind:$folder in
        cgroup:* | cgroup2:*)
            here=$new/sys/fs/cgroup${folder#/sys/fs/cgroup}
            mkdir -p "$here"
            mount --bind "$folder" "$here"
            ;;
        esac
    done <"$new/tmp/mounts"
    rm "$new/tmp/mounts"
    mount -t tmpfs -o mode=755 dev "$new/dev"
    mknod -m 666 "$new/dev/null" c 1 3
    mknod -m 666 "$new/dev/zero" c 1 5
    mknod -m 666 "$new/dev/random" c 1 8
    mknod -m 666 "$new/dev/urandom" c 1 9
    mknod -m 666 "$new/dev/tty" c 5 0
    ln -s /proc/self/fd "$new/dev/fd"
    mkdir "$new/dev/shm" "$new/dev/pts"
    cd "$new"
    pivot_root . old
    exec chroot . /opt/record/inside.sh moved - - - <dev/null
fi

cd /
umount -l /old
rmdir /old
echo web1 >/etc/hostname
echo 'nameserver 192.0.2.53' >/etc/resolv.conf
printf '127.0.0.1 localhost\n192.0.2.10 web1\n' >/etc/hosts
export SCAP_HOSTNAME=web1

# What the workloads use.
mkdir -p /srv/www /var/log/shop /srv/container
cp /opt/record/app.py /srv/app.py
chown www-data: /var/log/shop
chmod 4755 /usr/bin/find
# podman looks at networks' plugins even where there is no network.
rm -rf /etc/cni
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
echo '<h1>web1</h1>' >/srv/www/index.html
seq 1 3000 >/srv/www/table.txt
gcc -O1 -pthread -o /usr/local/bin/threads /opt/record/threads.c
for file in /bin/sh /bin/cat /bin/sleep /bin/ls /usr/bin/id; do
    for need in "$file" $(ldd "$file" | grep -o '/[^ ]*'); do
        mkdir -p "/srv/container$(dirname "$need")"
        cp -L "$need" "/srv/container$need"
    done
done
mkdir -p /srv/container/etc /srv/container/proc /srv/container/sys /srv/container/dev
echo root:x:0:0:root:/:/bin/sh >/srv/container/etc/passwd

# record NAME STATUS OPTIONS -- COMMAND
record() {
    name=$1 wanted=$2 status=0
    shift 2
    scapkit record -o "/out/$name" "$@" >"/run/$name.said" 2>&1 || status=$?
    {
        echo "== $name (status $status)"
        cat "/run/$name.said"
    } >&2
    [ "$status" = "$wanted" ]
}

# One program only, as everything below belongs to it: the shop, with the rights of www-data, until its end.
python3 -S /opt/record/attacker.py >/run/attacker.log 2>&1 &
attacker=$!
record incident-2026.scap.gz 143 -- setpriv --reuid=www-data --regid=www-data --clear-groups python3 -S /srv/app.py &
recorder=$!
wait "$attacker"
pkill -TERM -P "$(pgrep -P "$recorder")"
wait "$recorder"

record web-server.scap.gz 0 -- sh /opt/record/web-server.sh
cd /srv/build
record build.scap.gz 0 -- make -j2
cd /
record container.scap.gz 3 --wait-tree -- sh /opt/record/container.sh
record universal.scap 0 --profile universal --compress none -- sh /opt/record/short.sh
record many-threads.scap.zst 0 -- threads
tar -C /out -c .
