"""One connection to the live stream: opened, read from, and cut from any thread at any moment.

Knows sockets. Must not know what comes, nor when to connect again.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util.wait import wait_for_write

from stepstream.reading.remote.link import CONNECT_S, Misdirected, Question
from stepstream.schemas.record import short_repr

if TYPE_CHECKING:
    from urllib3.response import HTTPResponse

    from stepstream.reading.remote.link import Link

    _SocketAddress = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

EVENTS = Question(("events",))
_RECEIVED_BYTES = 64 * 1024
_PROBLEM_BYTES_MAX = 64 * 1024
_MEDIA_TYPE = "text/event-stream"


class Knife:
    """Begins connections, and ends the last one from any thread; once it was used, none begins any more."""

    def __init__(self) -> None:
        # The garbage collector may cut in the middle of anything.
        self._lock = threading.RLock()
        self._held: socket.socket | None = None
        self._is_used = False

    def begin(self, connecting: socket.socket, place: _SocketAddress) -> None:
        """Begin to connect, and hold what can be cut from now on.

        Raises:
            OSError: The connection cannot even be begun.
        """
        with self._lock:
            if self._is_used:
                raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
            connecting.settimeout(0)
            failure = connecting.connect_ex(place)
            if failure not in {0, errno.EINPROGRESS}:
                raise OSError(failure, os.strerror(failure))
            self._drop()
            # Another name of the same connection: TLS takes the first one for itself.
            self._held = connecting.dup()

    def cut(self) -> None:
        """End the connection; whoever waits for it is woken."""
        with self._lock:
            self._is_used = True
            if self._held is not None:
                with suppress(OSError):
                    self._held.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """Let go of a connection that is closed."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()


class _Cuttable(HTTPConnection):
    """A connection that can be cut from its first moment."""

    knife: Knife

    def _new_conn(self) -> socket.socket:
        failure = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        for family, kind, protocol, _, place in socket.getaddrinfo(
            self._dns_host, self.port, type=socket.SOCK_STREAM
        ):
            connecting = socket.socket(family, kind, protocol)
            try:
                self.knife.begin(connecting, place)
                _finish(connecting)
            except OSError as error:
                connecting.close()
                failure = error
            else:
                return connecting
        raise failure


def _finish(connecting: socket.socket) -> None:
    """Wait until a connection is made.

    Raises:
        OSError: It cannot be, or it was cut.
    """
    if not wait_for_write(connecting, CONNECT_S):
        raise TimeoutError
    failure = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failure:
        raise OSError(failure, os.strerror(failure))
    connecting.getpeername()
    connecting.settimeout(CONNECT_S)
    connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _CuttableTls(_Cuttable, HTTPSConnection):
    """The same, encrypted."""


class Stream:
    """One connection. Used by one thread, but for ``cut``."""

    def __init__(self, link: Link, silence_s: float) -> None:
        """Prepare; nothing is connected yet.

        Args:
            link: To whom.
            silence_s: After so long without a word the connection is taken for dead.
        """
        self._link = link
        self._silence_s = silence_s
        self._knife = Knife()
        self._connection: _Cuttable | None = None
        self._response: HTTPResponse | None = None

    def open(self, place: str | None) -> None:
        """Connect, and ask for all that comes behind a place.

        Args:
            place: ``<epoch>:<cursor>``, or a cursor alone; None for what is committed from now on.

        Raises:
            StepstreamError: As ``Link.ask``.
        """
        headers = self._link.headers | {"accept": _MEDIA_TYPE}
        if place is not None:
            headers["last-event-id"] = place
        self._connection = connection = self._new_connection()
        connection.knife = self._knife
        try:
            connection.connect()
            connection.timeout = self._silence_s
            connection.request("GET", self._link.target(EVENTS), headers=headers, preload_content=False)
            self._response = response = connection.getresponse()
            body = b"" if response.status == HTTPStatus.OK else response.read(_PROBLEM_BYTES_MAX)
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            raise self._link.unreachable(error) from error
        if response.status != HTTPStatus.OK:
            raise self._link.failure(EVENTS, response.status, body)
        media_type = response.headers.get("content-type", "")
        if media_type.partition(";")[0].strip().lower() != _MEDIA_TYPE:
            raise Misdirected(
                self._link.address.text, f"it answers {short_repr(media_type)} where events are asked for"
            )

    def _new_connection(self) -> _Cuttable:
        host, port, tls = self._link.address.host, self._link.address.port, self._link.tls
        if tls is None:
            return _Cuttable(host, port, timeout=CONNECT_S)
        return _CuttableTls(host, port, timeout=CONNECT_S, ssl_context=tls)

    def read(self) -> bytes:
        """What has come, as soon as something has; nothing when the server has ended it.

        Raises:
            Unreachable: The connection broke, or nothing came for too long.
        """
        if self._response is None:
            return b""
        try:
            return self._response.read1(_RECEIVED_BYTES)
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            raise self._link.unreachable(error) from error

    def cut(self) -> None:
        """From any thread: end the connection, whatever is being done with it."""
        self._knife.cut()

    def close(self) -> None:
        """Let go of it."""
        self._knife.drop()
        response, self._response = self._response, None
        if response is not None:
            response.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
