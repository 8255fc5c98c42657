"""Figures of the newest steps, and two episodes side by side.

Knows the parameters. Must not know how anything is counted.
"""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from stepstream.reading.comparison import EpisodeComparison
from stepstream.reading.statistics import HistoryStatistics
from stepstream.server.answers import AnswerRoute
from stepstream.server.auth.access import Scope, require
from stepstream.server.routes.parameters import EpisodeName, FilterText, Moment, known_parameters
from stepstream.server.services import ServicesOf

_DAY_NS = 24 * 3600 * 1_000_000_000

router = APIRouter(
    tags=["figures"],
    route_class=AnswerRoute,
    dependencies=[Depends(require(Scope.READ)), Depends(known_parameters)],
)


@router.get("/statistics")
def get_statistics(
    services: ServicesOf,
    since: Annotated[
        Moment | None,
        Query(description="Leave out what was committed before; ns since 1970 UTC, a day ago by default."),
    ] = None,
    filter: FilterText = "",
) -> HistoryStatistics:
    """Count the newest steps: at most 50,000, and the answer says which."""
    begin = max(0, time.time_ns() - _DAY_NS) if since is None else since
    return services.history.statistics(since=begin, filter=filter)


@router.get("/compare")
def compare_episodes(
    services: ServicesOf,
    a: Annotated[EpisodeName, Query(description="The first episode.")],
    b: Annotated[EpisodeName, Query(description="The second episode.")],
) -> EpisodeComparison:
    """Put two episodes side by side: of each at most the first 20,000 steps, and the answer says so."""
    return services.history.compare(a, b)
