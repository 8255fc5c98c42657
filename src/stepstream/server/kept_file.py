"""A kept file on its way to a client: opened without following links, and sent piece by piece.

Knows descriptors and ASGI. Must not know whose file it is.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from stepstream.server.byte_range import ByteRange

CHUNK_BYTES = 256 * 1024
_SAFE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class KeptFile:
    """An open file of the directory of artifacts."""

    def __init__(self, directory: Path, sha256: str) -> None:
        """Open it.

        Raises:
            OSError: It is not there, or is no plain file.
        """
        self._descriptor = -1
        root = os.open(directory, _SAFE | os.O_DIRECTORY)
        try:
            folder = os.open(sha256[:2], _SAFE | os.O_DIRECTORY, dir_fd=root)
            try:
                # A pipe in its place must not hang us.
                self._descriptor = os.open(sha256[2:], _SAFE | os.O_NONBLOCK, dir_fd=folder)
            finally:
                os.close(folder)
        finally:
            os.close(root)
        info = os.fstat(self._descriptor)
        self.size = info.st_size
        if not stat.S_ISREG(info.st_mode):
            self.close()
            raise FileNotFoundError(2, "it is not a plain file", sha256)

    def read(self, start: int, count: int) -> bytes:
        """Some bytes; fewer at the end."""
        return os.pread(self._descriptor, count, start)

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        # A response that nobody sent in the end.
        self.close()


class FileResponse(StreamingResponse):
    """A part of a file, no faster than the client takes it; nothing but headers where there is no part."""

    def __init__(
        self, file: KeptFile, part: ByteRange | None, status_code: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(_pieces(file, part), status_code, headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def _pieces(file: KeptFile, part: ByteRange | None) -> Iterator[bytes]:
    at, stop = part or (0, 0)
    while at < stop:
        piece = file.read(at, min(CHUNK_BYTES, stop - at))
        if not piece:
            # It has become shorter: the client sees that the rest is missing.
            raise OSError(f"the file ends at byte {at} of {stop}")
        at += len(piece)
        yield piece
