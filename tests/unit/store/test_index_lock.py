"""The lock on the log's index: held while a connection is open, and a descriptor no longer than that."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from struct import Struct

import pytest
from tests.support.rounds import descriptors

from stepstream.errors import NotADatabase
from stepstream.store.sqlite.connection import is_unborn, open_reader, open_writer
from stepstream.store.sqlite.index_lock import IndexLock
from stepstream.store.sqlite.migration import migrate


def is_held(database: Path) -> bool:
    """Whether an open file description has the byte locked, as the kernel's list says."""
    info = database.with_name("history.db-shm").stat()
    name = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
    return any("OFDLCK" in lock and name in lock for lock in Path("/proc/locks").read_text().splitlines())


def index_descriptors(database: Path) -> int:
    """How many descriptors of the index this process has, SQLite's own among them."""
    index = database.with_name("history.db-shm")
    return sum(path.exists() and path.samefile(index) for path in Path("/proc/self/fd").iterdir())


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A history without steps."""
    path = tmp_path / "history.db"
    connection = open_writer(path)
    migrate(connection, path)
    connection.close()
    return path


def test_the_lock_is_held_while_anybody_is_connected(database: Path) -> None:
    """It is held from the first connection to the last, and no longer."""
    first = open_reader(database)
    second = open_reader(database)
    first.close()
    assert is_held(database)
    second.close()
    assert not is_held(database)
    with open_reader(database):
        pass


def test_a_database_that_was_closed_keeps_no_descriptor(tmp_path: Path, database: Path) -> None:
    """A process that opens many databases, whole, empty or foreign, one after the other, needs few descriptors."""
    (tmp_path / "foreign").write_text("dear diary, " * 1000)
    (tmp_path / "empty").touch()
    before = descriptors()
    for number in range(5):
        path = tmp_path / str(number)
        writer = open_writer(path)
        migrate(writer, path)
        reader = open_reader(path)
        writer.close()
        reader.close()
        with pytest.raises(NotADatabase):
            open_reader(tmp_path / "foreign")
        with pytest.raises(NotADatabase):
            open_reader(tmp_path / "empty")
        assert not is_unborn(tmp_path / "foreign")
        assert is_unborn(tmp_path / "empty")
    assert descriptors() == before


def test_a_lock_that_was_not_to_be_had_is_taken_later(database: Path) -> None:
    """While somebody clears the index it cannot be locked; the next connection tries again."""
    connection = open_reader(database)
    connection.close()
    lock = IndexLock.join(database)
    assert lock is not None
    index = os.open(f"{database}-shm", os.O_RDWR)
    try:
        exclusive = Struct("hhqqi4x").pack(fcntl.F_WRLCK, os.SEEK_SET, 128, 1, 0)
        fcntl.fcntl(index, fcntl.F_OFD_SETLK, exclusive)
        lock.hold(database)
    finally:
        os.close(index)
    assert not is_held(database)
    lock.hold(database)
    assert is_held(database)
    lock.leave()


def test_a_forked_child_holds_nothing(database: Path) -> None:
    """A child that lives on does not keep the lock of its parent, nor a descriptor."""
    connection = open_reader(database)
    ours, the_childs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        the_childs.send(str(index_descriptors(database)).encode())
        the_childs.recv(1)
        os._exit(0)
    the_childs.close()
    before = index_descriptors(database)
    in_child = int(ours.recv(10))
    connection.close()
    try:
        assert not is_held(database)
        assert in_child == before - 1
    finally:
        ours.close()
        the_childs.close()
        os.waitpid(child, 0)
