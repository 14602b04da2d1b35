#!/bin/bash
# Records two gVisor sandboxes at once: a shop that is broken into, and a job beside it.
#
#   corpus/record/sandbox.sh SCAPKIT OUT.gvstream
#
# As root, with runsc and a static busybox. What is kept is the raw stream, which converts to the capture.
set -euo pipefail
scapkit=$(realpath "$1") out=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
socket=$work/monitor.sock

bundle() { # NAME SCRIPT
    local root=$work/$1/rootfs
    mkdir -p "$root"/{bin,tmp,etc,srv,proc}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for name in sh cat ls id echo sleep nc wc cp chmod true; do ln -s busybox "$root/bin/$name"; done
    echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
    echo 'root:!:20000::::::' >"$root/etc/shadow"
    echo 'order 1' >"$root/srv/orders"
    jq -n --arg script "$2" '{
        ociVersion: "1.0.0",
        process: {user: {uid: 0, gid: 0}, args: ["/bin/sh", "-c", $script], env: ["PATH=/bin"], cwd: "/srv"},
        root: {path: "rootfs"}, hostname: "sandbox",
        mounts: [{destination: "/proc", type: "proc", source: "proc"}, {destination: "/tmp", type: "tmpfs", source: "tmpfs"}],
        linux: {namespaces: [{type: "pid"}, {type: "network"}, {type: "ipc"}, {type: "uts"}, {type: "mount"}]}
    }' >"$work/$1/config.json"
}

# Whole paths: by a mere name the shell would run itself.
bundle shop '/bin/cat orders | /bin/wc -l
    /bin/nc -l -p 8080 </dev/null >/tmp/in & /bin/sleep 0.3; echo "GET /" | /bin/nc 127.0.0.1 8080; wait
    /bin/id; /bin/cat /etc/shadow; /bin/cat /root/.ssh/id_rsa
    /bin/cp /bin/busybox /tmp/x; /bin/chmod 755 /tmp/x; /tmp/x true
    /bin/nc 127.0.0.1 4444; exit 3'
bundle job 'for i in 1 2 3; do /bin/ls /srv >/dev/null; /bin/sleep 0.2; done'

sandboxes() {
    local pids=() pid
    for name in shop job; do
        (cd "$work/$name" && exec runsc --root "$work/state" --platform=ptrace --ignore-cgroups --network=none \
            --overlay2=all:memory --pod-init-config="$work/pod-init.json" run "$name" </dev/null >/dev/null 2>&1) &
        pids+=($!)
        sleep 0.1
    done
    for pid in "${pids[@]}"; do wait "$pid" || true; done
}
export -f sandboxes
export work

"$scapkit" gvisor config --socket "$socket" -o "$work/pod-init.json"
"$scapkit" record --engine gvisor --socket "$socket" --raw "$out" -o "$work/live.scap" -- bash -c sandboxes
"$scapkit" convert "$work/live.scap" "$work/plain.scap" --compress none
"$scapkit" convert "$out" - | cmp - "$work/plain.scap"
