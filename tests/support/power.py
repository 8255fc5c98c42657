"""A disk that can lose its power: every write and every flush is written down, and a cut keeps what it must.

The recording process puts itself between the product and the kernel before the product is imported: the
functions of ``os`` that change a disk, and an SQLite VFS. A cut at any moment then makes the directory as it
may be found afterwards: what was flushed is there; of what was not, any part is, torn, zeroed or in another
order. A creation, renaming or deletion lasts once its directory was flushed, before that perhaps.
"""

from __future__ import annotations

import builtins
import io
import os
import pickle
import random
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_SECTOR = 512
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Event(NamedTuple):
    """One thing that happened to the disk, or that somebody was told.

    ``what`` is ``write``, ``truncate`` (of a file), ``create``, ``rename``, ``unlink`` (in a directory),
    ``sync`` (of either) or ``said``.
    """

    what: str
    target: int | str
    data: tuple[Any, ...]


class Recording(NamedTuple):
    """A run: its directory and all that happened, in order."""

    root: str
    events: list[Event]


class Disk:
    """Writes down what a process does below one directory."""

    def __init__(self, root: Path) -> None:
        self.root = os.fspath(root)
        self.events: list[Event] = []
        self.boot = "0" * 8 + "-0000-0000-0000-" + "0" * 12
        self.is_moody = False
        self._mood = random.Random()
        self._lock = threading.RLock()
        self._files: dict[tuple[int, int], int] = {}
        self._descriptors: dict[int, int | str] = {}
        self._count = 0

    # -- what happened

    def say(self, *words: object) -> None:
        """Write down that somebody was told something."""
        self._note("said", 0, *words)

    def _note(self, what: str, target: int | str, *data: object) -> None:
        with self._lock:
            self.events.append(Event(what, target, data))

    def _sync(self, target: int | str) -> None:
        """What was written before a flush began is on the disk when it ends."""
        reached = len(self.events)
        self._dawdle(0.001)
        self._note("sync", target, reached)

    def _dawdle(self, usual_s: float) -> None:
        """On a moody disk, be quick mostly and very slow at times, so that others come between."""
        if self.is_moody:
            time.sleep(usual_s * (10 if self._mood.random() < 0.2 else 0.2))

    def _inside(self, path: str) -> bool:
        return path.startswith(self.root + "/") or path == self.root

    def _where(self, path: os.PathLike[str] | str, directory: int | None) -> tuple[str, str]:
        """The directory and the name that a path means."""
        text = os.fspath(path)
        if directory is not None and not text.startswith("/"):
            return str(self._descriptors.get(directory, "/nowhere")), text
        text = os.path.abspath(text)
        return os.path.split(text)

    def file_at(self, path: str) -> int | None:
        """The number of the file that a path names."""
        try:
            info = os.stat(path)
        except FileNotFoundError:
            return None
        return self._files.get((info.st_dev, info.st_ino))

    def _created(self, directory: str, name: str) -> int:
        info = os.stat(f"{directory}/{name}")
        self._count += 1
        self._files[info.st_dev, info.st_ino] = self._count
        self._note("create", directory, name, self._count)
        return self._count

    # -- between the product and the kernel

    def install(self) -> None:
        """Stand between this process and the kernel from here on."""
        self._install_files()
        self._install_writes()
        self._install_names()
        self._install_boot()
        self._install_sqlite()

    def _install_files(self) -> None:
        real_open, real_close, real_mkdir = os.open, os.close, os.mkdir

        def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            directory, name = self._where(path, dir_fd)
            whole = f"{directory}/{name}"
            if not self._inside(whole):
                return real_open(path, flags, mode, dir_fd=dir_fd)
            with self._lock:
                was_there = os.path.lexists(whole)
                descriptor = real_open(path, flags, mode, dir_fd=dir_fd)
                if flags & os.O_DIRECTORY:
                    self._descriptors[descriptor] = whole
                else:
                    file = self.file_at(whole) if was_there else self._created(directory, name)
                    # What SQLite made without asking is its index, which no power cut outlasts.
                    if file is not None:
                        self._descriptors[descriptor] = file
                        if was_there and flags & os.O_TRUNC:
                            self._note("truncate", file, 0)
                return descriptor

        def close(descriptor: int) -> None:
            with self._lock:
                self._descriptors.pop(descriptor, None)
                real_close(descriptor)

        def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
            directory, name = self._where(path, dir_fd)
            with self._lock:
                real_mkdir(path, mode, dir_fd=dir_fd)
                if self._inside(f"{directory}/{name}"):
                    self._note("create", directory, name, f"{directory}/{name}")

        os.open, os.close, os.mkdir = open_, close, mkdir

    def _install_writes(self) -> None:
        real_write, real_pwrite, real_truncate = os.write, os.pwrite, os.ftruncate
        real_fsync, real_fdatasync = os.fsync, os.fdatasync

        def write(descriptor: int, data: bytes) -> int:
            self._dawdle(0.0005)
            with self._lock:
                file = self._descriptors.get(descriptor)
                offset = os.lseek(descriptor, 0, os.SEEK_CUR) if file is not None else 0
                count = real_write(descriptor, data)
                if file is not None:
                    self._note("write", file, offset, bytes(data[:count]))
                return count

        def pwrite(descriptor: int, data: bytes, offset: int) -> int:
            with self._lock:
                count = real_pwrite(descriptor, data, offset)
                file = self._descriptors.get(descriptor)
                if file is not None:
                    self._note("write", file, offset, bytes(data[:count]))
                return count

        def ftruncate(descriptor: int, size: int) -> None:
            with self._lock:
                real_truncate(descriptor, size)
                file = self._descriptors.get(descriptor)
                if file is not None:
                    self._note("truncate", file, size)

        def syncing(real: Callable[[int], None]) -> Callable[[int], None]:
            def sync(descriptor: int) -> None:
                target = self._descriptors.get(descriptor)
                if target is None:
                    real(descriptor)
                else:
                    self._sync(target)

            return sync

        os.write, os.pwrite, os.ftruncate = write, pwrite, ftruncate
        os.fsync, os.fdatasync = syncing(real_fsync), syncing(real_fdatasync)

    def _install_names(self) -> None:
        real_rename, real_unlink, real_link = os.rename, os.unlink, os.link

        def rename(
            src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
        ) -> None:
            directory, old = self._where(src, src_dir_fd)
            with self._lock:
                real_rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
                if self._inside(directory):
                    self._note("rename", directory, old, self._where(dst, dst_dir_fd)[1])

        def unlink(path: Any, *, dir_fd: int | None = None) -> None:
            directory, name = self._where(path, dir_fd)
            with self._lock:
                real_unlink(path, dir_fd=dir_fd)
                if self._inside(directory):
                    self._note("unlink", directory, name)

        def link(src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
            directory, old = self._where(src, src_dir_fd)
            with self._lock:
                real_link(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
                if self._inside(directory):
                    self._note(
                        "create",
                        directory,
                        self._where(dst, dst_dir_fd)[1],
                        self.file_at(f"{directory}/{old}"),
                    )

        os.rename, os.unlink, os.link = rename, unlink, link

    def _install_boot(self) -> None:
        real_open = builtins.open

        def open_(file: Any, *arguments: Any, **options: Any) -> Any:
            if file == _BOOT_ID:
                mode = options.get("mode", *arguments[:1] or ["r"])
                return io.BytesIO(self.boot.encode()) if "b" in mode else io.StringIO(self.boot)
            return real_open(file, *arguments, **options)

        builtins.open = open_

    def reboot(self) -> None:
        """Let the machine have been shut down and started again: whatever comes is of another boot."""
        from stepstream.spool.clock import boot_id

        self.boot = "1" * 8 + "-1111-1111-1111-" + "1" * 12
        boot_id.cache_clear()
        self.say("reboot")

    def _install_sqlite(self) -> None:  # noqa: C901 - a file system has many methods
        import apsw

        disk = self

        class PowerFile(apsw.VFSFile):
            def __init__(self, name: Any, flags: list[int]) -> None:
                path = name.filename() if isinstance(name, apsw.URIFilename) else name
                was_there = path is not None and os.path.exists(path)
                super().__init__("unix", name, flags)
                self._file = 0
                self._new_directory: str | None = None
                if path is not None and disk._inside(path):
                    directory, leaf = os.path.split(path)
                    self._file = (disk.file_at(path) or 0) if was_there else disk._created(directory, leaf)
                    log = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
                    if not was_there and flags[0] & log:
                        self._new_directory = directory

            def xWrite(self, data: bytes, offset: int) -> None:
                with disk._lock:
                    super().xWrite(data, offset)
                    disk._note("write", self._file, offset, bytes(data))

            def xTruncate(self, size: int) -> None:
                with disk._lock:
                    super().xTruncate(size)
                    disk._note("truncate", self._file, size)

            def xSync(self, flags: int) -> None:
                # As os_unix.c: the first flush of a new log or journal also flushes its directory.
                disk._sync(self._file)
                directory, self._new_directory = self._new_directory, None
                if directory is not None:
                    disk._sync(directory)

        class PowerVFS(apsw.VFS):
            def __init__(self) -> None:
                super().__init__("power", "unix", makedefault=True)

            def xOpen(self, name: Any, flags: list[int]) -> PowerFile:
                with disk._lock:
                    return PowerFile(name, flags)

            def xDelete(self, path: str, sync_directory: bool) -> None:
                with disk._lock:
                    super().xDelete(path, False)
                    disk._note("unlink", *os.path.split(path))
                if sync_directory:
                    disk._sync(os.path.dirname(path))

        self._vfs = PowerVFS()

    def save(self, path: Path) -> None:
        """Write the recording to a file outside."""
        path.write_bytes(pickle.dumps(Recording(self.root, self.events)))


# -- the cut


class Cut:
    """The disk as it may be found when the power fails before an event.

    Args:
        recording: The run.
        at: The number of events that happened before.
        chance: What decides about everything that was not flushed; None keeps all, as a mere kill does.
        deaf: Files whose flushes are not heeded, by the end of their name: a disk that lies.
    """

    def __init__(
        self, recording: Recording, at: int, chance: random.Random | None, *, deaf: tuple[str, ...] = ()
    ) -> None:
        self.recording = recording
        self.at = at
        self._chance = chance
        self._deaf = deaf
        self._operations: defaultdict[int | str, list[tuple[int, Event]]] = defaultdict(list)
        self._reached: defaultdict[int | str, int] = defaultdict(int)
        names: dict[int | str, str] = {}
        for index, event in enumerate(recording.events[:at]):
            match event.what:
                case "sync":
                    if not (deaf and names.get(event.target, str(event.target)).endswith(deaf)):
                        self._reached[event.target] = max(self._reached[event.target], event.data[0])
                case "said":
                    continue
                case _:
                    self._operations[event.target].append((index, event))
                    if event.what == "create":
                        names[event.data[1]] = event.data[0]

    @property
    def is_kill(self) -> bool:
        """Whether the power stays on and only processes die."""
        return self._chance is None

    def said(self, word: str) -> list[tuple[Any, ...]]:
        """What was said before the cut, of one kind."""
        return [
            e.data[1:] for e in self.recording.events[: self.at] if e.what == "said" and e.data[0] == word
        ]

    def published(self) -> list[int]:
        """Every cursor that the bell rang before the cut."""
        events = self.recording.events
        bells = {e.data[1] for e in events if e.what == "create" and e.data[0] == "bell"}
        return [
            int.from_bytes(event.data[1][:8], "little")
            for event in events[: self.at]
            if event.what == "write" and event.target in bells
        ]

    def epoch(self) -> str:
        """The one epoch of a run without a cut."""
        (epoch,) = {e.data[1] for e in self.recording.events if e.what == "said" and e.data[0] == "epoch"}
        return str(epoch)

    def make(self, place: Path) -> set[str]:
        """Make the directory as it is found; returns the names of the segments that are gone."""
        place.mkdir()
        return self._make(self.recording.root, place)

    def _make(self, directory: str, place: Path) -> set[str]:
        entries: dict[str, int | str] = {}
        gone: set[str] = set()
        for event in self._changes(directory):
            match event.what:
                case "create":
                    entries[event.data[0]] = event.data[1]
                case "rename":
                    entries[event.data[1]] = entries.pop(event.data[0])
                case _:
                    entries.pop(event.data[0], None)
                    gone |= {event.data[0]} if event.data[0].endswith(".segment") else set()
        for name, found in entries.items():
            if isinstance(found, str):
                (place / name).mkdir(mode=0o700)
                gone |= self._make(found, place / name)
            else:
                _put(place / name, self._content(found))
        return gone

    def _flushed(self, target: int | str) -> tuple[list[Event], list[Event]]:
        """The operations that last for sure, and those of which nobody knows."""
        reached = self._reached[target]
        sure = [event for index, event in self._operations[target] if index < reached]
        return sure, [event for _, event in self._operations[target][len(sure) :]]

    def _changes(self, directory: str) -> list[Event]:
        """The names' changes that are found: a file system keeps their order, but may be behind."""
        sure, unsure = self._flushed(directory)
        if self._chance is None:
            return sure + unsure
        counts = [0, len(unsure), self._chance.randint(0, len(unsure))]
        return sure + unsure[: self._chance.choice(counts)]

    def _content(self, file: int) -> bytes:
        sure, unsure = self._flushed(file)
        content = bytearray()
        chance = self._chance
        for event in sure if chance is not None else sure + unsure:
            _apply(content, event)
        if chance is None or not unsure:
            return bytes(content)
        match chance.choice(["none", "all", "prefix", "subset", "torn", "zeros"]):
            case "none":
                kept = []
            case "all":
                kept = unsure
            case "prefix" | "torn" as how:
                kept = unsure[: chance.randint(0, len(unsure))]
                if how == "torn" and kept and kept[-1].what == "write":
                    kept = [*kept[:-1], _torn(kept[-1], chance)]
            case "subset":
                kept = [event for event in unsure if chance.random() < 0.5]
            case _:
                whole = bytearray(content)
                for event in unsure:
                    _apply(whole, event)
                return bytes(content) + bytes(max(0, len(whole) - len(content)))
        for event in kept:
            _apply(content, event)
        return bytes(content)


def _apply(content: bytearray, event: Event) -> None:
    if event.what == "truncate":
        size = event.data[0]
        content.extend(bytes(max(0, size - len(content))))
        del content[size:]
        return
    offset, data = event.data
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _torn(event: Event, chance: random.Random) -> Event:
    """A write of which only the first sectors arrived."""
    offset, data = event.data
    sectors = chance.randint(0, len(data) // _SECTOR)
    end = max(0, sectors * _SECTOR - offset % _SECTOR)
    return Event("write", event.target, (offset, data[:end]))


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def load(path: Path) -> Recording:
    """Read a recording."""
    recording = pickle.loads(path.read_bytes())
    assert isinstance(recording, Recording)
    return recording
