"""What a client is told when a request cannot be answered: RFC 9457 problem details, and nothing from inside.

The one place that maps errors to HTTP statuses. Must not know routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepstream.errors import (
    ArtifactRefused,
    Busy,
    ConfigurationInvalid,
    EpisodeNotFound,
    FilterInvalid,
    Full,
    MissingExtra,
    StepstreamError,
    ValidationFailed,
)
from stepstream.schemas.record import Record
from stepstream.store.post_office import OfficeClosed

if TYPE_CHECKING:
    from collections.abc import Sequence

PROBLEM_JSON = "application/problem+json"


class FieldProblem(Record):
    """One thing that is wrong with one field, which is a parameter or a dotted path into the body."""

    field: str
    value: str
    reason: str


class ProblemDetails(Record):
    """Why a request was not answered, as RFC 9457 says it.

    Attributes:
        title: The status in words.
        status: The HTTP status.
        detail: What failed, on what, and what to do.
        request_id: What to quote when asking the operator; the server's log has it too.
        position: Where in a filter it went wrong.
        candidates: The episodes, at most ten, that the beginning of an id fits.
        problems: Each field that does not fit.
    """

    title: str
    status: int
    detail: str
    request_id: str
    position: int | None = None
    candidates: tuple[str, ...] = ()
    problems: tuple[FieldProblem, ...] = ()


class Refused(Exception):
    """A request that the server itself refuses, with the status to say so."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        problems: Sequence[FieldProblem] = (),
    ) -> None:
        self.status = status
        self.detail = detail
        self.headers = tuple(headers)
        self.problems = tuple(problems)
        super().__init__(detail)


class Unauthenticated(Refused):
    """Nobody is known who sends this."""

    def __init__(self) -> None:
        super().__init__(
            401,
            "this server wants a token; make one where it runs with: stepstream token create --scope read",
            headers=[("www-authenticate", 'Bearer realm="stepstream"')],
        )


class Forbidden(Refused):
    """Whoever sends this may not do it."""

    def __init__(self, scope: str) -> None:
        super().__init__(403, f"this needs the scope {scope}, which the token does not have")


def status_of(error: StepstreamError) -> int:
    """The HTTP status of an error of ours."""
    match error:
        case EpisodeNotFound():
            # Several fit as well as none: the client has to name another one.
            status = 404
        case FilterInvalid() | ConfigurationInvalid():
            status = 400
        case ArtifactRefused(lacks_room=True):
            status = 507
        case ValidationFailed() | ArtifactRefused():
            status = 422
        case MissingExtra():
            status = 501
        case Busy() | Full() | OfficeClosed():
            status = 503
        case _:
            status = 500
    return status
