"""Steps in the order of their cursors, and one step with its other half.

Knows the parameters. Must not know how anything is read.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from stepstream.reading.bounded import BoundedHistory
from stepstream.reading.page import StepContext, StepPage
from stepstream.schemas.identity import Identifier
from stepstream.schemas.post import KindName
from stepstream.server.answers import AnswerRoute
from stepstream.server.auth.access import Scope, require
from stepstream.server.problems import Refused
from stepstream.server.routes.parameters import INTEGER_MAX, EpisodeName, FilterText, known_parameters
from stepstream.server.services import ServicesOf

router = APIRouter(
    prefix="/steps",
    tags=["steps"],
    route_class=AnswerRoute,
    dependencies=[Depends(require(Scope.READ)), Depends(known_parameters)],
)


@router.get("")
def list_steps(
    services: ServicesOf,
    after: Annotated[int, Query(ge=0, le=INTEGER_MAX, description="Only those behind this cursor.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most how many steps.")] = 200,
    filter: FilterText = "",
    kind: Annotated[KindName | None, Query(description="Only those of this kind.")] = None,
    episode: Annotated[EpisodeName | None, Query(description="Only those of this episode.")] = None,
) -> StepPage:
    """List steps in the order of their cursors.

    A page that a filter leaves little of may be empty and still have a next one.
    """
    return BoundedHistory(services.history).steps(
        after=after, limit=limit, filter=filter, kind=kind, episode=episode
    )


@router.get("/{step_id}")
def get_step(
    services: ServicesOf, step_id: Annotated[Identifier, Path(description="The id of a step.")]
) -> StepContext:
    """One step, with the step that it closes and the one that closes it."""
    found = BoundedHistory(services.history).step(step_id)
    if found is None:
        raise Refused(404, f"there is no step {step_id}")
    return found
