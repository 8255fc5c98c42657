"""A file that appears whole or not at all: written under a hidden name beside its place, then renamed.

Knows files. Must not know what is written.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from stepstream.schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """The path to write to; when the block ends without an exception, the file is flushed and gets its name.

    A file that had the name is replaced in the same moment; after an exception it is as it was.

    Raises:
        OSError: The directory cannot be written, or the disk is full.
    """
    hidden = target.with_name(f".{target.name}.{new_id().hex()[-12:]}.part")
    try:
        yield hidden
        _sync(hidden, os.O_RDWR)
        hidden.replace(target)
        _sync(target.parent, os.O_RDONLY)
    finally:
        with suppress(FileNotFoundError):
            hidden.unlink()


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
