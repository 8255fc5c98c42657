"""The last check before a payload is stored: there is no way into the store around the schemas.

Core kinds are checked against their classes, a project's own kinds against the JSON schema their recorder
announced. Knows schemas. Must not know frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from stepstream.errors import ValidationFailed
from stepstream.schemas.core import CORE_KINDS
from stepstream.schemas.payload import UnknownPayload, decode_payload
from stepstream.schemas.record import JsonObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.schemas.payload import StepPayload

    Check = Callable[[bytes], StepPayload | None]


class Invalid(Exception):
    """A payload does not fit the schema of its kind and version."""


class SchemaAnnouncement(BaseModel):
    """The body of a schema frame: what a recorder says of a kind before its first step."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    kind: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    version: int = Field(ge=1, le=0xFFFF)
    json_schema: JsonObject = Field(alias="schema")

    @property
    def text(self) -> str:
        """The schema as compact JSON."""
        return to_json(self.json_schema).decode()


class Validation:
    """Checks payloads by kind and version."""

    def __init__(self, schemas: dict[tuple[str, int], str]) -> None:
        """Begin with the schemas the database already holds."""
        self._schemas = dict(schemas)
        self._checks: dict[tuple[str, int], Check] = {}

    def knows(self, announcement: SchemaAnnouncement) -> bool:
        """Whether the database holds this kind and version already."""
        return (announcement.kind, announcement.version) in self._schemas

    def announce(self, announcement: SchemaAnnouncement) -> None:
        """Learn the schema of a kind and version.

        Raises:
            Invalid: It is no JSON schema.
        """
        key = (announcement.kind, announcement.version)
        if announcement.kind not in CORE_KINDS:
            self._checks[key] = _by_schema(announcement.text)
        self._schemas[key] = announcement.text

    def check(self, kind: str, version: int, payload: bytes) -> StepPayload | None:
        """Check a payload.

        Returns:
            The payload where it was read as one of the core's classes, else None.

        Raises:
            Invalid: It does not fit, or its kind was never announced.
        """
        check = self._checks.get((kind, version))
        if check is None:
            check = self._checks[kind, version] = self._choose(kind, version)
        try:
            return check(payload)
        except (ValidationError, ValidationFailed, ValueError) as error:
            raise Invalid(f"{kind} version {version}: {error}") from error

    def _choose(self, kind: str, version: int) -> Check:
        cls = CORE_KINDS.get(kind)
        if cls is not None and version == cls.schema_version:
            cls.model_rebuild()
            return _by_class(cls)
        if cls is not None and version < cls.schema_version:
            return lambda payload: _upcast(kind, version, payload)
        text = self._schemas.get((kind, version))
        if text is None:
            raise Invalid(f"{kind} version {version} was never announced")
        return _by_schema(text)


def _by_class(cls: type[StepPayload]) -> Check:
    validate = cls.__pydantic_validator__.validate_json
    if "JsonValue" not in cls.model_json_schema().get("$defs", {}):
        return validate

    def check(payload: bytes) -> StepPayload:
        value: StepPayload = validate(payload)
        # Where any JSON may stand, pydantic's parser takes these two words for numbers; JSON has no such.
        if b"NaN" in payload or b"Infinity" in payload:
            from_json(payload, allow_inf_nan=False)
        return value

    return check


def _upcast(kind: str, version: int, payload: bytes) -> StepPayload:
    value = decode_payload(kind, version, payload)
    if isinstance(value, UnknownPayload):
        raise Invalid(f"there is no such version of {kind}, or no way from it to the present one")
    return value


def _by_schema(text: str) -> Check:
    import jsonschema_rs  # noqa: PLC0415 - only projects with kinds of their own pay for it

    try:
        validator = jsonschema_rs.validator_for(text, retriever=_retrieve_nothing)
    except ValueError as error:
        raise Invalid(f"not a JSON schema: {error}") from error

    def check(payload: bytes) -> None:
        value = from_json(payload, allow_inf_nan=False)
        if not isinstance(value, dict):
            raise Invalid("not a JSON object")
        for problem in validator.iter_errors(value):
            raise Invalid(f"{problem.instance_path}: {problem.message}")

    return check


def _retrieve_nothing(address: str) -> NoReturn:
    """A schema that points elsewhere is refused: nothing is fetched on a stranger's word."""
    raise Invalid(f"the schema refers to {address}")
