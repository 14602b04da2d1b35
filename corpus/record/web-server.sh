#!/bin/sh
# A web server, and clients one after another, at once, over IPv4 and IPv6, with and without success.
cd /srv/www
python3 -S -m http.server --bind :: 8080 >/var/log/www.log 2>&1 &
server=$!
until curl -s -o /dev/null http://127.0.0.1:8080/; do sleep 0.1; done
curl -s http://192.0.2.10:8080/index.html >/dev/null
curl -s -g 'http://[::1]:8080/index.html' >/dev/null
curl -s -g 'http://[2001:db8::10]:8080/table.txt' -o /tmp/table.txt
curl -s -I http://192.0.2.10:8080/table.txt >/dev/null
curl -s http://127.0.0.1:8080/missing.html >/dev/null
curl -s -X DELETE http://127.0.0.1:8080/index.html >/dev/null
for n in 1 2 3; do
    curl -s "http://192.0.2.10:8080/table.txt?$n" -o /dev/null &
    clients="$clients $!"
done
wait $clients
kill "$server"
wait "$server"
# Nobody listens any more.
curl -s http://127.0.0.1:8080/
true
