"""Files kept beside the database, once each, by the hash of their bytes.

Knows paths and bytes: one streamed pass copies and hashes, and a rename shows the whole file or nothing. Must
not know steps. Names that a caller gives are shown and never used as a path of ours.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stepstream.errors import ArtifactRefused, UnsafeLocation
from stepstream.schemas.artifact import ArtifactRef
from stepstream.schemas.identity import new_id
from stepstream.schemas.record import printable
from stepstream.settings import Durability
from stepstream.spool.directory import artifacts_path

if TYPE_CHECKING:
    from stepstream.settings import Settings

CHUNK_BYTES = 1024 * 1024
_MIB = 1024 * 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_FOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC

_MEDIA_TYPES = {
    ".3mf": "model/3mf",
    ".csv": "text/csv",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".jsonl": "application/jsonl",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".npy": "application/x-npy",
    ".obj": "model/obj",
    ".parquet": "application/vnd.apache.parquet",
    ".ply": "model/ply",
    ".step": "model/step",
    ".stl": "model/stl",
    ".stp": "model/step",
    ".toml": "application/toml",
    ".yaml": "application/yaml",
}


class ArtifactStore:
    """The content-addressed directory of one database; created with the first file."""

    def __init__(
        self,
        database: Path,
        settings: Settings,
        *,
        bytes_max: int | None = None,
        make_place: Callable[[], None] | None = None,
    ) -> None:
        """Name the directory.

        Args:
            database: The path that it is named after.
            settings: How much room is left free, and who may write.
            bytes_max: How much its files may hold together; for those that only wait to be sent on.
            make_place: Makes the directory that it lies in.
        """
        self.path = artifacts_path(database)
        self._settings = settings
        self._bytes_max = bytes_max
        self._make_place = make_place
        shared = settings.spool_shared_group
        self._directory_mode = 0o2770 if shared else 0o700
        self._file_mode = 0o440 if shared else 0o400

    def attach(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        media_type: str | None = None,
        copy: bool = True,
    ) -> ArtifactRef:
        """Copy and hash a file in one pass.

        Args:
            path: The file; no link, no special file, no ``..`` on the way.
            name: What to show instead of the file's own name.
            media_type: IANA media type; guessed from the name by default.
            copy: Whether to keep the bytes; else path, size and hash only.

        Raises:
            ArtifactRefused: It cannot be attached; the message says why.
        """
        shown = printable(os.fspath(path))
        source = _open_source(path, shown)
        try:
            size = os.fstat(source).st_size
            # A log that somebody is writing is attached as long as it was at the call.
            chunks = _chunks(source, size)
            if copy:
                digest, stored = self._store(chunks, size, shown)
            else:
                digest, stored = _hash(chunks)
        except OSError as error:
            raise _failed(shown, error) from error
        finally:
            os.close(source)
        name = name or Path(shown).name
        return ArtifactRef(
            sha256=digest,
            name=name,
            media_type=media_type or _media_type(name),
            size_bytes=stored,
            path=None if copy else printable(os.path.abspath(path)),  # noqa: PTH100 - made absolute, no link followed,
        )

    def keep(self, data: bytes, name: str, media_type: str) -> ArtifactRef:
        """Store bytes that were never a file.

        Raises:
            ArtifactRefused: There is no room, or the directory cannot be used.
        """
        view = memoryview(data)
        chunks = (view[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))
        try:
            digest, size = self._store(chunks, len(data), name)
        except OSError as error:
            raise _failed(name, error) from error
        return ArtifactRef(sha256=digest, name=printable(name), media_type=media_type, size_bytes=size)

    def has(self, sha256: str) -> bool:
        """Whether the bytes with a hash are kept."""
        return (self.path / sha256[:2] / sha256[2:]).is_file()

    def take_in(self, chunks: Iterator[bytes], sha256: str, size: int) -> None:
        """Store bytes that come from elsewhere under the hash that they are said to have.

        Raises:
            ArtifactRefused: They have another hash, or there is no room; nothing is kept.
        """
        try:
            self._store(chunks, size, sha256, expected=sha256)
        except OSError as error:
            raise _failed(sha256, error) from error

    def _store(
        self, chunks: Iterator[bytes | memoryview], size: int, shown: str, expected: str | None = None
    ) -> tuple[str, int]:
        directory = self._open_directory(shown)
        try:
            self._ask_for_room(directory, size, shown)
            hidden = f".incoming-{new_id().hex()}"
            target = os.open(
                hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600, dir_fd=directory
            )
            try:
                digest, written = _hash(chunks, lambda chunk: _write(target, chunk))
                if expected is not None and digest != expected:
                    raise ArtifactRefused(shown, f"the bytes that came have the hash {digest}")
                os.fchmod(target, self._file_mode)
                if self._settings.durability is Durability.POWER:
                    os.fsync(target)
                self._show(directory, hidden, digest)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(hidden, dir_fd=directory)
                raise
            finally:
                os.close(target)
        finally:
            os.close(directory)
        return digest, written

    def _show(self, directory: int, hidden: str, digest: str) -> None:
        """Give the file its name; bytes that are there already are replaced by the same."""
        folder, rest = digest[:2], digest[2:]
        with suppress(FileExistsError):
            os.mkdir(folder, self._directory_mode, dir_fd=directory)
        inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _NO_FOLLOW, dir_fd=directory)
        try:
            os.rename(hidden, rest, src_dir_fd=directory, dst_dir_fd=inside)
            if self._settings.durability is Durability.POWER:
                os.fsync(inside)
                os.fsync(directory)
        finally:
            os.close(inside)

    def _open_directory(self, shown: str) -> int:
        if self._make_place is not None:
            try:
                self._make_place()
            except UnsafeLocation as error:
                raise ArtifactRefused(shown, str(error)) from error
        with suppress(FileExistsError):
            self.path.mkdir(self._directory_mode)
            if self._settings.spool_shared_group:
                self.path.chmod(self._directory_mode)
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | _NO_FOLLOW)
        info = os.fstat(directory)
        others = stat.S_IWOTH if self._settings.spool_shared_group else stat.S_IWGRP | stat.S_IWOTH
        if info.st_mode & others:
            os.close(directory)
            raise ArtifactRefused(shown, f"others may write to {self.path}; run: chmod 700 {self.path}")
        return directory

    def _ask_for_room(self, directory: int, size: int, shown: str) -> None:
        """Never take the agent's last byte."""
        info = os.statvfs(directory)
        free = info.f_bavail * info.f_frsize
        least = self._settings.disk_free_bytes_min
        if free < least + size:
            raise ArtifactRefused(
                shown,
                f"it has {size} bytes and {free // _MIB} MiB are free; {least // _MIB} stay free",
                lacks_room=True,
            )
        if self._bytes_max is not None and self._held() + size > self._bytes_max:
            raise ArtifactRefused(
                shown,
                f"files that wait for the server would hold more than {self._bytes_max // _MIB} MiB; "
                "see: stepstream doctor",
                lacks_room=True,
            )

    def _held(self) -> int:
        """How much the files hold; of those that are sent meanwhile some."""
        total = 0
        for path in self.path.glob("??/*"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total


def _failed(shown: str, error: OSError) -> ArtifactRefused:
    return ArtifactRefused(shown, error.strerror or str(error), lacks_room=error.errno in _NO_ROOM)


def _open_source(path: str | os.PathLike[str], shown: str) -> int:
    if ".." in Path(path).parts:
        raise ArtifactRefused(shown, "'..' leads out of the directory; give the plain path")
    try:
        # A pipe must not hang us: opened without waiting, then refused.
        source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | _NO_FOLLOW)
    except (OSError, ValueError) as error:
        if "\0" not in shown and Path(path).is_symlink():
            raise ArtifactRefused(shown, "it is a symbolic link; attach the file it points to") from None
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ArtifactRefused(shown, reason) from error
    if not stat.S_ISREG(os.fstat(source).st_mode):
        os.close(source)
        raise ArtifactRefused(shown, "it is not a regular file")
    return source


def _chunks(source: int, size: int) -> Iterator[bytes]:
    while size > 0:
        chunk = os.read(source, min(CHUNK_BYTES, size))
        if not chunk:
            return
        size -= len(chunk)
        yield chunk


def _hash(
    chunks: Iterator[bytes] | Iterator[bytes | memoryview],
    write: Callable[[bytes | memoryview], None] | None = None,
) -> tuple[str, int]:
    digest = hashlib.sha256()
    total = 0
    for chunk in chunks:
        digest.update(chunk)
        total += len(chunk)
        if write is not None:
            write(chunk)
    return digest.hexdigest(), total


def _write(target: int, chunk: bytes | memoryview) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(target, view) :]


def _media_type(name: str) -> str:
    """The media type a name suggests, the same on every machine."""
    known = _MEDIA_TYPES.get(Path(name).suffix.lower())
    if known is not None:
        return known
    from mimetypes import MimeTypes  # noqa: PLC0415 - tables that few need

    return MimeTypes().guess_type(name)[0] or "application/octet-stream"
