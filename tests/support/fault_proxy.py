"""A network that fails: a proxy on the loopback between a client and a server, with faults on order.

It passes bytes on, and can be late, cut a connection after so many bytes in either direction, close one side of
it, drip, swallow an answer that the server has given, answer by itself as a gateway does, and be out of reach.
Everything the client sent is kept, so that a test can look for what should not have left the machine.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE_BYTES = 64 * 1024
_LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Fault:
    """What happens to one connection.

    Attributes:
        delay_s: How long each piece is held back, in both directions.
        request_bytes: After so many bytes from the client the connection is cut; None never.
        answer_bytes: After so many bytes from the server it is cut; 0 swallows the answer.
        is_half: A cut closes the sending side alone, and nothing more comes.
        is_reset: A cut is a reset, not an end.
        drip_bytes: The answer comes in pieces of so many bytes, ``delay_s`` apart.
        is_deaf: The connection is accepted, and nothing ever comes.
        answers: What the first request, the second, and so on are answered with, in place of the server.
    """

    delay_s: float = 0.0
    request_bytes: int | None = None
    answer_bytes: int | None = None
    is_half: bool = False
    is_reset: bool = False
    drip_bytes: int | None = None
    is_deaf: bool = False
    answers: tuple[bytes, ...] = ()


SOUND = Fault()


class FaultProxy:
    """A proxy in front of one server."""

    def __init__(self, port: int, plan: Callable[[int], Fault] | None = None) -> None:
        """Listen.

        Args:
            port: Where the server is, on the loopback.
            plan: The fault of the first connection, the second, and so on; none by default.
        """
        self.target = port
        self.plan = plan or (lambda _: SOUND)
        self.connections = 0
        self.sent = bytearray()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._wake = os.eventfd(0)
        self._threads: list[threading.Thread] = []
        self._start()

    @property
    def url(self) -> str:
        """What a client takes for the server."""
        return f"http://127.0.0.1:{self.port}"

    def heal(self) -> None:
        """New connections are sound from here on."""
        self.plan = lambda _: SOUND

    def fail(self, *faults: Fault) -> None:
        """The next connections have these faults, and those after them none; what is open is cut."""
        first = self.connections
        self.plan = lambda number: faults[number - first] if number - first < len(faults) else SOUND
        self.cut()

    def cut(self) -> None:
        """Cut every connection there is."""
        with self._lock:
            connections = list(self._open)
        for each in connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Be out of reach: nobody listens."""
        os.eventfd_write(self._wake, 1)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        os.eventfd_read(self._wake)
        self._listener.close()
        self.cut()

    def accept(self) -> None:
        """Be in reach again, at the same place."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._start()

    def close(self) -> None:
        """Stop."""
        self.refuse()
        os.close(self._wake)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- connections

    def _start(self) -> None:
        thread = threading.Thread(target=self._listen, args=(self._listener,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self, listener: socket.socket) -> None:
        poll = select.poll()
        for descriptor in (listener.fileno(), self._wake):
            poll.register(descriptor, select.POLLIN)
        while True:
            if any(descriptor == self._wake for descriptor, _ in poll.poll()):
                return
            client, _ = listener.accept()
            number, self.connections = self.connections, self.connections + 1
            threading.Thread(target=self._connect, args=(client, self.plan(number)), daemon=True).start()

    def _connect(self, client: socket.socket, fault: Fault) -> None:
        with self._lock:
            self._open.add(client)
        try:
            if fault.is_deaf:
                while client.recv(_PIECE_BYTES):
                    pass
            elif fault.answers:
                self._answer(client, fault)
            else:
                self._pass_on(client, fault)
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(client)
            client.close()

    def _pass_on(self, client: socket.socket, fault: Fault) -> None:
        server = socket.create_connection(("127.0.0.1", self.target))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            back = threading.Thread(target=self._return, args=(server, client, fault), daemon=True)
            back.start()
            left = fault.request_bytes
            while data := client.recv(_PIECE_BYTES):
                self.sent += data
                time.sleep(fault.delay_s)
                server.sendall(data if left is None else data[:left])
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        break
            if left is not None and left <= 0:
                _end(client, fault)
                _end(server, fault)
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            if not fault.is_reset:
                back.join()
        finally:
            server.close()

    def _return(self, server: socket.socket, client: socket.socket, fault: Fault) -> None:
        left = fault.answer_bytes
        with suppress(OSError):
            while data := server.recv(_PIECE_BYTES):
                for start in range(0, len(data), fault.drip_bytes or len(data)):
                    piece = data[start : start + (fault.drip_bytes or len(data))]
                    time.sleep(fault.delay_s)
                    client.sendall(piece if left is None else piece[:left])
                    if left is not None:
                        left -= len(piece)
                        if left <= 0:
                            _end(client, fault)
                            return
        # A server that was killed ends its connections too.
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, fault: Fault) -> None:
        """Answer whole requests by ourselves."""
        waiting = b""
        for answer in fault.answers:
            while b"\r\n\r\n" not in waiting:
                waiting += self._received(client)
            head, _, waiting = waiting.partition(b"\r\n\r\n")
            while len(waiting) < _length(head):
                waiting += self._received(client)
            waiting = waiting[_length(head) :]
            client.sendall(answer)
        client.shutdown(socket.SHUT_RDWR)

    def _received(self, client: socket.socket) -> bytes:
        data = client.recv(_PIECE_BYTES)
        if not data:
            raise ConnectionAbortedError
        self.sent += data
        return data


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _end(connection: socket.socket, fault: Fault) -> None:
    with suppress(OSError):
        if fault.is_half:
            connection.shutdown(socket.SHUT_WR)
        elif fault.is_reset:
            # What is closed now is reset; whoever still reads from it is woken.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            connection.shutdown(socket.SHUT_RD)
        else:
            connection.shutdown(socket.SHUT_RDWR)


def every(*faults: Fault) -> Callable[[int], Fault]:
    """A plan that goes round these faults."""
    ring = itertools.cycle(faults)
    return lambda _: next(ring)
