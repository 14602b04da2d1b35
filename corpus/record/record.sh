#!/bin/sh
# Records the captures of corpus/ anew: record.sh SCAPKIT OUT [ROOT]
#
# SCAPKIT is the program, OUT the folder for the captures. ROOT is a folder with a Debian; without it, one is made with
# debootstrap. Needs root. Everything runs in that root, with a host name, a network and mounts of its own and an empty
# environment, so that nothing of the recording machine gets into the captures; check.sh says whether that is so.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
scapkit=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=${3:-$work/root}
if [ ! -d "$root" ]; then
    debootstrap --variant=minbase \
        --include=python3-minimal,libpython3-stdlib,procps,iproute2,curl,netcat-openbsd,gcc,libc6-dev,make,runc,podman,netavark \
        bookworm "$root"
fi
mkdir "$work/new"
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin HOME=/root LANG=C.UTF-8 \
    unshare -n -m -u sh "$scripts/inside.sh" "$root" "$scripts" "$scapkit" "$work/new" </dev/null | cat >"$work/captures.tar"
tar -C "$out" --no-same-owner -xf "$work/captures.tar"

# What cannot be kept out beforehand. See mend.py.
for file in "$out"/*.scap*; do
    case $file in *.digest) continue ;; esac
    "$scapkit" convert "$file" "$work/plain.scap" --compress none
    python3 "$scripts/mend.py" "$work/plain.scap"
    case $file in
    *.scap) mv "$work/plain.scap" "$file" ;;
    *) "$scapkit" convert "$work/plain.scap" "$work/${file##*/}" && mv "$work/${file##*/}" "$file" ;;
    esac
    chmod 644 "$file"
done 2>/dev/null

"$scripts/check.sh" "$scapkit" "$out"
