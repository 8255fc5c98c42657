"""Episodes: the list of them, and one of them as steps, tree, timeline, roles and state.

Knows the parameters. Must not know how anything is read.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from stepstream.reading.bounded import BoundedHistory
from stepstream.reading.buckets import TimelineView
from stepstream.reading.facets import EpisodeFacets
from stepstream.reading.outline import OutlinePage
from stepstream.reading.page import EpisodePage, EpisodeSummary, StepWindow
from stepstream.reading.roles import RoleGraph
from stepstream.reading.state import EpisodeState
from stepstream.reading.strip import EpisodeStrip
from stepstream.reading.verification import Verification
from stepstream.server.answers import AnswerRoute
from stepstream.server.auth.access import Scope, require
from stepstream.server.problems import FieldProblem, Refused
from stepstream.server.routes.parameters import (
    INTEGER_MAX,
    EpisodeInPath,
    EpisodeName,
    FilterText,
    Moment,
    SequenceBound,
    known_parameters,
)
from stepstream.server.services import ServicesOf

router = APIRouter(
    prefix="/episodes",
    tags=["episodes"],
    route_class=AnswerRoute,
    dependencies=[Depends(require(Scope.READ)), Depends(known_parameters)],
)


@router.get("")
def list_episodes(
    services: ServicesOf,
    filter: FilterText = "",
    limit: Annotated[int, Query(ge=1, le=500, description="At most how many episodes.")] = 100,
    before: Annotated[
        EpisodeName | None, Query(description="Only those that come behind this episode in the list.")
    ] = None,
    parent: Annotated[
        EpisodeName | None, Query(description="Only those that name this episode as their parent.")
    ] = None,
) -> EpisodePage:
    """List episodes, the latest to start first."""
    return BoundedHistory(services.history).episodes(filter=filter, limit=limit, before=before, parent=parent)


@router.get("/facets")
def count_episode_facets(services: ServicesOf, filter: FilterText = "") -> EpisodeFacets:
    """Count which values the newest episodes have: at most 10,000, and the answer says so."""
    return BoundedHistory(services.history).facets(filter=filter)


@router.get("/{episode}")
def get_episode(services: ServicesOf, episode: EpisodeInPath) -> EpisodeSummary:
    """One episode, and the step that was logged last."""
    return BoundedHistory(services.history).episode(episode)


@router.get("/{episode}/steps")
def list_episode_steps(
    *,
    services: ServicesOf,
    episode: EpisodeInPath,
    first: Annotated[SequenceBound, Query(alias="from", description="The lowest sequence.")] = 0,
    last: Annotated[SequenceBound | None, Query(alias="to", description="The highest sequence.")] = None,
    around: Annotated[
        SequenceBound | None, Query(description="The sequence that shall stand in the middle of the page.")
    ] = None,
    since: Annotated[
        Moment | None,
        Query(description="Begin with the first step that occurred then or later; ns since 1970 UTC."),
    ] = None,
    until: Annotated[
        Moment | None,
        Query(description="End before the first step that occurred then or later; ns since 1970 UTC."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most how many steps.")] = 200,
) -> StepWindow:
    """The steps of an episode from one sequence to another, or around one.

    By time the ends are found by halving: near and not exact where the clocks of several machines disagree.
    """
    if last is not None and last < first:
        reason = f"expected {first} or more, with which the window begins"
        problem = FieldProblem(field="query.to", value=str(last), reason=reason)
        raise Refused(422, "the window ends before it begins", problems=[problem])
    return BoundedHistory(services.history).window(
        episode, first=first, last=last, since=since, until=until, around=around, limit=limit
    )


@router.get("/{episode}/tree")
def get_episode_tree(
    services: ServicesOf,
    episode: EpisodeInPath,
    after: Annotated[
        int, Query(ge=-1, le=INTEGER_MAX, description="Only the nodes behind this sequence.")
    ] = -1,
    limit: Annotated[int, Query(ge=1, le=2000, description="At most how many steps to look at.")] = 1000,
) -> OutlinePage:
    """An episode's tree without payloads: every node names the one it is under, and stands behind it."""
    return BoundedHistory(services.history).outline(episode, after=after, limit=limit)


@router.get("/{episode}/timeline")
def get_episode_timeline(
    services: ServicesOf,
    episode: EpisodeInPath,
    buckets: Annotated[
        int, Query(ge=1, le=2000, description="Into at most how many buckets a long one is gathered.")
    ] = 500,
    since: Annotated[Moment | None, Query(description="Where to begin; ns since 1970 UTC.")] = None,
    until: Annotated[Moment | None, Query(description="Where to end; ns since 1970 UTC.")] = None,
) -> TimelineView:
    """An episode along its clock, or a part of it: bar by bar up to 2,000 steps, else gathered in buckets."""
    return BoundedHistory(services.history).timeline(episode, since=since, until=until, count=buckets)


@router.get("/{episode}/strip")
def get_episode_strip(
    services: ServicesOf,
    episode: EpisodeInPath,
    buckets: Annotated[int, Query(ge=1, le=1000, description="Into how many parts it is cut.")] = 240,
) -> EpisodeStrip:
    """An episode in equal parts of its time, with how many steps and errors each of them holds."""
    return BoundedHistory(services.history).strip(episode, count=buckets)


@router.get("/{episode}/roles")
def get_episode_roles(services: ServicesOf, episode: EpisodeInPath) -> RoleGraph:
    """Who worked in an episode, and to whom the work went."""
    return services.history.roles(episode)


@router.get("/{episode}/state")
def get_episode_state(
    services: ServicesOf,
    episode: EpisodeInPath,
    at: Annotated[
        SequenceBound | None, Query(description="The sequence of the step; the last one by default.")
    ] = None,
) -> EpisodeState:
    """An episode as it was when a step had just been logged."""
    return services.history.state(episode, at=at)


@router.get("/{episode}/verify")
def verify_episode(services: ServicesOf, episode: EpisodeInPath) -> Verification:
    """Check that nothing of an episode is missing and that what is there fits together."""
    return services.history.verify(episode)
