"""The metrics by HTTP, on this machine alone."""

from __future__ import annotations

import ipaddress
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from analyzer.errors import UsageError

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Page:
    """The text that is served; replaced whole."""

    def __init__(self) -> None:
        self.text = "# EOF\n"


def listen(where: str, page: Page) -> ThreadingHTTPServer:
    """Serve ``/metrics`` at ``127.0.0.1:PORT`` or ``[::1]:PORT`` from a thread; raises UsageError for another place."""
    host, _, port = where.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]") if host != "localhost" else "127.0.0.1")
        number = int(port)
    except ValueError:
        raise UsageError(f"--listen {where}: give an address and a port, such as 127.0.0.1:9469") from None
    if not address.is_loopback:
        raise UsageError(f"--listen {where}: not an address of this machine alone; a proxy can make it public")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.partition("?")[0] in ("/metrics", "/")
            content = page.text.encode() if found else b"the metrics are at /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", CONTENT_TYPE if found else "text/plain")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = 10 if address.version == 6 else 2  # AF_INET6, AF_INET
        daemon_threads = True

    try:
        server = Server((str(address), number), Handler)
    except OSError as error:
        raise UsageError(f"--listen {where}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
