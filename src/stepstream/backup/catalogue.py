"""The catalogue: which backups lie on a target, and which of them leads to a moment.

Knows manifests and their names. Must not know databases. What is not named by a manifest is no backup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stepstream.backup.layout import Layout, backup_id_of, cursor_of, taken_at_of
from stepstream.backup.manifest import BackupKind, NotAManifest, decode
from stepstream.errors import BackupDamaged, BackupNotFound
from stepstream.schemas.identity import is_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepstream.backup.manifest import Manifest
    from stepstream.backup.target import Target

_CHAIN_MAX = 100_000


class Listed(NamedTuple):
    """A backup as its manifest's name tells it.

    Attributes:
        taken_at: When; ns since 1970 UTC.
        cursor: Up to which cursor.
        id: What it is called.
        kind: Whether it stands by itself.
        path: Its manifest.
    """

    taken_at: int
    cursor: int
    id: str
    kind: BackupKind
    path: str


class Moment(NamedTuple):
    """A moment of a history: before which time, or up to which cursor; neither is the latest there is.

    Attributes:
        at_ns: ns since 1970 UTC.
        cursor: A cursor; the backup goes at least that far.
        id: A backup by name.
    """

    at_ns: int | None = None
    cursor: int | None = None
    id: str | None = None

    def __str__(self) -> str:
        if self.id is not None:
            return self.id
        if self.cursor is not None:
            return f"that goes up to cursor {self.cursor}"
        return "of that time or before" if self.at_ns is not None else "at all"


class Catalogue:
    """The backups of one database, oldest first; listed once."""

    def __init__(self, target: Target, database_id: str) -> None:
        """List them.

        Raises:
            BackupError: The target cannot be read.
        """
        self.layout = Layout(database_id)
        self._target = target
        self._read: dict[str, Manifest] = {}
        self.listed = sorted(
            Listed(taken_at_of(name), cursor_of(name), name, kind, stored.path)
            for kind in BackupKind
            for stored in target.objects(f"{self.layout.manifests}/{kind.value}")
            if (name := backup_id_of(stored.path)) is not None
        )

    @property
    def place(self) -> str:
        """Where it is, for errors."""
        return f"{self._target.url}/{self.layout.database_id}"

    def full(self) -> list[Listed]:
        """Those that stand by themselves, oldest first."""
        return [each for each in self.listed if each.kind is BackupKind.FULL]

    def load(self, listed: Listed) -> Manifest:
        """The manifest of a backup.

        Raises:
            BackupDamaged: It cannot be read as one.
        """
        if listed.id not in self._read:
            where = f"{self._target.url}/{listed.path}"
            try:
                manifest = decode(self._target.read_small(listed.path))
            except FileNotFoundError:
                raise BackupDamaged(where, "it has just been removed") from None
            except NotAManifest as error:
                raise BackupDamaged(where, str(error)) from error
            if manifest.id != listed.id or manifest.contents.database_id != self.layout.database_id:
                raise BackupDamaged(where, "it is the manifest of another backup")
            self._read[listed.id] = manifest
        return self._read[listed.id]

    def find(self, moment: Moment) -> Listed:
        """The backup that leads to a moment: the last before a time, the first that reaches a cursor.

        Raises:
            BackupNotFound: None does.
        """
        found: Sequence[Listed] = self.listed
        if moment.id is not None:
            found = [each for each in found if each.id.startswith(moment.id)]
            if len(found) > 1:
                raise BackupNotFound(self.place, f"that {moment.id} alone stands for")
        elif moment.cursor is not None:
            # Of the last life of the database: cursors are given out again when one begins.
            found = [each for each in reversed(found) if each.cursor >= moment.cursor]
        elif moment.at_ns is not None:
            before = moment.at_ns
            found = [each for each in found if each.taken_at <= before]
        if not found:
            raise BackupNotFound(self.place, str(moment))
        return found[-1]

    def chain(self, listed: Listed) -> list[Manifest]:
        """A backup with all that it builds on, the one that stands by itself first.

        Raises:
            BackupDamaged: One of them is missing, or cannot be read.
        """
        names = {each.id: each for each in self.listed}
        manifests = [self.load(listed)]
        while (parent := manifests[-1].parent) is not None:
            if parent not in names or len(manifests) > _CHAIN_MAX:
                raise BackupDamaged(f"{self.place}/{listed.id}", f"{parent}, which it builds on, is missing")
            manifests.append(self.load(names[parent]))
        return manifests[::-1]


def databases(target: Target) -> list[str]:
    """The databases that a target has backups of.

    Raises:
        BackupError: The target cannot be read.
    """
    return [name for name in target.folders() if is_id(name)]


def the_database(target: Target, wanted: str | None) -> str:
    """The database whose backups are meant; where there is only one, it need not be named.

    Raises:
        BackupNotFound: There is none, or it has to be named.
    """
    known = databases(target)
    found = [name for name in known if name.startswith(wanted or "")]
    if len(found) == 1:
        return found[0]
    if not known:
        raise BackupNotFound(target.url, "at all")
    raise BackupNotFound(
        target.url, f"of {wanted or 'a database that is not named'}; name one of {', '.join(known)}"
    )
