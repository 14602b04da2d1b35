#!/bin/sh
# A little of everything that old readers know: files, a pipe, a child, TCP and UDP, a failure, a signal.
cd /srv/www
cat index.html | wc -c >/tmp/count
cp table.txt /tmp/copy.txt
chmod 600 /tmp/copy.txt
rm /tmp/copy.txt
cat /nonexistent 2>/dev/null
nc -l -N 127.0.0.1 9000 >/dev/null &
server=$!
sleep 0.2
echo hello | nc -N 127.0.0.1 9000
wait "$server"
echo datagram | nc -u -w 1 -q 0 127.0.0.1 9001
sleep 30 &
kill "$!"
wait
true
