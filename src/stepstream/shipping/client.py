"""The client: one connection to one server, requests one after the other, and a bound on how long each takes.

It never follows a redirect, so that the token goes to the stated origin alone; it verifies certificates; and
it never connects by itself in the middle: who asks connects first, and knows by ``connections`` that the
server may be another one since.

Knows HTTP. Must not know what is posted.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, NamedTuple

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NameResolutionError

from stepstream.schemas.record import printable
from stepstream.schemas.release import RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stepstream.shipping.address import ServerAddress

CONNECT_S = 5.0
ANSWER_S = 35.0
"""A little longer than a server takes to say that it cannot."""
_ANSWER_BYTES_MAX = 1024 * 1024
_PIECE_BYTES = 256 * 1024
_REASON_CHARACTERS_MAX = 200
_LATE = "no answer in time"


class NoAnswer(Exception):
    """No answer came that could be understood; whether the request was carried out is not known.

    Attributes:
        is_late: Whether there was too little time for it.
    """

    def __init__(self, reason: str, *, is_late: bool = False) -> None:
        self.is_late = is_late
        super().__init__(reason)


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """Requests to one server.

    Not thread-safe, but for ``cut_late``, which another thread calls now and then: it alone bounds a server
    that goes on answering a byte at a time.
    """

    def __init__(self, address: ServerAddress, *, answer_s: float = ANSWER_S) -> None:
        """Prepare; nothing is connected yet.

        Args:
            address: Where the server is.
            answer_s: How long a piece of a request may take to be sent, and an answer to come.
        """
        self.connections = 0
        self._address = address
        self._answer_s = answer_s
        self._connection: HTTPConnection | None = None
        self._authorization: dict[str, str] = {}
        self._deadline: float | None = None
        self._was_cut = False

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection that the server has not closed."""
        return self._connection is not None and self._connection.is_connected

    def connect(self, token: str | None) -> None:
        """Make sure that there is a connection.

        Args:
            token: What every request on a new connection carries.

        Raises:
            NoAnswer: There is none to be had.
        """
        if self.is_connected:
            return
        self.close()
        self._authorization = {} if token is None else {"authorization": f"Bearer {token}"}
        self._connection = connection = self._new_connection()
        try:
            self._was_cut = False
            self._deadline = time.monotonic() + 2 * CONNECT_S
            connection.connect()
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            self.close()
            raise self._unreachable(error) from error
        finally:
            self._deadline = None
        connection.timeout = self._answer_s
        self.connections += 1

    def _new_connection(self) -> HTTPConnection:
        host, port = self._address.host, self._address.port
        if self._address.scheme == "https":
            return HTTPSConnection(host, port, timeout=CONNECT_S, ssl_context=ssl.create_default_context())
        return HTTPConnection(host, port, timeout=CONNECT_S)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | Iterable[bytes] = b"",
        body_bytes: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request on the present connection, and read the answer.

        Args:
            method: The method.
            path: The path behind the server's root.
            body: What is sent; in pieces where it is long.
            body_bytes: How long it is, where it comes in pieces.
            headers: Headers beside those of every request.

        Raises:
            NoAnswer: The connection has gone, or no answer came in time.
        """
        connection = self._connection
        if connection is None:
            raise NoAnswer("the connection was closed")
        sent = {
            "accept-encoding": "identity",
            "user-agent": f"stepstream/{RELEASE}",
            "content-length": str(len(body) if isinstance(body, bytes) else body_bytes),
            **(headers or {}),
            **self._authorization,
        }
        pieces = _pieces(body) if isinstance(body, bytes) else body
        try:
            # An answer may come before all was sent, as when the server has had enough.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(
                    method,
                    self._address.root + path,
                    body=self._watched(pieces),
                    headers=sent,
                    preload_content=False,
                )
            self._deadline = time.monotonic() + self._answer_s
            response = connection.getresponse()
            data = response.read(_ANSWER_BYTES_MAX + 1)
            if len(data) > _ANSWER_BYTES_MAX:
                raise NoAnswer("the answer is too long")
            if self._was_cut:
                # The end of an answer that has no length looks like this too.
                raise NoAnswer(_LATE, is_late=True)
            answer = Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, data)
        except NoAnswer:
            self.close()
            raise
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            self.close()
            raise self._unreachable(error) from error
        except BaseException:
            # Half of a request may be on its way: nothing else can follow it.
            self.close()
            raise
        finally:
            self._deadline = None
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def _watched(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        """The pieces of a body, each with time of its own."""
        for piece in pieces:
            self._deadline = time.monotonic() + self._answer_s
            yield piece

    def cut_late(self, latest_s: float | None = None) -> None:
        """From another thread: end a request that takes too long.

        Args:
            latest_s: How long the present request may still take at most.
        """
        deadline, connection = self._deadline, self._connection
        if deadline is None or connection is None:
            return
        now = time.monotonic()
        if latest_s is not None:
            self._deadline = deadline = min(deadline, now + latest_s)
        found: socket.socket | None = getattr(connection, "sock", None)
        if now >= deadline and found is not None:
            self._was_cut = True
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    def _unreachable(self, error: Exception) -> NoAnswer:
        if self._was_cut:
            return NoAnswer(_LATE, is_late=True)
        return NoAnswer(_reason(error), is_late=_is_late(error))

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _pieces(body: bytes) -> Iterable[bytes]:
    view = memoryview(body)
    return (bytes(view[start : start + _PIECE_BYTES]) for start in range(0, len(body), _PIECE_BYTES))


def _is_late(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, TimeoutError):
        error = error.__cause__ or error.__context__
    return error is not None


def _reason(error: BaseException | None) -> str:
    """Why there is no answer, in few words; never what was sent."""
    told = f"the connection broke ({type(error).__name__})"
    while error is not None:
        match error:
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {printable(error.verify_message)}"
            case NameResolutionError() | socket.gaierror():
                return "its name cannot be resolved"
            case TimeoutError():
                return _LATE
            case OSError() if error.strerror:
                return printable(error.strerror)[:_REASON_CHARACTERS_MAX]
            case _:
                error = error.__cause__ or error.__context__
    return told
