"""A server that answers with the bytes it is given, whatever is asked, and keeps what was asked.

It stands for the servers that are none of ours, broken, or of another release.
"""

from __future__ import annotations

import socket
import ssl
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence


def answer(
    status: int, body: bytes | str, media_type: str = "application/problem+json", **headers: str
) -> bytes:
    """A whole answer."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"content-type: {media_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines.append(f"content-length: {len(content)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + content


class CannedServer:
    """Answers on a port of the loopback.

    Attributes:
        port: The port.
        requests: The head of every request, in order.
        connections: How many there were.
    """

    def __init__(self, *answers: bytes, stays: bool = True, tls: ssl.SSLContext | None = None) -> None:
        """Listen.

        Args:
            answers: What is answered to the first request, the second, and so on; the last one again and again.
            stays: Whether a connection is kept for the next request.
            tls: How connections are encrypted; None for not at all.
        """
        self._tls = tls
        self.requests: list[str] = []
        self.connections = 0
        self._answers: Sequence[bytes] = answers
        self._stays = stays
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http{'' if self._tls is None else 's'}://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        waiting = b""
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while data := connection.recv(65536):
                waiting += data
                while b"\r\n\r\n" in waiting:
                    head, _, waiting = waiting.partition(b"\r\n\r\n")
                    self.requests.append(head.decode("latin-1"))
                    self._open.append(connection)
                    given = self._answers[min(len(self.requests), len(self._answers)) - 1]
                    connection.sendall(given)
                    if not self._stays:
                        return
        except OSError:
            pass
        finally:
            connection.close()

    def close(self) -> None:
        """Stop listening, and end every connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
