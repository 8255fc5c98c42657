"""The courier: files that steps refer to travel before them, by hash, and only where they are lacking.

Knows the directory beside the spool where attached files are kept, and what a reference looks like. Must not
know posts. Bytes are looked at by nobody: artifacts are not redacted.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import from_json

from stepstream.schemas.artifact import ArtifactRef
from stepstream.schemas.record import JsonValue
from stepstream.shipping.server import ArtifactUnwanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.shipping.server import Server

logger = logging.getLogger("stepstream")

_CHUNK_BYTES = 1024 * 1024
_REMEMBERED = 10_000
_FORGOTTEN_AFTER_S = 7 * 24 * 3600
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NO_FOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC


def references(payload: bytes) -> list[ArtifactRef]:
    """The files that a payload of any kind refers to and whose bytes were kept."""
    try:
        value = from_json(payload, allow_inf_nan=False)
    except ValueError:
        # It is refused as what it is, when it is posted.
        return []
    return list(_references(value))


def _references(value: JsonValue) -> Iterator[ArtifactRef]:
    match value:
        case {"sha256": str(), "name": str(), "media_type": str(), "size_bytes": int()}:
            with suppress(ValidationError):
                found = ArtifactRef.model_validate(value)
                if found.path is None:
                    yield found
        case dict():
            for child in value.values():
                yield from _references(child)
        case list():
            for child in value:
                yield from _references(child)
        case _:
            pass


class _Unreadable(Exception):
    """The bytes of a file are not to be had on this machine."""


class Courier:
    """Brings files to a server."""

    def __init__(self, directory: Path, server: Server) -> None:
        """Prepare.

        Args:
            directory: Where attached files are kept, as ``ab/cdef...``.
            server: Where they are to be.
        """
        self._directory = directory
        self._server = server
        self._seen: OrderedDict[str, bool] = OrderedDict()

    def forget(self) -> None:
        """The server may be another one: what it has must be asked again."""
        self._seen.clear()

    def deliver(self, artifact: ArtifactRef) -> None:
        """Make sure that the server has a file, if we have it.

        Raises:
            NoAnswer: It cannot be asked.
            Unwilling: It cannot take it now.
            TokenRefused: It does not let us.
        """
        if artifact.sha256 in self._seen:
            return
        is_there = True
        try:
            if not self._server.has_artifact(artifact.sha256):
                self._send(artifact)
        except ArtifactUnwanted as reason:
            is_there = False
            logger.warning("the server does not take the file %s: %s", artifact.sha256, reason)
        except _Unreadable as reason:
            is_there = False
            # Its step is told all the same: what it says is true, even where the bytes are gone.
            logger.warning("the file %s is not sent: %s", artifact.sha256, reason)
        self._seen[artifact.sha256] = is_there
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def _send(self, artifact: ArtifactRef) -> None:
        try:
            source = os.open(self._path(artifact.sha256), os.O_RDONLY | os.O_NONBLOCK | _NO_FOLLOW)
        except OSError as error:
            raise _Unreadable(error.strerror) from error
        try:
            info = os.fstat(source)
            if not stat.S_ISREG(info.st_mode):
                raise _Unreadable("it is no regular file")
            self._server.send_artifact(artifact.sha256, _chunks(source, info.st_size), info.st_size)
        finally:
            os.close(source)

    def dismiss(self, artifact: ArtifactRef) -> None:
        """A step that refers to a file is acknowledged: the server has both, and our copy goes.

        Where somebody attaches the same bytes again meanwhile, the server is asked first and has them.
        """
        if self._seen.get(artifact.sha256):
            with suppress(OSError):
                self._path(artifact.sha256).unlink()

    def sweep(self) -> None:
        """Remove old files that no step ever referred to; for when nothing waits."""
        long_ago = time.time() - _FORGOTTEN_AFTER_S
        with suppress(OSError):
            for path in [*self._directory.glob("??/*"), *self._directory.glob(".incoming-*")]:
                if path.lstat().st_mtime < long_ago:
                    path.unlink()

    def _path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise ValueError("not a hash")
        return self._directory / sha256[:2] / sha256[2:]


def _chunks(source: int, size: int) -> Iterator[bytes]:
    while size > 0:
        try:
            chunk = os.read(source, min(_CHUNK_BYTES, size))
        except OSError as error:
            raise _Unreadable(error.strerror) from error
        if not chunk:
            raise _Unreadable("it was cut while it was sent")
        size -= len(chunk)
        yield chunk
