"""The system: what the history is in figures, and how everything around it stands.

Knows the parameters. Must not know where any of it comes from.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends

from stepstream.reading.information import HistoryInfo
from stepstream.server.answers import AnswerRoute
from stepstream.server.auth.access import Scope, require
from stepstream.server.routes.parameters import known_parameters
from stepstream.server.services import ServicesOf
from stepstream.server.vitals import SystemReport, examine

router = APIRouter(
    tags=["system"],
    route_class=AnswerRoute,
    dependencies=[Depends(require(Scope.READ)), Depends(known_parameters)],
)


@router.get("/info")
def get_info(services: ServicesOf) -> HistoryInfo:
    """What the history is, in figures; of its path only the name is told."""
    info = services.history.info()
    return info.model_copy(update={"path": services.database.name})


@router.get("/system")
def get_system(services: ServicesOf) -> SystemReport:
    """How committer, spool, stream, search index, database and disk stand."""
    return examine(services)
