"""What a client of the stream asks for: from where, and what shall pass.

Knows the parameters of both transports. Must not know the stream.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from stepstream.schemas.record import short_repr
from stepstream.server.problems import FieldProblem, Refused

if TYPE_CHECKING:
    from starlette.types import Scope as Connection

LAST_EVENT_ID = b"last-event-id"

_PLACE = re.compile(r"(?:([0-9A-Za-z-]{1,64}):)?([0-9]{1,19})")
_CURSOR_END = 1 << 63
_NAMES = ("after", "episode", "filter")


class Place(NamedTuple):
    """What a client has seen: everything up to a cursor.

    Attributes:
        epoch: The epoch the cursor is of; None where the client does not say.
        cursor: The cursor.
    """

    epoch: str | None
    cursor: int


class StreamQuery(NamedTuple):
    """The parameters of a connection.

    Attributes:
        after: What it has seen; None for what is committed from now on.
        filter: The filter as it was written.
        episode: The only episode to see, as for ``History.episode``; None for all.
    """

    after: Place | None
    filter: str
    episode: str | None

    @classmethod
    def of(cls, connection: Connection) -> StreamQuery:
        """Read the parameters of a connection.

        A browser that reconnects sends ``Last-Event-ID`` along with the address it was given at first, so
        that the header counts more than ``after``.

        Raises:
            Refused: There is one that is unknown, is there twice or cannot be read.
        """
        values = _parameters(connection["query_string"])
        after = _place("after", values["after"]) if "after" in values else None
        for name, value in connection["headers"]:
            if name == LAST_EVENT_ID:
                after = _place("Last-Event-ID", value.decode("latin-1"))
        return cls(after, values.get("filter", ""), values.get("episode"))


def _parameters(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Refused(400, "the query cannot be read: it is not UTF-8, percent-encoded") from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in _NAMES:
            raise _refusal(name, value, f"expected one of {', '.join(_NAMES)}")
        if name in values:
            raise _refusal(name, value, "expected it once")
        values[name] = value
    return values


def _place(name: str, value: str) -> Place:
    found = _PLACE.fullmatch(value)
    cursor = int(found.group(2)) if found else _CURSOR_END
    if found is None or cursor >= _CURSOR_END:
        raise _refusal(name, value, "expected a cursor, as 1234, or an epoch and a cursor, as <epoch>:1234")
    return Place(found.group(1), cursor)


def _refusal(name: str, value: str, reason: str) -> Refused:
    problem = FieldProblem(field=name, value=short_repr(value), reason=reason)
    return Refused(400, f"the parameter {short_repr(name)} cannot be used: {reason}", problems=[problem])
