"""The base of the demo's HTTP servers: on 127.0.0.1, on threads of its own, gone when it is left (door: network)."""

import socket
import sys
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

HOST = "127.0.0.1"
MOST_CONNECTIONS = 64
"""More at a time are closed unanswered."""
PATIENCE_S = 20.0
"""A silent client is left after so long."""


class _Server(ThreadingHTTPServer):
    """Keeps an eye on its connections, so that none outlives it."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int) -> None:
        self.open: set[socket.socket] = set()
        super().__init__((HOST, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self.open) >= MOST_CONNECTIONS:
            return self.shutdown_request(request)
        self.open.add(request)
        return super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away is no news
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers requests without a word on the terminal."""

    timeout = PATIENCE_S
    disable_nagle_algorithm = True  # headers and body go out in two writes

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is http.server's)
        """Nothing: the demo speaks for itself."""

    def answer(
        self, status: int, body: bytes = b"", kind: str = "text/plain", headers: dict[str, str] | None = None
    ) -> None:
        """Send a whole answer; its body is kept back from HEAD."""
        self.send_response(status)
        if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class LoopbackServer:
    """An HTTP server for as long as it is entered.

    Attributes:
        stopping: set when it is being left; whatever answers slowly looks at it.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int, name: str = HOST) -> None:
        self.stopping = threading.Event()
        self._server, self._name = _Server(handler, port), name
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on, also where 0 was asked for."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Root address, without a slash at its end."""
        return f"http://{self._name}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in tuple(self._server.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes whoever waits on it
        self._thread.join()
