"""Passages: what goes through the guard once somebody is let in, in both directions.

A passage counts what comes, sees to the headers of what goes, looks now and then whether whoever was let in
may stay, and turns errors into answers. Knows ASGI messages. Must not know who is let in, nor why.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from stepstream.errors import StepstreamError
from stepstream.server.auth.tokens import masked
from stepstream.server.guard.answer import answer_to, with_standing
from stepstream.server.problems import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Scope, Send

    from stepstream.server.guard.limits import Limits

_log = logging.getLogger("stepstream.server")

_EVENT_STREAM = b"text/event-stream"
_POLICY_VIOLATION, _SERVER_FAILED = 1008, 1011


class Ended(OSError):
    """The connection is over for whoever writes to it, as ASGI says that it is."""


class Passage:
    """What HTTP and WebSocket have in common.

    There are thousands of them at a time, so that each has slots and none has parts of its own.

    Attributes:
        request_id: What the request is called in answers and in the log.
        is_https: Whether it came over TLS.
        is_api: Whether it is one of the API.
        limits: What a client may ask for.
        still_valid: Tells whether whoever was let in may stay; None for one that always may.
        cookie: A Set-Cookie header for the answer.
        body_bytes_max: The largest body it may have; None where it has none.
    """

    __slots__ = (
        "_look_at",
        "_receive",
        "_send",
        "_started",
        "body_bytes_max",
        "cookie",
        "is_api",
        "is_https",
        "limits",
        "request_id",
        "still_valid",
    )

    def __init__(
        self, receive: Receive, send: Send, request_id: str, limits: Limits, *, is_https: bool, is_api: bool
    ) -> None:
        self._receive = receive
        self._send = send
        self._started = False
        self._look_at = 0.0
        self.request_id = request_id
        self.limits = limits
        self.is_https = is_https
        self.is_api = is_api
        self.still_valid: Callable[[], bool] | None = None
        self.cookie: str | None = None
        self.body_bytes_max: int | None = None

    @property
    def receiver(self) -> Receive:
        """What the application receives by."""
        return self._receive

    async def send(self, message: Message) -> None:
        """Pass on what the application says."""
        raise NotImplementedError

    async def fail(self, error: Exception, scope: Scope) -> None:
        """Answer in the place of an application that has failed, or was never asked."""
        raise NotImplementedError

    def _begin(self) -> None:
        """The answer begins. Whoever asked to be signed out is told so, before we look again who it is."""
        self._started = True
        self._look_at = time.monotonic() + self.limits.recheck_interval_s

    def _check_validity(self) -> None:
        """Look whether whoever was let in may stay, if the last look is some time ago.

        Raises:
            Ended: They may not.
        """
        if self.still_valid is None:
            return
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self.limits.recheck_interval_s
            if not self.still_valid():
                raise Ended("the token or the session has ended")

    async def _pass_on(self, message: Message) -> None:
        """Send, and wait no longer than a client may take.

        Raises:
            Ended: It takes nothing.
        """
        try:
            async with asyncio.timeout(self.limits.send_timeout_s):
                await self._send(message)
        except TimeoutError:
            raise Ended("the client takes nothing") from None

    def _tell(self, error: Exception, scope: Scope) -> None:
        """Write into the log what a client is not told."""
        what = f"{scope.get('method', 'WebSocket')} {scope['path']!r}"
        if isinstance(error, StepstreamError):
            _log.warning("%s failed: %s (request %s)", what, masked(str(error)), self.request_id)
        elif not isinstance(error, Refused):
            _log.error("%s failed (request %s)", what, self.request_id, exc_info=error)

    async def _drop(self, scope: Scope) -> None:
        """End the connection at once, with all that is still to be sent."""
        abort: Callable[[], None] | None = scope["state"].get("abort")
        if abort is not None:
            abort()
            # The server hears of it in the next turn, and then does not complain of half an answer.
            await asyncio.sleep(0)


class HttpPassage(Passage):
    """One request and its answer."""

    __slots__ = ("_is_complete", "_is_event_stream", "_is_replaced", "_received", "_refusal", "_waited_s")

    def __init__(
        self, receive: Receive, send: Send, request_id: str, limits: Limits, *, is_https: bool, is_api: bool
    ) -> None:
        super().__init__(receive, send, request_id, limits, is_https=is_https, is_api=is_api)
        self._is_complete = False
        self._is_event_stream = False
        self._is_replaced = False
        self._received = 0
        self._refusal: Refused | None = None
        self._waited_s = 0.0

    @property
    def receiver(self) -> Receive:
        # Without a body there is nothing to count, and one call less on the way.
        return self._receive if self.body_bytes_max is None else self.receive

    async def fail(self, error: Exception, scope: Scope) -> None:
        if isinstance(error, ClientDisconnect):
            return
        if not isinstance(error, Ended):
            self._tell(error, scope)
            if not self._started:
                await self._answer(error)
                return
        if not self._is_complete:
            # Half an answer must not look like a whole one.
            await self._drop(scope)

    async def _answer(self, error: Exception) -> None:
        answer = answer_to(error, self.request_id)
        await self._start(answer.status, answer.headers)
        await self._pass_on({"type": "http.response.body", "body": answer.body})
        self._is_complete = True

    async def receive(self) -> Message:
        """A piece of the body, counted; waits no longer than a client may take for it."""
        limits, largest = self.limits, self.body_bytes_max
        if largest is None or self._refusal is not None:
            return await self._receive()
        began = time.monotonic()
        allowed_s = limits.body_grace_s + self._received / limits.body_bytes_a_second_min
        try:
            async with asyncio.timeout(max(0.0, allowed_s - self._waited_s)):
                message = await self._receive()
        except TimeoutError:
            raise self._refused(
                Refused(408, "the body came too slowly; send it again", headers=[("connection", "close")])
            ) from None
        if message["type"] == "http.request":
            self._waited_s += time.monotonic() - began
            self._received += len(message.get("body", b""))
            if self._received > largest:
                raise self._refused(too_large(largest))
            if not message.get("more_body", False):
                # From here on it only tells that the client has gone, and that may take as long as it does.
                self.body_bytes_max = None
        return message

    def _refused(self, refusal: Refused) -> Refused:
        # Whoever reads the body may make another error of this one; then it is put right in the answer.
        self._refusal = refusal
        return refusal

    async def send(self, message: Message) -> None:
        if self._is_replaced:
            return
        if message["type"] == "http.response.start":
            if self._refusal is not None:
                self._is_replaced = True
                await self._answer(self._refusal)
            else:
                await self._start(message["status"], list(message.get("headers", ())))
            return
        self._check_validity()
        if self._is_event_stream:
            # The stream has its own patience, and a thousand clients at a time.
            await self._send(message)
        else:
            await self._pass_on(message)
        self._is_complete = not message.get("more_body", False)

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._begin()
        names = dict(headers)
        self._is_event_stream = names.get(b"content-type", b"").startswith(_EVENT_STREAM)
        # What is kept in a cache must not hold a session.
        is_kept = b"no-store" not in names.get(b"cache-control", b"no-store" if self.is_api else b"")
        if self.cookie is not None and not is_kept and b"set-cookie" not in names:
            headers.append((b"set-cookie", self.cookie.encode("latin-1")))
        headers = with_standing(headers, self.request_id, is_https=self.is_https, is_api=self.is_api)
        await self._pass_on({"type": "http.response.start", "status": status, "headers": headers})


class WebSocketPassage(Passage):
    """One WebSocket."""

    __slots__ = ("_is_over",)

    def __init__(
        self, receive: Receive, send: Send, request_id: str, limits: Limits, *, is_https: bool, is_api: bool
    ) -> None:
        super().__init__(receive, send, request_id, limits, is_https=is_https, is_api=is_api)
        self._is_over = False

    async def fail(self, error: Exception, scope: Scope) -> None:
        is_ours = isinstance(error, Ended | Refused)
        if isinstance(error, OSError) and not is_ours:
            # So a server says that the client has gone.
            return
        if not is_ours:
            self._tell(error, scope)
        if self._started:
            await self._close(_POLICY_VIOLATION if is_ours else _SERVER_FAILED, scope)
        else:
            await self._answer(error)

    async def _answer(self, error: Exception) -> None:
        """Answer as HTTP does: there will be no WebSocket."""
        answer = answer_to(error, self.request_id)
        headers = with_standing(answer.headers, self.request_id, is_https=self.is_https, is_api=self.is_api)
        self._is_over = True
        await self._pass_on(
            {"type": "websocket.http.response.start", "status": answer.status, "headers": headers}
        )
        await self._pass_on({"type": "websocket.http.response.body", "body": answer.body})

    async def send(self, message: Message) -> None:
        if self._is_over:
            raise Ended("the WebSocket is closed")
        match message["type"]:
            case "websocket.send":
                self._check_validity()
            case "websocket.accept":
                self._begin()
                name = (b"x-request-id", self.request_id.encode("ascii"))
                message = {**message, "headers": [*message.get("headers", ()), name]}
            case "websocket.close":
                self._is_over = True
            case _:
                self._started = True
        await self._send(message)

    async def _close(self, code: int, scope: Scope) -> None:
        if self._is_over:
            return
        self._is_over = True
        try:
            await self._pass_on({"type": "websocket.close", "code": code})
        except Ended:
            await self._drop(scope)


def too_large(bytes_max: int) -> Refused:
    """A body is larger than it may be."""
    return Refused(413, f"the body may have {bytes_max:,} bytes; send less at a time")
