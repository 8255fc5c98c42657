"""The drill: a backup is restored where nobody looks, to see that it can be.

Knows what proves a backup. Must not know who asked. Nothing of it stays.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from stepstream.backup.catalogue import Catalogue
from stepstream.backup.restore import artifact_bytes, artifacts_of, rebuild

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stepstream.backup.catalogue import Moment
    from stepstream.backup.manifest import Contents
    from stepstream.backup.target import Target


class Drilled(NamedTuple):
    """A backup that can be restored.

    Attributes:
        backup: Which one.
        contents: What it holds.
        size_bytes: How large the database is.
        stored_bytes: How much of it lies on the target.
        artifacts: How many files were read.
        lacking: How many files it lacks.
    """

    backup: str
    contents: Contents
    size_bytes: int
    stored_bytes: int
    artifacts: int
    lacking: int


def drill(
    target: Target,
    database_id: str,
    moment: Moment,
    scratch: Path,
    told: Callable[[int, int], None],
) -> Drilled:
    """Restore a backup into a directory and take it away again.

    Args:
        target: Where it is.
        database_id: Of which database.
        moment: As of when.
        scratch: A directory with room for the database.
        told: Hears how many bytes there are of how many.

    Raises:
        BackupError: It cannot be found or read, or is damaged.
        OSError: The directory cannot be written.
    """
    catalogue = Catalogue(target, database_id)
    chain = catalogue.chain(catalogue.find(moment))
    file = scratch / "drill.db"
    try:
        size = rebuild(target, chain, file, told)
    finally:
        with suppress(FileNotFoundError):
            file.unlink()
    artifacts = artifacts_of(chain)
    for each in artifacts:
        for _ in artifact_bytes(target, catalogue.layout, each):
            pass
    return Drilled(
        backup=chain[-1].id,
        contents=chain[-1].contents,
        size_bytes=size,
        stored_bytes=sum(manifest.data.stored_bytes for manifest in chain),
        artifacts=len(artifacts),
        lacking=sum(len(manifest.lacking) for manifest in chain),
    )
