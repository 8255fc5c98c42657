"""What an agent was told: one byte a step, in memory shared with the file, so that it outlives any kill.

A byte is written after the call returned, without a system call of its own; the file may lie on another disk
than the history.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from struct import Struct

UNTRIED, TRIED, ACKNOWLEDGED, REFUSED = range(4)

BUDGET_NS = 50_000_000
"""For longer no call may be held up."""

_HEAD = Struct("<QQQQ")
_RECORDER_AT = 32
_HEAD_BYTES = 64


class Journal:
    """The fates of one agent's steps, by number."""

    def __init__(self, path: Path, room: int = 0) -> None:
        """Open the file; with ``room`` for so many steps it is created."""
        self.path = path
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if room else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if room:
                os.ftruncate(descriptor, _HEAD_BYTES + room)
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self.room = len(self._map) - _HEAD_BYTES

    @property
    def name(self) -> str:
        """Whose it is."""
        return self.path.stem

    def note(self, number: int, fate: int) -> None:
        """Write down what became of a step."""
        self._map[_HEAD_BYTES + number] = fate

    def note_recorder(self, recorder_id: bytes) -> None:
        """Write down by which recorder the steps are numbered."""
        self._map[_RECORDER_AT : _RECORDER_AT + 16] = recorder_id

    @property
    def recorder_id(self) -> bytes:
        """By which recorder the steps are numbered."""
        return self._map[_RECORDER_AT : _RECORDER_AT + 16]

    def note_blocked(self, ns: int) -> None:
        """Write down how long a call was held up, if no other was held up longer."""
        longest, calls, over, done = _HEAD.unpack_from(self._map)
        _HEAD.pack_into(self._map, 0, max(longest, ns), calls + 1, over + (ns > BUDGET_NS), done)

    def note_end(self) -> None:
        """Write down that the agent did all it was asked to do."""
        longest, calls, over, _ = _HEAD.unpack_from(self._map)
        _HEAD.pack_into(self._map, 0, longest, calls, over, 1)

    @property
    def longest_blocked_ms(self) -> float:
        """The longest that a call was held up by anything but the queue for a processor."""
        return float(_HEAD.unpack_from(self._map)[0]) / 1e6

    @property
    def blocked_calls(self) -> int:
        """How many calls were held up for longer than their budget."""
        return int(_HEAD.unpack_from(self._map)[2])

    @property
    def ended(self) -> bool:
        """Whether the agent did all it was asked to do."""
        return bool(_HEAD.unpack_from(self._map)[3])

    def fates(self) -> bytes:
        """The fate of every step there was room for."""
        return self._map[_HEAD_BYTES:]

    def numbers(self, fate: int) -> list[int]:
        """The steps with a fate."""
        return [number for number, found in enumerate(self.fates()) if found == fate]

    @property
    def tried(self) -> int:
        """How many steps were tried."""
        return len(self.fates().rstrip(bytes(1)))

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
