"""Answers that hold steps, read however deep a payload of theirs goes.

A parser of JSON stops at some depth, and a step that could just be stored lies a few levels deeper in an
answer. One such step must not hide all that come after it, so where the quick way fails each is read by
itself.

Knows JSON. Must not know where it comes from.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import to_json

from stepstream.reading.page import StepContext, StepPage
from stepstream.schemas.payload import UnknownPayload, decode_payload, version_of
from stepstream.schemas.step import Step
from stepstream.schemas.stream import StepsMessage

if TYPE_CHECKING:
    from stepstream.schemas.record import JsonObject, Record

    R = TypeVar("R", bound=Record)

_UNREADABLE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


def read_step_page(body: bytes) -> StepPage:
    """A page of steps.

    Raises:
        ValidationError: It is none.
        ValidationFailed: So is one of the payloads.
    """
    return _read(StepPage, "items", body)


def read_steps_message(data: bytes) -> StepsMessage:
    """Steps of the live stream.

    Raises:
        ValidationError: It is none.
        ValidationFailed: So is one of the payloads.
    """
    return _read(StepsMessage, "steps", data)


def read_step_context(body: bytes) -> StepContext:
    """A step and its other half.

    Raises:
        ValidationError: It is none.
        ValidationFailed: So is one of the payloads.
    """
    try:
        return StepContext.model_validate_json(body)
    except ValidationError as error:
        if not _is_too_deep(error):
            raise
        try:
            halves = {name: value and _step(value) for name, value in json.loads(body).items()}
        except _UNREADABLE:
            raise error from None
        return StepContext(**halves)


def _read(model: type[R], field: str, text: bytes) -> R:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        if not _is_too_deep(error):
            raise
        try:
            return _read_apart(model, field, text)
        except _UNREADABLE:
            raise error from None


def _read_apart(model: type[R], field: str, text: bytes) -> R:
    value = json.loads(text)
    steps = tuple(_step(each) for each in value.pop(field))
    whole = model.model_validate_json(_json({**value, field: []}))
    return whole.model_copy(update={field: steps})


def _is_too_deep(error: ValidationError) -> bool:
    detail = error.errors(include_url=False, include_input=False)[0]
    return detail["type"] == "json_invalid" and "recursion" in detail["msg"]


def _step(value: JsonObject) -> Step:
    """A step whose payload is read apart."""
    kind, version = str(value["kind"]), cast("int", value["schema_version"])
    payload = decode_payload(kind, version, _json(value["payload"]))
    # Of a kind that nobody has, an empty payload is as good as any.
    shell = {**value, "kind": UnknownPayload.kind, "payload": {}}
    read = {"kind": kind, "schema_version": version_of(payload), "payload": payload}
    return Step.model_validate_json(_json(shell)).model_copy(update=read)


def _json(value: object) -> bytes:
    # What is no JSON shall be refused where it is read, not become null here.
    return to_json(value, inf_nan_mode="constants")
