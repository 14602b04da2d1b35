#!/usr/bin/env bash
# What recording costs, and what it keeps up with. As root, on a machine with nothing else to do:
#
#   cargo build --release && capture/benches/cost.sh
#
# 1. A system call: dd makes 3,000,000 of them on one processor, with the recorder on another, in turn with runs
#    without it. Reported is the best of five, in µs per call, and events lost.
# 2. Load: two programs write as fast as they can for 30 s. Reported are events per second, events lost, and the
#    recorder's processor time as a share of one processor.
# 3. A build: 10 C files, compiled one after another, in turn with and without. Reported is the median of five, and
#    the ratio.
set -euo pipefail
cd "$(dirname "$0")/../.."
scapkit=${SCAPKIT:-$PWD/target/release/scapkit}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rounds=${ROUNDS:-5}

record() { # record ARGS... in the background; sets $recorder once it records
    taskset -c 1 "$scapkit" record -o "$work/out.scap.zst" "$@" 2>"$work/notes" &
    recorder=$!
    sleep 2
}
stop() { kill -INT "$recorder"; wait "$recorder" || true; }
lost() { grep -o '[0-9,]* events lost' "$work/notes" || echo '0 events lost'; }
seconds() { local from=$EPOCHREALTIME; "$@" >/dev/null 2>&1; awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f\n", b - a }'; }
best() { sort -n | head -1; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

echo "== 1. cost of a call"
calls() { taskset -c 0 dd if=/dev/zero of=/dev/null bs=64 count=1500000; }
for _ in $(seq "$rounds"); do
    seconds calls >>"$work/bare"
    record
    seconds calls >>"$work/recorded"
    stop
    lost >>"$work/lost"
done
awk -v a="$(best <"$work/bare")" -v b="$(best <"$work/recorded")" 'BEGIN {
    printf "bare %.2f s, recorded %.2f s: %.2f times, %.2f µs per call\n", a, b, b / a, (b - a) / 3 }'
sort "$work/lost" | uniq -c

echo "== 2. load for 30 s"
record
before=$(awk '{ print $14 + $15 }' "/proc/$recorder/stat")
timeout 30 taskset -c 0 sh -c 'while :; do dd if=/dev/zero of=/dev/null bs=64 count=10000000 2>/dev/null; done' || true
after=$(awk '{ print $14 + $15 }' "/proc/$recorder/stat")
stop
events=$(grep -o '[0-9,]* events, ' "$work/notes" | tr -d ', a-z')
awk -v e="$events" -v t="$((after - before))" 'BEGIN {
    printf "%.2f M events/s, recorder at %.0f %% of a processor\n", e / 30e6, t / 30 }'
lost

echo "== 3. a build"
mkdir "$work/project"
for file in $(seq 10); do
    {
        echo '#include <stdio.h>' && echo '#include <stdlib.h>' && echo '#include <string.h>'
        for f in $(seq 60); do
            echo "int f${file}_$f(int n) { int s = 0; for (int i = 0; i < n; i++) s += printf(\"%d\", i * $f) + (int)strlen(getenv(\"A\")); return s; }"
        done
    } >"$work/project/$file.c"
done
build() { for file in "$work"/project/*.c; do cc -O2 -c "$file" -o "${file%.c}.o"; done; }
build
for _ in $(seq "$rounds"); do
    seconds build >>"$work/build"
    record
    seconds build >>"$work/build-recorded"
    stop
done
awk -v a="$(median <"$work/build")" -v b="$(median <"$work/build-recorded")" 'BEGIN {
    printf "%.2f s, recorded %.2f s: %+.1f %%\n", a, b, 100 * (b / a - 1) }'
