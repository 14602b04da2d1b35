#!/bin/sh
# Whether captures are whole, say names, and say nothing of this machine: check.sh SCAPKIT FOLDER
set -u
scapkit=$1 folder=$2 wrong=0
plain=$(mktemp)
trap 'rm -f "$plain" "$plain".scap' EXIT

complain() {
    echo "  WRONG: $*"
    wrong=1
}

# Words that only this machine has: its name, its control groups, folders above this one and the output.
words() {
    hostname
    sed 's/^[^:]*:[^:]*://' /proc/self/cgroup | tr / '\n'
    realpath "$folder" "$(dirname "$0")" "$scapkit" | tr / '\n' | grep -vxE 'tmp|work|out|bin|release|target|usr|local|record|corpus|scapkit'
    env | sed -n 's/^\(USER\|LOGNAME\|SUDO_USER\|HOSTNAME\)=//p' | grep -vx root
    tr ' ' '\n' </proc/cmdline | grep =
    printf '%s\n' /work/ /home/ /old/
    sed -n 's/^nameserver //p' /etc/resolv.conf
    ip -o address 2>/dev/null | awk '{ sub("/.*", "", $4); print $4 }' | grep -vE '^(127\.|::1$)'
}

for file in "$folder"/incident-2026.* "$folder"/web-server.* "$folder"/build.* "$folder"/container.* \
    "$folder"/universal.* "$folder"/many-threads.*; do
    case $file in *.digest) continue ;; esac
    echo "$file: $(stat -c %s "$file") bytes"
    "$scapkit" verify "$file" || complain verify
    "$scapkit" convert "$file" "$plain.scap" --compress none
    for word in $(words | sort -u); do
        [ ${#word} -ge 3 ] || continue
        if grep -aqF -e "$word" "$plain.scap"; then
            complain "has the word $word $(grep -aoF -e "$word" "$plain.scap" | wc -l) times"
        fi
    done
    opened=$("$scapkit" read "$file" 'evt.type in (open, openat, openat2) and evt.dir="<" and evt.failed=false' \
        -p '*%evt.num %evt.type %fd.name')
    [ -n "$opened" ] || complain "no file was opened"
    echo "$opened" | grep -F '<NA>' && complain "open files without names"
    "$scapkit" read "$file" -p '*%proc.name %proc.exepath %user.name' | sort | uniq -c | sort -rn | head -n 30
    "$scapkit" read --all "$file" evt.type=drop -p '%evt.num %evt.args' | head -n 3 | grep . && complain "events were dropped"
    # The universal profile has no event that says what dup2 does.
    case $file in */universal.scap) continue ;; esac
    "$scapkit" read "$file" 'evt.is_io=true' -p '*%evt.num %evt.type %fd.num %fd.name' | grep -F '<NA>' | head -n 5 | grep . &&
        complain "I/O on files without names"
done
exit $wrong
