"""Health: what a supervisor asks, which needs no access.

Must not tell anything of what is recorded, nor of where.
"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Depends

from stepstream.schemas.record import Record
from stepstream.schemas.release import RELEASE
from stepstream.server.answers import AnswerRoute
from stepstream.server.problems import Refused
from stepstream.server.routes.parameters import known_parameters
from stepstream.server.services import ServicesOf
from stepstream.server.vitals import Readiness, readiness

router = APIRouter(tags=["health"], route_class=AnswerRoute, dependencies=[Depends(known_parameters)])


class Health(Record):
    """The process answers.

    Attributes:
        status: Always `up`; where it is not there is no answer.
        release: Which stepstream it is.
    """

    status: Literal["up"] = "up"
    release: str


class Ready(Record):
    """Steps are taken in and can be read.

    Attributes:
        status: Always `ready`; else the answer is a problem.
    """

    status: Literal["ready"] = "ready"


@router.get("/health")
def get_health() -> Health:
    """Whether the process is up."""
    return Health(release=RELEASE)


@router.get("/ready")
def get_readiness(services: ServicesOf) -> Ready:
    """Whether the database can be read and somebody commits into it; else 503, with a word that tells."""
    found = readiness(services)
    if found is not Readiness.READY:
        raise Refused(503, found.value, headers=[("retry-after", "1")])
    return Ready()
