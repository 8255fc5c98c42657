"""The server as a shipper sees it: each route a method, each answer a value or one of a few exceptions.

Knows the API's routes and statuses. Must not know frames, files or when to try again.
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from stepstream.errors import ConfigurationInvalid
from stepstream.schemas.identity import id_text, new_id
from stepstream.schemas.post import StepsAccepted
from stepstream.schemas.record import printable
from stepstream.shipping.client import Client
from stepstream.shipping.token import read_token

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stepstream.settings import Settings
    from stepstream.shipping.address import ServerAddress
    from stepstream.shipping.client import Answer

API = "/api/v1"
_JSON = {"content-type": "application/json"}
_DONE = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT})
_NEVER = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
_NOWHERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
_REASON_CHARACTERS_MAX = 300
_RETRY_AFTER_S_MAX = 300.0
_STEP_FIELD = re.compile(r"(?:^|\.)steps\.(\d+)(?:\.|$)")
_OTHER_FIELD = re.compile(r"(?:^|\.)(?:recorders|gaps|ends)\b")
_DELTA_FIELD = re.compile(r"(?:^|\.)deltas\b")


class Unwilling(Exception):
    """The server answered, but not that it has taken what was sent; later it may."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class TokenRefused(Exception):
    """The server does not let this token record."""


class PostTooLarge(Exception):
    """The server takes no post of this size."""


class PostRefused(Exception):
    """The server says that something in a post does not fit, and stored nothing of it.

    Attributes:
        problems: By their index, what is wrong with steps; empty where it did not say.
        is_in_deltas: Whether it is the deltas.
        is_elsewhere: Whether it is about something that is neither a step nor a delta.
    """

    def __init__(
        self, reason: str, problems: dict[int, str], *, is_in_deltas: bool, is_elsewhere: bool
    ) -> None:
        self.problems = problems
        self.is_in_deltas = is_in_deltas
        self.is_elsewhere = is_elsewhere
        super().__init__(reason)


class ArtifactUnwanted(Exception):
    """The server takes this file neither now nor later."""


