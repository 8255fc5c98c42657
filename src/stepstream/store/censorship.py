"""Redaction that keeps a payload valid, and that keeps nothing when it cannot.

What a schema constrains to one of a few words, or to an id, cannot be a secret: where redaction broke such a
value, it is put back. A payload that does not validate even so is not stored at all.

Knows the redactor and the schemas. Must not know frames.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from stepstream.store.redaction import Redaction
from stepstream.store.validation import Invalid

if TYPE_CHECKING:
    from stepstream.schemas.record import JsonValue
    from stepstream.store.redaction import Redactor
    from stepstream.store.validation import Validation

logger = logging.getLogger("stepstream")

_CONSTRAINED = frozenset({"enum", "literal_error", "string_pattern_mismatch", "union_tag_invalid"})
_DISCRIMINATOR = "type"
_REPAIRS_MAX = 4


def censor(
    redactor: Redactor, validation: Validation, kind: str, version: int, payload: bytes
) -> Redaction | None:
    """Take the secrets out of a payload.

    Returns:
        The payload without them, or None when it cannot be stored without them.
    """
    redaction: Redaction | None
    try:
        redaction = redactor.redact(payload)
    except Exception as error:  # noqa: BLE001 - a project's own rule may raise anything; then no rule is asked
        logger.warning("redaction of a %s failed, all its text is withheld: %s", kind, type(error).__name__)
        redaction = _withheld(redactor, payload)
    if redaction is None or redaction.payload is payload:
        return redaction
    whole = _repaired(validation, kind, version, payload, redaction.payload)
    if whole is None:
        withheld = _withheld(redactor, payload)
        whole = None if withheld is None else _repaired(validation, kind, version, payload, withheld.payload)
        if withheld is None or whole is None:
            return None
        return Redaction(whole, withheld.counts)
    return Redaction(whole, redaction.counts)


def _withheld(redactor: Redactor, payload: bytes) -> Redaction | None:
    try:
        return redactor.withhold(payload)
    except ValueError:
        return None


def _repaired(
    validation: Validation, kind: str, version: int, original: bytes, redacted: bytes
) -> bytes | None:
    """The redacted payload with constrained values put back until it validates; None when it does not."""
    for _ in range(_REPAIRS_MAX):
        try:
            validation.check(kind, version, redacted)
        except Invalid as invalid:
            problem = invalid.__cause__
            if not isinstance(problem, ValidationError):
                return None
            redacted = _put_back(from_json(original), from_json(redacted), problem)
        else:
            return redacted
    return None


def _put_back(original: JsonValue, redacted: JsonValue, problem: ValidationError) -> bytes:
    for detail in problem.errors(include_url=False, include_context=False, include_input=False):
        if detail["type"] in _CONSTRAINED:
            place = list(detail["loc"])
            if detail["type"] == "union_tag_invalid":
                place.append(_DISCRIMINATOR)
            _copy_leaf(original, redacted, place)
    return to_json(redacted)


def _copy_leaf(source: JsonValue, target: JsonValue, place: list[int | str]) -> None:
    """Copy one text; parts of the place that are names of union members, not of fields, are passed over."""
    last: tuple[dict[int | str, JsonValue], int | str, str] | None = None
    for part in place:
        try:
            inner, other = source[part], target[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            continue
        if isinstance(inner, str):
            last = (cast("dict[int | str, JsonValue]", target), part, inner)
        source, target = inner, other
    if last is not None:
        holder, part, text = last
        holder[part] = text
