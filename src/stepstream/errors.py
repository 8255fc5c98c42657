"""Every error stepstream raises, in one tree.

    StepstreamError
    ├── ValidationFailed      the caller's own data does not fit its schema
    ├── KindConflict          two payload classes claim the same kind
    ├── NotOpen               something was used before it was opened or after it was closed
    ├── ConfigurationInvalid  a setting, an environment variable or a configuration file is wrong
    ├── ArtifactRefused       a path cannot be attached
    ├── MissingExtra          an optional dependency is not installed
    ├── EpisodeNotFound       no episode, or more than one, answers to an id
    ├── FilterInvalid         a filter cannot be read, or asks what cannot be asked here
    ├── Unreachable           a server cannot be asked
    ├── AccessDenied          a server lets nobody in with this token, or without one
    ├── BackupError
    │   ├── SnapshotFailed      no copy of the database could be taken
    │   ├── TargetUnusable      the place for backups refuses us, or is none
    │   ├── TargetUnreachable   the place for backups does not answer
    │   ├── BackupNotFound      no backup answers to what was asked
    │   ├── BackupDamaged       what is stored is not what its manifest says
    │   ├── BackupRunning       another one is being taken
    │   └── RestoreRefused      a file would be lost, or is in use
    └── StoreError
        ├── NotADatabase      the file is not a stepstream history
        ├── Busy              somebody else holds the database
        ├── Full              the disk has no room left
        ├── SchemaTooNew      the file was written by a newer stepstream
        ├── Corrupt           the file is damaged
        └── UnsafeLocation    the place cannot hold a history safely

Each class takes typed arguments and writes its own message: what failed, on what, what to do next.
Driver exceptions are chained as causes, never leaked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class StepstreamError(Exception):
    """The root of every error stepstream raises."""


class Problem(NamedTuple):
    """One thing that is wrong with one field."""

    field: str
    value: str
    reason: str


class ValidationFailed(StepstreamError, ValueError):
    """The caller's own data does not fit its schema; nothing was recorded.

    Args:
        kind: The payload kind, or the name of the argument group, that was refused.
        problems: Each field that does not fit, with a short repr of its value.
    """

    def __init__(self, kind: str, problems: Sequence[Problem]) -> None:
        self.kind = kind
        self.problems = tuple(problems)
        lines = [f"  {p.field}: {p.reason} (got {p.value})" for p in self.problems]
        super().__init__("\n".join([f"{kind} was not recorded; correct these fields:", *lines]))

    def __reduce__(self) -> tuple[type[ValidationFailed], tuple[str, tuple[Problem, ...]]]:
        return type(self), (self.kind, self.problems)


class KindConflict(StepstreamError):
    """Two payload classes, or two upcasts, claim the same kind and version."""

    def __init__(self, kind: str, reason: str) -> None:
        self.kind = kind
        super().__init__(f"payload kind {kind!r}: {reason}")


class NotOpen(StepstreamError):
    """Something was used before it was opened or after it was closed."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what} is not open; {advice}")


class ConfigurationInvalid(StepstreamError, ValueError):
    """A setting, an environment variable or a configuration file holds something unusable."""

    def __init__(self, where: str, value: str, expected: str) -> None:
        super().__init__(f"{where} is {value}; expected {expected}")


class ArtifactRefused(StepstreamError, ValueError):
    """A path cannot be attached as an artifact.

    Args:
        path: The file, as its owner calls it.
        reason: What is wrong.
        lacks_room: Whether there is only no room for it now.
    """

    def __init__(self, path: str, reason: str, *, lacks_room: bool = False) -> None:
        self.path = path
        self.lacks_room = lacks_room
        super().__init__(f"{path} was not attached: {reason}")


class MissingExtra(StepstreamError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency; run: pip install 'stepstream[{extra}]'")


class EpisodeNotFound(StepstreamError, LookupError):
    """No episode, or more than one, answers to an id or prefix."""

    def __init__(self, wanted: str, candidates: Sequence[str] = ()) -> None:
        self.wanted = wanted
        self.candidates = tuple(candidates)
        if candidates:
            text = f"episode {wanted!r} is ambiguous; type more of one of: {', '.join(candidates)}"
        else:
            text = f"there is no episode {wanted!r}; list them with: stepstream ls"
        super().__init__(text)


class FilterInvalid(StepstreamError, ValueError):
    """A filter cannot be read, or asks what cannot be asked here.

    Args:
        text: The whole filter.
        position: The index of the character where it went wrong.
        expected: What could stand there, or what is wrong with what does.
    """

    def __init__(self, text: str, position: int, expected: str) -> None:
        self.text = text
        self.position = position
        self.expected = expected
        shown = text.replace("\n", " ").replace("\t", " ")
        super().__init__(f"the filter cannot be used: {expected}\n  {shown}\n  {' ' * position}^")

    def __reduce__(self) -> tuple[type[FilterInvalid], tuple[str, int, str]]:
        return type(self), (self.text, self.position, self.expected)


class Unreachable(StepstreamError):
    """A server cannot be asked: nothing answers there, or nothing that could be understood.

    Args:
        address: Where the server should be.
        reason: What failed.
        advice: What to do.
    """

    def __init__(
        self,
        address: str,
        reason: str,
        advice: str = "see that a server runs there, and that the address is right",
    ) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f"{address} cannot be asked: {reason}; {advice}")


