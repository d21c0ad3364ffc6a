# A web server that answers HEAD like GET, with the body: http.server and a do_HEAD that many people have written.
# The head goes out first and the body in a write of its own. Prints its port. Bodies name the path they are for.

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.path.encode()
        # A path that begins with /like/ has a body that could be an answer itself.
        if self.path.startswith("/like/"):
            body = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
        self.send_response(200)
        # Without a length nothing announces the body that follows on HEAD.
        if self.command == "GET" or "silent" not in self.path:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
