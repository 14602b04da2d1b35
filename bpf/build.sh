#!/usr/bin/env bash
# Builds the probe's object from its sources, with clang 19. The object is committed, so that building scapkit needs
# no clang; CI runs `bpf/build.sh check`, which fails when the object is not what the sources give.
set -euo pipefail
cd "$(dirname "$0")/src/c"
clang=${CLANG:-clang-19} strip=${LLVM_STRIP:-llvm-strip-19}
out=../probe.o
[ "${1:-}" != check ] || out=$(mktemp)

# v3 of the instruction set (5.1) has 32-bit jumps. No built-ins: `fork` and `signal` are names of ours.
"$clang" -target bpf -mcpu=v3 -O2 -g -ffreestanding -fno-builtin -ffile-prefix-map="$PWD"=. \
    -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-parameter -Wno-sign-compare -c probe.c -o "$out"
# Debugging information goes, the kernel's type information stays.
"$strip" -g "$out"

if [ "${1:-}" = check ]; then
    cmp "$out" ../probe.o && echo "bpf/src/probe.o is what the sources give"
    rm -f "$out"
fi
