"""Answers: how a route's model becomes bytes, and how every error is told.

Knows FastAPI and pydantic. Which status an error has is ``problems``'; how it is written is the guard's,
since that has to tell of errors itself.
"""

from __future__ import annotations

import logging
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import Response

from stepstream.errors import StepstreamError
from stepstream.server.auth.access import request_id_of
from stepstream.server.auth.tokens import masked
from stepstream.server.guard.answer import HANDLED_ERRORS, answer_problem
from stepstream.server.problems import Refused, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI
    from starlette.requests import HTTPConnection

_log = logging.getLogger("stepstream.server")

_NOT_YET = "there is no database yet; it is made when something is recorded"
_TOO_MUCH = "this took too long and was given up; ask for less, or narrow the filter"


class AnswerRoute(APIRoute):
    """A route whose model is written as JSON in the thread that made it, beside the event loop.

    A page of steps has megabytes, and while FastAPI writes them nobody hears of a step.
    """

    def __init__(self, path: str, endpoint: Callable[..., object], **options: object) -> None:
        """Make a route; the options are those of an ``APIRoute``."""
        super().__init__(path, _written(endpoint), **options)  # type: ignore[arg-type]


def _written(endpoint: Callable[..., object]) -> Callable[..., object]:
    @wraps(endpoint)
    def answer(**values: object) -> object:
        made = endpoint(**values)
        if isinstance(made, BaseModel):
            return Response(made.model_dump_json(), media_type="application/json")
        return made

    return answer


def install_problem_handlers(app: FastAPI) -> None:
    """Let an app tell every error as problem details, with the request's id and nothing from inside."""
    for kind in HANDLED_ERRORS:
        app.add_exception_handler(kind, answer_problem)
    app.add_exception_handler(StepstreamError, _answer_ours)  # type: ignore[arg-type]
    app.add_exception_handler(FileNotFoundError, _answer_absence)  # type: ignore[arg-type]
    app.add_exception_handler(TimeoutError, _answer_patience)  # type: ignore[arg-type]


async def _answer_ours(connection: HTTPConnection, error: StepstreamError) -> Response:
    """What a client is not told of an error goes into the log, where its request's id leads to it."""
    if status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        what, request = connection.scope["path"], request_id_of(connection.scope)
        _log.warning("%r failed: %s (request %s)", what, masked(str(error)), request)
    return await answer_problem(connection, error)


async def _answer_absence(connection: HTTPConnection, error: FileNotFoundError) -> Response:
    """The file of the database is not there; files of another sort are looked for by whoever opens them."""
    if error.strerror != "there is no history":
        raise error
    return await answer_problem(connection, Refused(503, _NOT_YET, headers=[("retry-after", "5")]))


async def _answer_patience(connection: HTTPConnection, _: TimeoutError) -> Response:
    return await answer_problem(connection, Refused(503, _TOO_MUCH, headers=[("retry-after", "60")]))
