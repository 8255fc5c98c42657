"""What the routes of one server share: the parts that its composition root put together.

Knows which parts there are. Must not know how they work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from stepstream.backup.keeper import Keeper
from stepstream.reading.local_history import LocalHistory
from stepstream.reading.search.indexer import IndexProgress
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.server.stream.figures import StreamReport
from stepstream.settings import Settings
from stepstream.store.post_office import PostOffice


@dataclass(frozen=True)
class Services:
    """The parts of one server.

    Attributes:
        database: The database that is served.
        settings: Bounds and intervals.
        history: Reads the database.
        post_office: Where what is posted is handed in to the committer.
        artifacts: The files kept beside the database.
        stream_figures: Tells how the live stream stands; None where there is none.
        keeper: Takes care of backups; None where nobody does.
        index_progress: Tells how far the search index is; None where nobody keeps it here.
    """

    database: Path
    settings: Settings
    history: LocalHistory
    post_office: PostOffice
    artifacts: ArtifactStore
    stream_figures: Callable[[], StreamReport] | None = None
    keeper: Keeper | None = None
    index_progress: Callable[[], IndexProgress] | None = None


def _services(connection: HTTPConnection) -> Services:
    return cast("Services", connection.app.state.services)


ServicesOf = Annotated[Services, Depends(_services)]
"""A parameter of a route that wants the server's parts."""
