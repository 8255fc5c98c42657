"""Restoring: from a backup to a database, with everything checked on the way.

Knows manifests, what they promise, and what a restored database must not share with the one it was taken
from. Nothing is shown before all is proven; a file that is there is kept.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from stepstream.backup.catalogue import Catalogue
from stepstream.backup.compression import NotCompressed, decompressed
from stepstream.backup.contents import findings, open_copy, read_contents
from stepstream.backup.increment import add_increment
from stepstream.errors import ArtifactRefused, BackupDamaged, RestoreRefused
from stepstream.schemas.identity import id_text, new_id
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.settings import Settings
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.election import Election, read_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import apsw

    from stepstream.backup.catalogue import Moment
    from stepstream.backup.layout import Layout
    from stepstream.backup.manifest import Contents, KeptArtifact, Manifest, StoredData
    from stepstream.backup.target import Target

_OFFICE_WAIT_S = 3.0
_LOOK_INTERVAL_S = 0.1
_MIB = 1024 * 1024


class Restored(NamedTuple):
    """A database that was restored.

    Attributes:
        backup: What it was restored from.
        contents: What that held.
        size_bytes: How large it is.
        artifacts: How many files came with it.
        lacking: How many files the backup itself lacks.
        kept: Where the file is that stood in its place.
    """

    backup: str
    contents: Contents
    size_bytes: int
    artifacts: int
    lacking: int
    kept: Path | None


def restore(
    target: Target,
    database_id: str,
    moment: Moment,
    file: Path,
    *,
    force: bool,
    told: Callable[[int, int], None],
) -> Restored:
    """Put a database back as it was.

    Args:
        target: Where its backups are.
        database_id: Which one.
        moment: As of when.
        file: Where it goes.
        force: Whether a file that is there makes way; it is kept beside.
        told: Hears how many bytes there are of how many.

    Raises:
        BackupError: It cannot be found or read, is damaged, or the file would be lost.
        OSError: The file cannot be written.
    """
    if os.path.lexists(file) and not force:
        raise RestoreRefused(
            file, "there is a file already", "name another one, or let it make way with --force"
        )
    catalogue = Catalogue(target, database_id)
    chain = catalogue.chain(catalogue.find(moment))
    _ask_for_room(file, chain)
    hidden = file.with_name(f".{file.name}.{new_id().hex()[-12:]}.part")
    try:
        size = rebuild(target, chain, hidden, told)
        artifacts = _restore_artifacts(target, catalogue.layout, chain, file)
        kept = _show(hidden, file, force=force)
    finally:
        with suppress(FileNotFoundError):
            hidden.unlink()
    last = chain[-1]
    lacking = sum(len(manifest.lacking) for manifest in chain)
    return Restored(last.id, last.contents, size, artifacts, lacking, kept)


def _ask_for_room(file: Path, chain: Sequence[Manifest]) -> None:
    size = sum(manifest.data.size_bytes for manifest in chain)
    info = os.statvfs(file.parent)
    free = info.f_bavail * info.f_frsize
    if free < size:
        raise RestoreRefused(
            file, f"it has {size // _MIB} MiB and {free // _MIB} MiB are free", "make room there"
        )


# -- the database


def rebuild(target: Target, chain: Sequence[Manifest], hidden: Path, told: Callable[[int, int], None]) -> int:
    """Fetch a backup and what it builds on, prove it, and make a database of its own of it.

    Args:
        target: Where they are.
        chain: The backup that stands by itself, and what is to be added to it.
        hidden: A file that nobody looks at.
        told: Hears how many bytes there are of how many.

    Returns:
        How large the file is.

    Raises:
        BackupError: It is damaged, or cannot be read.
    """
    total = sum(manifest.data.size_bytes for manifest in chain)
    done = 0
    part = hidden.with_name(hidden.name + ".increment")
    try:
        for manifest in chain:
            file = hidden if manifest is chain[0] else part
            _fetch(target, manifest.data, file, lambda count, before=done: told(before + count, total))  # type: ignore[misc]
            done += manifest.data.size_bytes
            if file is part:
                with open_copy(hidden) as connection:
                    connection.execute("PRAGMA synchronous = OFF")
                    add_increment(connection, part, f"{target.url}/{manifest.data.path}")
            _check_contents(target, manifest, hidden)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    with open_copy(hidden) as connection:
        found = findings(connection)
        if found:
            raise BackupDamaged(f"{target.url}/{chain[-1].data.path}", "; ".join(found))
        _begin_anew(connection, chain[-1].id)
    hidden.chmod(0o600)
    return hidden.stat().st_size


def _fetch(target: Target, data: StoredData, file: Path, told: Callable[[int], None]) -> None:
    """Decompress an object into a file, and compare both with what was stated of them."""
    where = f"{target.url}/{data.path}"
    plain = hashlib.sha256()
    size = 0
    try:
        descriptor = os.open(
            file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "wb") as opened:
            for chunk in decompressed(_proven(target, data, where)):
                size += len(chunk)
                if size > data.size_bytes:
                    raise BackupDamaged(where, f"it holds more than {data.size_bytes} bytes")
                plain.update(chunk)
                opened.write(chunk)
                told(size)
    except FileNotFoundError:
        raise BackupDamaged(where, "it is not there") from None
    except NotCompressed as error:
        raise BackupDamaged(where, str(error)) from error
    if plain.hexdigest() != data.sha256:
        raise BackupDamaged(where, "it decompresses to other bytes than its manifest says")


def _proven(target: Target, data: StoredData, where: str) -> Iterator[bytes]:
    """The bytes of an object, whose hash is compared at the end."""
    found = target.stat(data.path)
    if found is None:
        raise BackupDamaged(where, "it is not there")
    if found.size != data.stored_bytes:
        raise BackupDamaged(where, f"it has {found.size} bytes, and its manifest says {data.stored_bytes}")
    stored = hashlib.sha256()
    for block in target.read(data.path, data.stored_bytes):
        stored.update(block)
        yield block
    if stored.hexdigest() != data.stored_sha256:
        raise BackupDamaged(where, "its bytes are other ones than its manifest says")


def _check_contents(target: Target, manifest: Manifest, file: Path) -> None:
    with open_copy(file) as connection:
        found = read_contents(connection)
    stated = manifest.contents
    for name in ("database_id", "epoch", "schema_version", "cursor", "steps", "episodes", "contents"):
        if getattr(found, name) != getattr(stated, name):
            raise BackupDamaged(
                f"{target.url}/{manifest.data.path}",
                f"it has {name} {getattr(found, name)}, and its manifest says {getattr(stated, name)}",
            )


def _begin_anew(connection: apsw.Connection, backup_id: str) -> None:
    """Make it a database of its own: nobody takes its cursors or its spool for those of the other one.

    No segment is awaited by it, so that none is missed. What the numbers of its recorders say stays: a
    segment of the other one that is adopted goes on where the backup ends.
    """
    connection.execute("BEGIN")
    connection.execute("DELETE FROM segment")
    connection.executemany(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [
            ("database_id", id_text(new_id())),
            ("epoch", secrets.token_hex(8)),
            ("restored_from", backup_id),
            ("clean", "1"),
        ],
    )
    connection.execute("COMMIT")


# -- what lies beside it


def _restore_artifacts(target: Target, layout: Layout, chain: Sequence[Manifest], file: Path) -> int:
    """Fetch the files that are not there, all or none."""
    store = ArtifactStore(file, Settings.load(file))
    was_there = store.path.exists()
    wanted = artifacts_of(chain)
    try:
        for each in wanted:
            if not _has(store, each.sha256):
                store.take_in(artifact_bytes(target, layout, each), each.sha256, each.size_bytes)
    except BaseException as error:
        if not was_there:
            shutil.rmtree(store.path, ignore_errors=True)
        if isinstance(error, ArtifactRefused):
            raise RestoreRefused(file, str(error), "make room there") from error
        raise
    return len(wanted)


def _has(store: ArtifactStore, sha256: str) -> bool:
    """Whether the bytes of a file are there, and are what its name says."""
    if not store.has(sha256):
        return False
    with (store.path / sha256[:2] / sha256[2:]).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def artifacts_of(chain: Sequence[Manifest]) -> list[KeptArtifact]:
    """Every file that a backup and what it builds on name, once."""
    return list({each.sha256: each for manifest in chain for each in manifest.artifacts}.values())


def artifact_bytes(target: Target, layout: Layout, artifact: KeptArtifact) -> Iterator[bytes]:
    """The bytes of a file, whose hash is compared at the end.

    Raises:
        BackupDamaged: They are not there, or are other ones.
    """
    path = layout.artifact(artifact.sha256)
    where = f"{target.url}/{path}"
    stored = target.stat(path)
    if stored is None:
        raise BackupDamaged(where, "it is not there")
    digest = hashlib.sha256()
    try:
        for chunk in decompressed(target.read(path, stored.size)):
            digest.update(chunk)
            yield chunk
    except NotCompressed as error:
        raise BackupDamaged(where, str(error)) from error
    if digest.hexdigest() != artifact.sha256:
        raise BackupDamaged(where, "it holds the bytes of another file")


# -- the place


def _show(hidden: Path, file: Path, *, force: bool) -> Path | None:
    """Give the file its name; what has the name is kept beside, and nobody writes to it meanwhile."""
    _flush(hidden)
    log = file.with_name(file.name + "-wal")
    if not os.path.lexists(file) and not os.path.lexists(log):
        _name(hidden, file)
        return None
    if not force:
        raise RestoreRefused(file, f"{log.name} of another database lies beside it", "move it away")
    kept = file.with_name(f"{file.name}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    with _office(file):
        # The log last: without it the file may lack steps, and beside another file it would spoil that.
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                file.with_name(file.name + suffix).rename(kept.with_name(kept.name + suffix))
        _name(hidden, file)
    return kept


def _name(hidden: Path, file: Path) -> None:
    try:
        # Never over a file that has come meanwhile, as a rename would.
        os.link(hidden, file)
    except FileExistsError:
        raise RestoreRefused(file, "somebody has just put a file there", "try again") from None
    hidden.unlink()
    _flush(file.parent)


@contextmanager
def _office(file: Path) -> Iterator[None]:
    """Hold the office of the committer, so that nobody writes to a file that makes way."""
    spool = SpoolDirectory(file, shared_group=Settings.load(file).spool_shared_group)
    election = Election(spool, server=True)
    try:
        deadline = time.monotonic() + _OFFICE_WAIT_S
        while not (election.stand() and election.holds_lock):
            if time.monotonic() > deadline:
                status = read_status(spool)
                whose = "a process" if status is None else f"process {status.pid}"
                raise RestoreRefused(file, f"{whose} writes to it", "end the server and the agents first")
            time.sleep(_LOOK_INTERVAL_S)
        yield
    finally:
        election.close()
        spool.close()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
