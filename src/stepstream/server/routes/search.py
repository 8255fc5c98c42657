"""Search: the steps that have some words.

Knows the parameters. Must not know how words are found.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from stepstream.reading.search.hit import SearchPage
from stepstream.reading.search.query import CHARACTERS_MAX
from stepstream.server.answers import AnswerRoute
from stepstream.server.auth.access import Scope, require
from stepstream.server.routes.parameters import INTEGER_MAX, EpisodeName, FilterText, known_parameters
from stepstream.server.services import ServicesOf

_LIMIT_MAX = 200

router = APIRouter(
    prefix="/search",
    tags=["search"],
    route_class=AnswerRoute,
    dependencies=[Depends(require(Scope.READ)), Depends(known_parameters)],
)

Words = Annotated[
    str,
    Query(
        min_length=1,
        max_length=CHARACTERS_MAX,
        description='All words must be there, `"quoted words"` side by side; `word*` may go on, `-word` not.',
        examples=['bolt "did not converge" max_stress* -gusset'],
    ),
]


@router.get("")
def search_steps(
    services: ServicesOf,
    q: Words,
    filter: FilterText = "",
    episode: Annotated[EpisodeName | None, Query(description="Only those of this episode.")] = None,
    before: Annotated[
        int | None, Query(ge=1, le=INTEGER_MAX, description="Only those before this cursor.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=_LIMIT_MAX, description="At most how many steps.")] = 50,
) -> SearchPage:
    """Find steps by their words, the newest first.

    What is committed is found at once. A page ends when it takes too long, so that one with few items or none
    may still have a next one.
    """
    return services.history.search(q, filter=filter or None, episode=episode, before=before, limit=limit)