class _Lenient(BaseModel):
    """What a server tells may have more fields than this release knows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _FieldProblem(_Lenient):
    field: str = ""
    reason: str = ""


class _Problem(_Lenient):
    title: str = ""
    detail: str = ""
    problems: tuple[_FieldProblem, ...] = ()


class _Accepted(_Lenient):
    stored: int
    known: int
    cursor: int
    epoch: str


class _Recorder(_Lenient):
    last_number: int


class Server:
    """One server, over one connection."""

    def __init__(self, address: ServerAddress, settings: Settings, client: Client | None = None) -> None:
        """Prepare; nothing is connected yet.

        Args:
            address: Where it is.
            settings: Where the token is.
            client: The connection; a new one by default.
        """
        self.address = address
        self.client = client or Client(address)
        self._settings = settings

    @property
    def connections(self) -> int:
        """How many connections there have been: behind each of them may be another server."""
        return self.client.connections

    def connect(self) -> None:
        """Make sure that there is a connection.

        Raises:
            NoAnswer: There is none to be had.
            TokenRefused: There is a token, and no header could hold it.
        """
        if self.client.is_connected:
            return
        try:
            token = read_token(self._settings)
        except ConfigurationInvalid as error:
            raise TokenRefused(str(error)) from None
        self.client.connect(token)

    def last_number(self, recorder_id: str) -> int:
        """The last number that the server knows of a recorder; -1 where it knows none."""
        answer = self.client.ask("GET", f"{API}/recorders/{recorder_id}")
        if answer.status == HTTPStatus.NOT_FOUND and _is_ours(answer):
            return -1
        if answer.status != HTTPStatus.OK:
            raise _unwilling(answer)
        try:
            return _Recorder.model_validate_json(answer.body).last_number
        except ValidationError:
            raise _not_ours() from None

    def look_in(self) -> float | None:
        """See whether the server is there and lets us record.

        Returns:
            How many seconds its clock is ahead of ours; None where it does not tell.

        Raises:
            NoAnswer: It is not there.
            Unwilling: It cannot take anything now.
            TokenRefused: It does not let us.
        """
        answer = self.client.ask("GET", f"{API}/recorders/{id_text(new_id())}")
        if not (answer.status == HTTPStatus.NOT_FOUND and _is_ours(answer)):
            raise _unwilling(answer)
        try:
            return parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()
        except (KeyError, ValueError):
            return None

    def register(self, kind: str, version: int, schema: str) -> str | None:
        """Tell the schema of a kind.

        Returns:
            Why the server does not take it; None when it has it now.
        """
        named = to_json({"kind": kind, "version": version})
        body = named[:-1] + b',"json_schema":' + schema.encode() + b"}"
        answer = self.client.ask("POST", f"{API}/kinds", body=body, headers=_JSON)
        if answer.status in _NEVER:
            return _reason(answer)
        if answer.status not in _DONE:
            raise _unwilling(answer)
        return None

    def post(self, body: bytes, steps: int) -> StepsAccepted:
        """Post steps.

        Args:
            body: The post as JSON.
            steps: How many steps are in it.

        Returns:
            The server's word that all of it is stored and lasts.

        Raises:
            NoAnswer: It cannot be asked, or its answer was lost.
            Unwilling: It cannot take it now.
            TokenRefused: It does not let us.
            PostTooLarge: It takes no post of this size.
            PostRefused: Something in it does not fit.
        """
        answer = self.client.ask("POST", f"{API}/steps", body=body, headers=_JSON)
        match answer.status:
            case HTTPStatus.OK:
                pass
            case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise PostTooLarge(_reason(answer))
            case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
                raise _refused(answer)
            case _:
                raise _unwilling(answer)
        try:
            accepted = _Accepted.model_validate_json(answer.body)
        except ValidationError:
            raise _not_ours() from None
        if accepted.stored + accepted.known != steps:
            raise Unwilling(
                f"it speaks of {accepted.stored + accepted.known} steps where {steps} were posted"
            )
        return StepsAccepted(**accepted.model_dump())

    def has_artifact(self, sha256: str) -> bool:
        """Whether the server has a file."""
        answer = self.client.ask("HEAD", f"{API}/artifacts/{sha256}/bytes")
        if answer.status not in {*_DONE, HTTPStatus.NOT_FOUND}:
            raise _unwilling(answer)
        return answer.status in _DONE

    def send_artifact(self, sha256: str, chunks: Iterable[bytes], size_bytes: int) -> None:
        """Send a file.

        Raises:
            ArtifactUnwanted: The server takes it neither now nor later.
        """
        headers = {"content-type": "application/octet-stream"}
        path = f"{API}/artifacts/{sha256}/bytes"
        answer = self.client.ask("PUT", path, body=chunks, body_bytes=size_bytes, headers=headers)
        if answer.status in _NEVER or answer.status in _NOWHERE:
            # Steps do not wait for a file, nor for a server that takes files.
            raise ArtifactUnwanted(_reason(answer))
        if answer.status not in _DONE:
            raise _unwilling(answer)

    def close(self) -> None:
        """Close the connection."""
        self.client.close()


def _unwilling(answer: Answer) -> Unwilling | TokenRefused:
    """What an answer means that says nothing of what was sent."""
    match answer.status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return TokenRefused(_reason(answer))
        case status if status in _NOWHERE:
            return Unwilling("no stepstream server answers there, or an older one; is the root path right?")
        case status if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return Unwilling("it points to another address, which is not followed; state that one")
        case _:
            return Unwilling(_reason(answer), _retry_after(answer))


def _retry_after(answer: Answer) -> float | None:
    text = answer.headers.get("retry-after", "")
    return min(float(text), _RETRY_AFTER_S_MAX) if text.isascii() and text.isdigit() else None


def _is_ours(answer: Answer) -> bool:
    """Whether a route of ours answered; another program has no such problems."""
    return answer.headers.get("content-type", "").startswith("application/problem+json")


def _not_ours() -> Unwilling:
    return Unwilling("its answer is none of stepstream's; is there something between?")


def _problem(answer: Answer) -> _Problem:
    try:
        return _Problem.model_validate_json(answer.body)
    except ValidationError:
        return _Problem()


def _reason(answer: Answer) -> str:
    """What a server says of itself, shortened and made safe to show."""
    problem = _problem(answer)
    text = problem.detail or problem.title
    told = f"{answer.status}: {text}" if text else f"it answered {answer.status}"
    return printable("".join(c if c.isprintable() else " " for c in told))[:_REASON_CHARACTERS_MAX]


def _refused(answer: Answer) -> PostRefused:
    problem = _problem(answer)
    steps: dict[int, str] = {}
    for each in problem.problems:
        found = _STEP_FIELD.search(each.field)
        if found is not None:
            steps.setdefault(int(found[1]), each.reason)
    return PostRefused(
        _reason(answer),
        steps,
        is_in_deltas=any(_DELTA_FIELD.search(each.field) for each in problem.problems),
        is_elsewhere=any(_OTHER_FIELD.search(each.field) for each in problem.problems),
    )
