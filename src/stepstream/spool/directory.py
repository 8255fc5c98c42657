"""The spool directory: its names, who may write there, and which database it belongs to.

Knows paths and permissions. Must not know frames. Everything is opened relative to a descriptor of the
directory without following links, so that whoever may write elsewhere cannot lead us astray.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from stepstream.errors import UnsafeLocation
from stepstream.schemas.identity import id_bytes, id_text, new_id

SEGMENT_SUFFIX = ".segment"
DAMAGED = "damaged"
IDENTITY = "database"
COMMITTER_LOCK = "committer.lock"
SERVER_LOCK = "server.lock"
BELL = "bell"
STATUS = "committer.json"

_LEFT_BEHIND_S = 3600
_GROUP_OR_OTHER_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Identity(NamedTuple):
    """Which database the spool feeds: its id, and the file it was last seen as."""

    database_id: bytes
    device: int
    inode: int


def spool_path(database: Path) -> Path:
    """Where the spool of a database lies."""
    return database.with_name(database.name + "-spool")


def artifacts_path(database: Path) -> Path:
    """Where the artifacts of a database lie."""
    return database.with_name(database.name + "-artifacts")


class SpoolDirectory:
    """A descriptor of the spool directory and what is done through it."""

    def __init__(self, database: Path, *, shared_group: bool = False, create: bool = True) -> None:
        """Open the directory beside a database, creating it if it may.

        Raises:
            UnsafeLocation: It is a link, belongs to somebody else or may be written by others.
            FileNotFoundError: It is not there and may not be created.
        """
        self.database = database
        self.path = spool_path(database)
        self.shared_group = shared_group
        self.file_mode = 0o660 if shared_group else 0o600
        if create:
            self._create()
        try:
            self.descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except NotADirectoryError as error:
            raise UnsafeLocation(self.path, "it is not a directory of its own", "remove it") from error
        try:
            self._check_owner()
        except UnsafeLocation:
            os.close(self.descriptor)
            raise

    def _create(self) -> None:
        try:
            os.mkdir(self.path, 0o2770 if self.shared_group else 0o700)
        except FileExistsError:
            return
        if self.shared_group:
            os.chmod(self.path, 0o2770)  # noqa: S103 - the group was asked for

    def _check_owner(self) -> None:
        info = os.fstat(self.descriptor)
        others = stat.S_IWOTH if self.shared_group else _GROUP_OR_OTHER_WRITE
        if info.st_mode & others:
            raise UnsafeLocation(
                self.path,
                "others may write there, and who writes there can forge steps",
                f"run: chmod 700 {self.path}",
            )
        if info.st_uid != os.geteuid() and not self.shared_group:
            raise UnsafeLocation(
                self.path,
                f"it belongs to user {info.st_uid}",
                "record as that user or set spool_shared_group",
            )

    def is_current(self) -> bool:
        """Whether the path still names the directory that is open; somebody may have removed it."""
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        here = os.fstat(self.descriptor)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def reopen(self) -> None:
        """Open the directory anew, creating it if need be; its identity goes with it.

        Raises:
            OSError: It cannot be created.
            UnsafeLocation: What is there now is not safe.
        """
        known = self.identity()
        fresh = SpoolDirectory(self.database, shared_group=self.shared_group)
        old, self.descriptor = self.descriptor, fresh.descriptor
        os.close(old)
        if known is not None and self.identity() is None:
            self.set_identity(known)

    def close(self) -> None:
        """Close the descriptor."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def open(self, name: str, flags: int) -> int:
        """Open a file of the directory; links are refused and a pipe cannot hang us.

        Raises:
            OSError: As ``os.open``.
        """
        safe = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, safe, self.file_mode, dir_fd=self.descriptor)
        if self.shared_group and flags & os.O_CREAT:
            # The umask keeps the group out; only a file's owner may let it in.
            with suppress(PermissionError):
                os.fchmod(descriptor, self.file_mode)
        return descriptor

    def trusts(self, info: os.stat_result, names_max: int = 1) -> bool:
        """Whether a file is a plain one of ours that nobody else can also reach by another name."""
        ours = info.st_uid == os.geteuid() or (
            self.shared_group and info.st_gid == os.fstat(self.descriptor).st_gid
        )
        return stat.S_ISREG(info.st_mode) and ours and info.st_nlink <= names_max

    def _names(self) -> list[str]:
        """Every name there is; by a new descriptor, as threads that share one share their place in it."""
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.descriptor)
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)

    def segment_names(self) -> list[str]:
        """The segments there are, oldest name first."""
        return sorted(name for name in self._names() if name.endswith(SEGMENT_SUFFIX))

    def sweep(self) -> None:
        """Remove what processes left behind that died while creating a file; nothing was recorded there."""
        long_ago = time.time() - _LEFT_BEHIND_S
        for name in self._names():
            if not name.startswith("."):
                continue
            with suppress(FileNotFoundError):
                info = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
                if stat.S_ISREG(info.st_mode) and info.st_mtime < long_ago:
                    os.unlink(name, dir_fd=self.descriptor)

    def bytes_held(self) -> int:
        """How much undeleted segments hold."""
        total = 0
        for name in self.segment_names():
            try:
                total += os.stat(name, dir_fd=self.descriptor, follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
        return total

    def disk_free(self) -> tuple[int, float]:
        """Bytes free to us on the disk, and the same in percent of the disk."""
        info = os.statvfs(self.descriptor)
        return info.f_bavail * info.f_frsize, 100.0 * info.f_bavail / max(1, info.f_blocks)

    def sync(self) -> None:
        """Make creations and deletions of files outlast a power cut."""
        os.fsync(self.descriptor)

    def settle(self) -> None:
        """Make the directory, its files' names and its identity outlast a power cut.

        Segments of another identity are left alone, so that they last no longer than it does.
        """
        with suppress(FileNotFoundError):
            _flush(self.open(IDENTITY, os.O_RDONLY))
        self.sync()
        _flush(os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def read(self, name: str, bytes_max: int = 1 << 20) -> bytes | None:
        """A small file of the directory, or None when there is none."""
        try:
            descriptor = self.open(name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            # Whoever put it in place may not yet have removed its hidden name, or have died before.
            if not self.trusts(os.fstat(descriptor), names_max=2):
                return None
            return os.read(descriptor, bytes_max)
        finally:
            os.close(descriptor)

    def set_aside(self, name: str, data: bytes) -> str:
        """Keep bytes where a person can look at them; returns their path below the spool."""
        with suppress(FileExistsError):
            os.mkdir(DAMAGED, 0o700, dir_fd=self.descriptor)
        flags = os.O_NOFOLLOW | os.O_CLOEXEC
        folder = os.open(DAMAGED, os.O_RDONLY | os.O_DIRECTORY | flags, dir_fd=self.descriptor)
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | flags, 0o600, dir_fd=folder)
        finally:
            os.close(folder)
        with open(descriptor, "wb") as file:
            file.write(data)
        return f"{DAMAGED}/{name}"

    def write(self, name: str, data: bytes, *, lasting: bool = False) -> None:
        """Put a small file in place whole: a reader sees the old one or the new one.

        Args:
            name: The file's name.
            data: What it holds.
            lasting: Whether that shall be so after a power cut too, which takes as long as the disk does.
        """
        hidden = f".{name}.{new_id().hex()}"
        descriptor = self.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(descriptor, data)
            if lasting:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(hidden, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def identity(self) -> Identity | None:
        """Which database the spool was last known to feed."""
        text = self.read(IDENTITY)
        if text is None:
            return None
        try:
            name, device, inode = text.decode("ascii").split()
            return Identity(id_bytes(name), int(device), int(inode))
        except ValueError:
            return None

    def set_identity(self, identity: Identity, *, lasting: bool = False) -> None:
        """Note which database the spool feeds; see ``write``."""
        text = f"{id_text(identity.database_id)} {identity.device} {identity.inode}\n"
        self.write(IDENTITY, text.encode("ascii"), lasting=lasting)

    def claim_identity(self, database_id: bytes) -> Identity:
        """Give the spool an identity unless somebody was faster; whoever was first wins."""
        hidden = f".{IDENTITY}.{new_id().hex()}"
        descriptor = self.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(descriptor, f"{id_text(database_id)} 0 0\n".encode("ascii"))
        finally:
            os.close(descriptor)
        try:
            os.link(hidden, IDENTITY, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        except FileExistsError:
            pass
        finally:
            os.unlink(hidden, dir_fd=self.descriptor)
        identity = self.identity()
        if identity is None:
            # A power cut left it empty, before anything that lasts was recorded under it.
            self.set_identity(Identity(database_id, 0, 0))
            identity = self.identity()
        if identity is None:
            raise UnsafeLocation(self.path, f"its file {IDENTITY!r} is unreadable", f"move {self.path} away")
        return identity


def _flush(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
