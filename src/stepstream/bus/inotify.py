"""inotify, which Python's standard library lacks: wait for a change of a file or a directory.

Knows three system calls of Linux through libc (man 7 inotify). Elsewhere ``open`` returns None and callers
poll.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Self

_MODIFY = 0x2
_MOVED_TO = 0x80
_CREATE = 0x100
_CLOSE_WRITE = 0x8


class Inotify:
    """One inotify instance."""

    def __init__(self, descriptor: int, libc: ctypes.CDLL) -> None:
        self._descriptor = descriptor
        self._libc = libc

    @classmethod
    def open(cls) -> Self | None:
        """An instance, or None where the system has none left or none at all."""
        if not sys.platform.startswith("linux"):
            return None
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        return None if descriptor < 0 else cls(descriptor, libc)

    def fileno(self) -> int:
        """The descriptor to select on."""
        return self._descriptor

    def watch(self, path: str) -> int | None:
        """Hear of changes to a file, or to the files of a directory; None when the system refuses."""
        mask = _MODIFY | _MOVED_TO | _CREATE | _CLOSE_WRITE
        found = self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask)
        return None if found < 0 else int(found)

    def forget(self, watch: int) -> None:
        """Hear no more of what ``watch`` returned."""
        self._libc.inotify_rm_watch(self._descriptor, watch)

    def drain(self) -> None:
        """Throw away what has been heard so far."""
        while True:
            try:
                if not os.read(self._descriptor, 65536):
                    return
            except BlockingIOError:
                return

    def close(self) -> None:
        """Let go of the instance."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
