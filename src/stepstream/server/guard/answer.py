"""Answers that the guard gives itself, and the headers that every answer carries.

Knows what a browser must be told and what a client may be told. Must not know who asks.
"""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import NamedTuple

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from stepstream.errors import (
    ArtifactRefused,
    Busy,
    EpisodeNotFound,
    FilterInvalid,
    Full,
    MissingExtra,
    StepstreamError,
    ValidationFailed,
)
from stepstream.schemas.record import short_repr
from stepstream.server.auth.access import request_id_of
from stepstream.server.auth.tokens import masked
from stepstream.server.problems import PROBLEM_JSON, FieldProblem, ProblemDetails, Refused, status_of

Headers = list[tuple[bytes, bytes]]

HANDLED_ERRORS: tuple[type[Exception], ...] = (
    Refused,
    StepstreamError,
    HTTPException,
    RequestValidationError,
    Exception,
)
"""What ``answer_problem`` is to be registered for, so that every error of a route is told in the same way."""

_INTERNAL = "the server failed at this; its log tells why, under this request id"
_WHEN_THERE_IS_ROOM = (("retry-after", "60"),)
_UNPROCESSABLE, _SERVER_ERROR = 422, 500
_YEAR_S = 365 * 24 * 3600


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: Headers
    body: bytes


def answer_to(error: Exception, request_id: str) -> Answer:
    """The problem details that tell a client of an error, and nothing from inside."""
    details, more = _details(error, request_id)
    # What a client sent is repeated to tell what is wrong with it, but for this.
    body = masked(details.model_dump_json()).encode()
    headers = [
        (b"content-type", PROBLEM_JSON.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in more),
    ]
    return Answer(details.status, headers, body)


async def answer_problem(connection: HTTPConnection, error: Exception) -> Response:
    """The exception handler of an app behind the guard, for every kind of error.

    Raises:
        Exception: The same again where a WebSocket was asked for: the guard answers it.
    """
    if not isinstance(connection, Request):
        raise error
    answer = answer_to(error, request_id_of(connection.scope))
    response = Response(answer.body, answer.status)
    response.raw_headers = answer.headers
    return response


def _details(error: Exception, request_id: str) -> tuple[ProblemDetails, tuple[tuple[str, str], ...]]:
    detail = _INTERNAL
    more: tuple[tuple[str, str], ...] = ()
    position: int | None = None
    problems: tuple[FieldProblem, ...] = ()
    match error:
        case Refused():
            status, detail, more, problems = error.status, error.detail, error.headers, error.problems
        case HTTPException():
            status, detail = error.status_code, str(error.detail)
            more = tuple((error.headers or {}).items())
        case RequestValidationError():
            status, detail, problems = (
                _UNPROCESSABLE,
                "the request does not fit; correct what is named",
                _problems(error),
            )
        case StepstreamError():
            status = status_of(error)
            detail, more = _told(error, status)
            if isinstance(error, FilterInvalid):
                position = error.position
            if isinstance(error, ValidationFailed):
                problems = tuple(FieldProblem(**problem._asdict()) for problem in error.problems)
        case _:
            status = _SERVER_ERROR
    details = ProblemDetails(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=request_id,
        position=position,
        candidates=error.candidates if isinstance(error, EpisodeNotFound) else (),
        problems=problems,
    )
    return details, more


def _told(error: StepstreamError, status: int) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What is said of an error of ours: where the server is at fault, its message may name its files."""
    match error:
        case Busy():
            return "another program holds the database; try again", (("retry-after", "1"),)
        case Full():
            return "the server's disk is full; try again when there is room", _WHEN_THERE_IS_ROOM
        case ArtifactRefused(lacks_room=True):
            return "the server has no room for the file; try again when there is room", _WHEN_THERE_IS_ROOM
        case MissingExtra():
            return str(error), ()
        case _:
            return (str(error) if status < _SERVER_ERROR else _INTERNAL), ()


def _problems(error: RequestValidationError) -> tuple[FieldProblem, ...]:
    return tuple(
        FieldProblem(
            field=".".join(map(str, found["loc"])), value=short_repr(found.get("input")), reason=found["msg"]
        )
        for found in error.errors()
    )


@cache
def _standing(*, is_https: bool, is_api: bool) -> Headers:
    headers = [
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"x-frame-options", b"DENY"),
        (
            b"content-security-policy",
            b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ]
    if is_api:
        headers.append((b"cache-control", b"no-store"))
    if is_https:
        headers.append((b"strict-transport-security", f"max-age={_YEAR_S}".encode()))
    return headers


def with_standing(headers: Headers, request_id: str, *, is_https: bool, is_api: bool) -> Headers:
    """The headers of an answer, and those that every answer carries where it does not say otherwise."""
    present = {name.lower() for name, _ in headers}
    return [
        *headers,
        *(pair for pair in _standing(is_https=is_https, is_api=is_api) if pair[0] not in present),
        (b"x-request-id", request_id.encode("ascii")),
    ]