class AccessDenied(StepstreamError):
    """A server lets nobody in with this token, or without one.

    Args:
        address: Which server.
        reason: What it says.
    """

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        super().__init__(f"{address} denies access: {reason}; a token is stated in STEPSTREAM_TOKEN")


class BackupError(StepstreamError):
    """A backup could not be taken, found or restored."""


class SnapshotFailed(BackupError):
    """No consistent copy of the database could be taken."""

    def __init__(self, database: Path, reason: str, advice: str) -> None:
        super().__init__(f"{database} could not be copied: {reason}; {advice}")


class TargetUnusable(BackupError):
    """The place for backups refuses us, or is none; trying again does not help.

    Args:
        place: Where, without credentials.
        reason: What failed.
        advice: What to do.
    """

    def __init__(self, place: str, reason: str, advice: str) -> None:
        self.place = place
        super().__init__(f"{place} cannot be used: {reason}; {advice}")


class TargetUnreachable(BackupError):
    """The place for backups does not answer, or fails; it may be well again later.

    Args:
        place: Where, without credentials.
        reason: What failed.
    """

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(
            f"{place} failed: {reason}; see that it runs and can be reached, then take the backup again"
        )


class BackupNotFound(BackupError, LookupError):
    """No backup answers to what was asked."""

    def __init__(self, place: str, wanted: str) -> None:
        super().__init__(f"{place} holds no backup {wanted}; see what there is with: stepstream backups")


class BackupDamaged(BackupError):
    """What is stored is not what its manifest says; nothing was restored from it."""

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        super().__init__(
            f"{place} is damaged: {reason}; restore an earlier one (see: stepstream backups), "
            "and take a new backup"
        )


class BackupRunning(BackupError):
    """Another backup of the same database is being taken; one at a time is enough.

    Args:
        job: Its id, where it is known.
    """

    def __init__(self, database: Path, job: str | None) -> None:
        self.job = job
        which = "" if job is None else f" ({job})"
        super().__init__(f"a backup of {database} is being taken already{which}; wait for it")


class RestoreRefused(BackupError):
    """A restore would lose a file, or meddle with one that is in use."""

    def __init__(self, path: Path, reason: str, advice: str) -> None:
        super().__init__(f"{path} was not restored: {reason}; {advice}")


class StoreError(StepstreamError):
    """The database cannot do what was asked."""


class NotADatabase(StoreError):
    """A file exists at the path, but it is not a stepstream history."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is not a stepstream history ({reason}); choose another path")


class Busy(StoreError):
    """Another program holds the database for longer than we wait, or a server has no time for us.

    Args:
        place: The file, or the server's address.
        waited_s: How long we waited for the file.
        told: What the server says; None where it is a file.
    """

    def __init__(self, place: Path | str, waited_s: float = 0.0, told: str | None = None) -> None:
        if told is None:
            text = (
                f"{place} was held by another program for more than {waited_s:g} s; "
                "close the program that has a write transaction open and try again"
            )
        else:
            text = f"{place} has no time now: {told}"
        super().__init__(text)


class Full(StoreError):
    """The disk of the database has no room left; steps wait in the spool."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"the disk of {path} is full; steps wait in the spool until there is room")


class SchemaTooNew(StoreError):
    """The file was written by a newer stepstream; older code only reads it."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} has schema {found}, this stepstream writes schema {known}; "
            "it can be read as it is; to record into it run: pip install --upgrade stepstream"
        )


class Corrupt(StoreError):
    """The database file is damaged; every spool segment is kept until it is repaired."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is damaged ({reason}); nothing in the spool was deleted; "
            f"see what can be read with: stepstream verify --deep --db {path}"
        )


class UnsafeLocation(StoreError):
    """A history at this place could lose steps; recording there is refused."""

    def __init__(self, path: Path, reason: str, advice: str) -> None:
        super().__init__(f"{path} cannot hold a history safely: {reason}; {advice}")
