#!/bin/sh
# Records the captures of corpus/ anew: record.sh SCAPKIT OUT [ROOT]
#
# SCAPKIT is the program, OUT the folder for the captures. ROOT is a folder with a Debian; without it, one is made with
# debootstrap. Needs root. Everything runs in that root, with a host name, a network and mounts of its own and an empty
# environment, so that nothing of the recording machine gets into the captures; check.sh says whether that is so.
# Control groups that podman makes are made in the machine's own hierarchies, and removed again.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
scapkit=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=${3:-$work/root}
if [ ! -d "$root" ]; then
    packages=python3-minimal,libpython3-stdlib,procps,iproute2,curl,netcat-openbsd,gcc,libc6-dev,make
    debootstrap --variant=minbase --include="$packages,podman,runc,netavark" bookworm "$root" >"$work/debootstrap.log"
fi
mkdir "$work/new"
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin HOME=/root LANG=C.UTF-8 \
    unshare -n -m -u sh "$scripts/inside.sh" "$root" "$scripts" "$scapkit" "$work/new" </dev/null | cat >"$work/captures.tar"
mkdir "$work/captures"
tar -C "$work/captures" --no-same-owner -xf "$work/captures.tar"

# What cannot be kept out beforehand: see mend.py. Then into OUT, where other captures may be.
for file in "$work"/captures/*; do
    name=${file##*/}
    "$scapkit" convert "$file" "$work/plain.scap" --compress none 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
    python3 "$scripts/mend.py" "$work/plain.scap"
    case $name in
    *.scap) cp "$work/plain.scap" "$work/$name" ;;
    *) "$scapkit" convert "$work/plain.scap" "$work/$name" 2>"$work/said" || { cat "$work/said" >&2; exit 1; } ;;
    esac
    install -m 644 "$work/$name" "$out/$name"
    rm "$work/plain.scap" "$work/$name"
done
"$scripts/check.sh" "$scapkit" "$out"
