"""Parameters that several routes share, each with its bounds, and the refusal of those that nobody knows.

Knows FastAPI. Must not know what is asked with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Path, Query, Request
from fastapi.exceptions import RequestValidationError

from stepstream.reading.filter import CHARACTERS_MAX

if TYPE_CHECKING:
    from fastapi.dependencies.models import Dependant
    from fastapi.routing import APIRoute

INTEGER_MAX = 2**63 - 1
"""What a column of the database can hold."""

_ID_CHARACTERS_MAX = 36

EpisodeInPath = Annotated[
    str,
    Path(
        min_length=1,
        max_length=_ID_CHARACTERS_MAX,
        description="An episode: its id, the beginning of one that fits no other, or `@last`.",
    ),
]
EpisodeName = Annotated[str, Query(min_length=1, max_length=_ID_CHARACTERS_MAX)]
"""An episode in a query, named as in a path."""

FilterText = Annotated[
    str,
    Query(
        max_length=CHARACTERS_MAX,
        description="What holds for the items, as in `kind:tool_call tool:mesh* dur>5s`.",
    ),
]
SequenceBound = Annotated[int, Query(ge=0, le=INTEGER_MAX)]
Moment = Annotated[int, Query(ge=0, le=INTEGER_MAX)]
"""ns since 1970 UTC."""


async def known_parameters(request: Request) -> None:
    """Refuse a parameter that the route does not have, or that is there twice.

    Raises:
        RequestValidationError: There is one; the problem names it.
    """
    known = _names(cast("APIRoute", request.scope["route"]).dependant)
    seen: set[str] = set()
    problems: list[dict[str, object]] = []
    for name, value in request.query_params.multi_items():
        if name not in known:
            reason = f"there is no such parameter; expected one of {', '.join(sorted(known)) or 'none'}"
        elif name in seen:
            reason = "expected it once"
        else:
            seen.add(name)
            continue
        problems.append({"type": "extra_forbidden", "loc": ("query", name), "msg": reason, "input": value})
    if problems:
        raise RequestValidationError(problems)


def _names(dependant: Dependant) -> set[str]:
    names = {str(field.alias) for field in dependant.query_params}
    return names.union(*(_names(each) for each in dependant.dependencies))
