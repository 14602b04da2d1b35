"""The shop of incident-2026: looks a host name up with a shell, and so runs whatever it is told to."""

import http.server
import subprocess
import urllib.parse

LOG = open("/var/log/shop/access.log", "a", buffering=1)


class Shop(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        form = urllib.parse.parse_qs(self.rfile.read(length).decode())
        host = form.get("host", [""])[0]
        ran = subprocess.run("getent hosts " + host, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.answer(200, ran.stdout)

    def do_GET(self):
        if self.path == "/":
            self.answer(200, b"<form method=post action=/lookup><input name=host></form>\n")
        else:
            self.answer(404, b"nothing here\n")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *words):
        LOG.write("%s %s\n" % (self.client_address[0], form % words))


http.server.HTTPServer(("192.0.2.10", 80), Shop).serve_forever()
