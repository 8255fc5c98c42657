"""Kinds: the JSON schema of every kind and version ever stored, so that one can show any.

Knows the parameters. Must not know how anything is read.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from stepstream.reading.bounded import BoundedHistory
from stepstream.reading.inventory import KindPage
from stepstream.server.answers import AnswerRoute
from stepstream.server.auth.access import Scope, require
from stepstream.server.routes.parameters import known_parameters
from stepstream.server.services import ServicesOf

router = APIRouter(
    prefix="/kinds",
    tags=["kinds"],
    route_class=AnswerRoute,
    dependencies=[Depends(require(Scope.READ)), Depends(known_parameters)],
)


@router.get("")
def list_kinds(
    services: ServicesOf,
    after: Annotated[
        str | None,
        Query(
            pattern=r"^[a-z][a-z0-9_]{0,62}:[0-9]{1,5}$",
            description="Only those behind this one, as `next` names it.",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="At most how many kinds.")] = 100,
) -> KindPage:
    """List the JSON schemas of all kinds and versions that were ever stored."""
    kind, _, version = ("", "", "0") if after is None else after.partition(":")
    return BoundedHistory(services.history).kinds(after=(kind, int(version)), limit=limit)
