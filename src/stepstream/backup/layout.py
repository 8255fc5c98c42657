"""The layout: what the objects of a database's backups are called on a target.

Knows names, which people read too. Must not know what is in them.
"""

from __future__ import annotations

import calendar
import re
import secrets
import time
from typing import NamedTuple

from stepstream.backup.compression import SUFFIX
from stepstream.backup.manifest import BackupKind

_MANIFEST_SUFFIX = ".json"
_EPOCH_CHARACTERS = 8
_NAME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)-([0-9a-f]{8})-(\d+)-([0-9a-f]{6})[0-9a-f]{6}$")
_SECOND_NS = 1_000_000_000
_REST_BITS = 6
_TIME = "%Y-%m-%dT%H-%M-%SZ"
_ARTIFACT = re.compile(r"^([0-9a-f]{64})\.zst$")


class Layout(NamedTuple):
    """The names of one database's objects.

    Attributes:
        database_id: The database, in canonical text.
    """

    database_id: str

    def data(self, backup_id: str, kind: BackupKind) -> str:
        """The database itself, or what was added to it."""
        return f"{self.database_id}/{kind.value}/{backup_id}.db{SUFFIX}"

    def manifest(self, backup_id: str, kind: BackupKind) -> str:
        """What makes a backup of it."""
        return f"{self.manifests}/{kind.value}/{backup_id}{_MANIFEST_SUFFIX}"

    @property
    def manifests(self) -> str:
        """Where all manifests are."""
        return f"{self.database_id}/manifests"

    @property
    def artifacts(self) -> str:
        """Where all artifacts are."""
        return f"{self.database_id}/artifacts"

    def artifact(self, sha256: str) -> str:
        """One artifact."""
        return f"{self.artifacts}/{sha256[:2]}/{sha256}{SUFFIX}"


def new_backup_id(taken_at: int, epoch: str, cursor: int) -> str:
    """A name that nobody has used, its last digits begin with the split second."""
    second, rest = divmod(taken_at, _SECOND_NS)
    when = time.strftime(_TIME, time.gmtime(second))
    return f"{when}-{epoch[:_EPOCH_CHARACTERS]:0>8}-{cursor}-{rest >> _REST_BITS:06x}{secrets.token_hex(3)}"


def backup_id_of(path: str) -> str | None:
    """The backup that a manifest or an object of data belongs to, by its name; None for anything else."""
    name = path.rpartition("/")[2]
    for suffix in (_MANIFEST_SUFFIX, f".db{SUFFIX}"):
        if name.endswith(suffix) and _NAME.match(name.removesuffix(suffix)):
            return name.removesuffix(suffix)
    return None


def is_backup_id(text: str) -> bool:
    """Whether a text is the name of a backup, or begins like one and goes beyond the second."""
    return re.match(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", text) is not None


def artifact_of(path: str) -> str | None:
    """The hash of an artifact by the name of its object."""
    match = _ARTIFACT.match(path.rpartition("/")[2])
    return match[1] if match else None


def taken_at_of(backup_id: str) -> int:
    """When a backup was taken, to 64 ns; ns since 1970 UTC."""
    match = _NAME.match(backup_id)
    if match is None:
        raise ValueError(backup_id)
    second = calendar.timegm(time.strptime(match[1], _TIME))
    return second * _SECOND_NS + (int(match[4], 16) << _REST_BITS)


def cursor_of(backup_id: str) -> int:
    """Up to which cursor a backup goes."""
    match = _NAME.match(backup_id)
    if match is None:
        raise ValueError(backup_id)
    return int(match[3])
