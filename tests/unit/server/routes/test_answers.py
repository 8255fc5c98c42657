"""Answers: a model becomes bytes where it was made, and anything else is left as it is."""

from __future__ import annotations

import threading

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from stepstream.errors import StoreError
from stepstream.schemas.record import Record
from stepstream.server.answers import AnswerRoute, _answer_ours, install_problem_handlers
from stepstream.server.guard.answer import HANDLED_ERRORS


class Part(Record):
    """A model."""

    name: str


def test_a_model_is_written_in_the_thread_of_its_route() -> None:
    """What a route gives back to the event loop is bytes already."""

    def endpoint(name: str) -> Part:
        return Part(name=f"{name} of {threading.get_ident()}")

    answer = AnswerRoute("/part", endpoint).endpoint(name="bracket")

    assert isinstance(answer, Response)
    assert answer.body == b'{"name":"bracket of %d"}' % threading.get_ident()
    assert answer.media_type == "application/json"


def test_what_is_an_answer_already_is_left_alone() -> None:
    """A route may answer with a response of its own."""
    made = PlainTextResponse("metrics")

    assert AnswerRoute("/metrics", lambda: made).endpoint() is made


def test_the_model_of_a_route_is_described() -> None:
    """The description knows what a route answers, though it answers bytes."""

    def endpoint() -> Part:
        return Part(name="bracket")

    route = AnswerRoute("/part", endpoint)

    assert route.response_model is Part


@pytest.mark.anyio
async def test_a_token_in_an_error_stays_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What is logged of an error shows no secret of a token, neither in words nor in what led to it."""
    token = f"sst_{'0a' * 6}_{'b1' * 32}"
    scope = {"type": "http", "path": "/api/v1/steps", "headers": [], "state": {"request_id": "r"}}
    try:
        raise StoreError(f"{token} cannot be stored") from ValueError(token)
    except StoreError as error:
        await _answer_ours(Request(scope), error)

    assert "cannot be stored" in caplog.text
    assert "b1b1" not in caplog.text


def test_every_error_has_its_handler() -> None:
    """Whatever is raised is told as a problem."""
    app = FastAPI()

    install_problem_handlers(app)

    assert {*HANDLED_ERRORS, FileNotFoundError, TimeoutError} <= app.exception_handlers.keys()
