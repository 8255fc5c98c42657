"""Hostile and mistaken surroundings: what is not ours is neither read, written, followed nor waited for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.support.frames import OPEN, encode_frame, encode_step, new_id, thought
from tests.support.rounds import Office, Pen, Place, Shelf, settings

from stepstream.errors import NotADatabase, StoreError, UnsafeLocation
from stepstream.spool.directory import SpoolDirectory
from stepstream.spool.location import check_location
from stepstream.store.hosting import database_identity
from stepstream.store.sqlite.connection import open_writer
from stepstream.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.fault

SOMEBODY_ELSE = 54_321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# ------------------------------------------------------------------------------------------ the directory


def test_a_spool_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """A spool directory that is a symbolic link is not followed, for recording and committing alike."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "history.db-spool").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnsafeLocation, match="not a directory of its own"):
        SpoolDirectory(tmp_path / "history.db")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_spool_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A file in the spool's place is left alone and named."""
    (tmp_path / "history.db-spool").write_text("mine")

    with pytest.raises(UnsafeLocation, match=r"history\.db-spool"):
        SpoolDirectory(tmp_path / "history.db")
    assert (tmp_path / "history.db-spool").read_text() == "mine"


@pytest.mark.parametrize("mode", [0o777, 0o702, 0o720, 0o1777])
def test_a_spool_that_others_may_write_is_refused(place: Place, mode: int) -> None:
    """A spool into which group or others may write is refused with the command that helps."""
    place.spool.chmod(mode)

    with pytest.raises(UnsafeLocation, match="chmod 700"):
        SpoolDirectory(place.database)


@needs_root
def test_a_spool_of_somebody_else_is_refused(place: Place) -> None:
    """A spool that belongs to another user is refused by name of that user."""
    os.chown(place.spool, SOMEBODY_ELSE, SOMEBODY_ELSE)

    with pytest.raises(UnsafeLocation, match=f"belongs to user {SOMEBODY_ELSE}"):
        SpoolDirectory(place.database)


def test_what_is_recorded_is_for_nobody_else(place: Place) -> None:
    """The spool, its files and the database are readable by their owner alone, whatever the umask is."""
    shutil.rmtree(place.spool)
    before = os.umask(0)
    try:
        pen = Pen(place)
        pen.write("0")
        with Office(place) as office:
            office.drain()
            modes = {path: path.stat().st_mode & 0o777 for path in place.directory.rglob("*")}
        pen.close()
    finally:
        os.umask(before)

    assert {path.name: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


# -------------------------------------------------------------------------------------------- its segments


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def directory(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.touch(0o600)


def socket_file(path: Path) -> None:
    import socket

    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("make", [fifo, link, directory, empty, socket_file])
def test_what_is_no_segment_disturbs_nobody(place: Place, make: Callable[[Path], None]) -> None:
    """A pipe, link, directory or socket named like a segment is left alone, and the others are stored."""
    make(place.spool / "0000.segment")
    make(place.spool / "ffff.segment")
    segment = place.segment().steps(3)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    assert shelf.texts() == ["0", "1", "2"]
    assert place.segments() == ["0000.segment", "ffff.segment"]


def test_a_segment_with_a_second_name_is_left_alone(place: Place) -> None:
    """A segment that can be reached by a hard link from elsewhere is not trusted, and not deleted."""
    path = place.segment().steps(3).write(place.spool)
    os.link(path, place.directory / "second name")
    other = place.segment().steps(1)
    other.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    assert shelf.texts() == ["0"]
    assert place.segments() == [path.name]


@needs_root
def test_a_segment_of_another_user_is_never_drained(place: Place) -> None:
    """A segment that another user forged is not stored, and not deleted."""
    path = place.segment().steps(3).write(place.spool)
    os.chown(path, SOMEBODY_ELSE, SOMEBODY_ELSE)
    with Office(place) as office:
        office.until(lambda: office.committer.elected)
        for _ in range(300):
            office.committer.work()
        shelf = Shelf(place.database)

    assert shelf.steps == []
    assert path.exists()


def test_a_segment_of_another_database_is_never_drained(place: Place) -> None:
    """Steps that belong to another database are left in place for whoever adopts them."""
    foreign = place.segment(database_id="0190b6f2-7c1a-7f3e-8d52-3a0f6f6f2b11").steps(3)
    path = foreign.write(place.spool)
    with Office(place) as office:
        office.until(lambda: office.committer.elected)
        for _ in range(300):
            office.committer.work()
        shelf = Shelf(place.database)

    assert shelf.steps == []
    assert path.read_bytes() == foreign.encoded()


LEFT_ALONE: dict[str, Callable[[Place], object]] = {
    "foreign": lambda place: (
        place.segment(database_id="0190b6f2-7c1a-7f3e-8d52-3a0f6f6f2b11").steps(3).write(place.spool)
    ),
    "pipe": lambda place: fifo(place.spool / "0000.segment"),
    "directory": lambda place: directory(place.spool / "0000.segment"),
    "zeros": lambda place: place.segment().write(place.spool, bytes(5000)),
    "newer": lambda place: place.segment().body(b"x", version=9).write(place.spool),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_is_left_alone_keeps_no_committer_alive(place: Place, name: str) -> None:
    """A committer process ends when all that is left in the spool is what it must not touch."""
    LEFT_ALONE[name](place)
    options = settings(linger_s=0.2)
    command = [sys.executable, "-m", "stepstream.store.committer_process"]
    process = subprocess.Popen([*command, os.fspath(place.database), options.model_dump_json()])
    try:
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
    assert len(place.segments()) == 1


FORGED: dict[str, dict[str, str | int | bool]] = {
    "recorder id": {"recorder_id": "me"},
    "database id": {"database_id": "yours"},
    "recorder id in capitals": {"recorder_id": "0190B6F2-7C1A-7F3E-8D52-3A0F6F6F2B11"},
    "pid beyond SQLite": {"pid": 2**70},
    "negative pid": {"pid": -1},
    "start beyond SQLite": {"created_at": 2**64},
    "number beyond SQLite": {"first_number": 2**63},
    "pid of text": {"pid": "1"},
    "a host too long for the block": {"host": "h" * 1000},
    "a boot of nothing": {"boot_id": ""},
    "a format of nothing": {"format": 0},
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_header_stops_nobody(place: Place, name: str) -> None:
    """A first block that is sound but senseless is left alone or read, and everybody else is stored."""
    place.segment(**FORGED[name]).steps(2).write(place.spool, name="0000.segment")
    segment = place.segment().steps(3)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.texts(segment.recorder) == ["0", "1", "2"]


def test_an_unknown_state_in_the_tally_is_no_accident(place: Place) -> None:
    """A tally whose state only a later release knows is read for its numbers."""
    segment = place.segment().steps(3)
    segment.state = 200
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()

    assert Shelf(place.database).texts() == ["0", "1", "2"]


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1])
def test_a_number_beyond_all_sense_stops_nobody(place: Place, number: int) -> None:
    """A forged frame whose number no integer of SQLite holds costs at most its own segment."""
    forged = place.segment()
    body = encode_step(thought("forged"), episode=forged.episode)
    forged.step().add(encode_frame(forged.recorder, number, body, stamp=1_001)).write(place.spool)
    segment = place.segment().steps(3)
    segment.write(place.spool)
    with Office(place) as office:
        office.until(lambda: place.database.exists() and office.committer.elected)
        office.until(lambda: len(Shelf(place.database).texts(segment.recorder)) == 3)


def test_a_format_of_a_later_release_is_left_in_place(place: Place) -> None:
    """A segment laid out by a later release is neither taken for damage nor deleted."""
    segment = place.segment(format=2).add(b"laid out otherwise")
    segment.state = OPEN
    path = segment.write(place.spool)
    with Office(place) as office:
        office.until(lambda: "newer" in office.committer.state)

    assert path.read_bytes() == segment.encoded()
    assert place.damaged() == []


# ---------------------------------------------------------------------------------------- its other files


def test_what_is_set_aside_does_not_leave_the_spool(place: Place) -> None:
    """Damaged bytes are not written through a link that stands in the place of their directory."""
    elsewhere = place.directory / "elsewhere"
    elsewhere.mkdir()
    (place.spool / "damaged").symlink_to(elsewhere)
    segment = place.segment().steps(1).add(b"garbage with a secret").steps(1)
    path = segment.write(place.spool)
    with Office(place) as office:
        office.until(lambda: office.committer.state not in {"standing for election", "opening", "committing"})
        assert list(elsewhere.iterdir()) == []
        (place.spool / "damaged").unlink()
        office.until(lambda: not path.exists())
        shelf = Shelf(place.database)

    assert shelf.texts() == ["0", "1"]
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("make", [fifo, link, directory])
@pytest.mark.parametrize("name", ["committer.lock", "bell", "committer.json", "server.lock"])
def test_a_hindered_office_is_a_state_and_not_a_crash(
    place: Place, name: str, make: Callable[[Path], None]
) -> None:
    """A file of the office that is something else holds the committer up visibly, until it is removed."""
    make(place.spool / name)
    segment = place.segment().steps(3)
    segment.write(place.spool)
    with Office(place) as office:
        for _ in range(50):
            office.committer.work()
        path = place.spool / name
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
        office.settle()

    assert Shelf(place.database).texts() == ["0", "1", "2"]


GARBAGE = [b"", b"\xff\xfe\x00", b"one two three", b"0190b6f2-7c1a-7f3e-8d52-3a0f6f6f2b11", b"x" * 100_000]


@pytest.mark.parametrize("text", GARBAGE, ids=["empty", "bytes", "words", "id alone", "long"])
def test_a_garbled_identity_is_found_again_in_the_database(place: Place, text: bytes) -> None:
    """An identity file that cannot be read is written anew from the database, which knows best."""
    segment = place.segment().steps(1)
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
    (place.spool / "database").write_bytes(text)

    spool = SpoolDirectory(place.database)
    try:
        assert database_identity(place.database, spool) == place.database_id
        identity = spool.identity()
        assert identity is not None
        assert identity.database_id == place.database_id
    finally:
        spool.close()


@pytest.mark.parametrize("make", [fifo, link, directory])
def test_an_identity_that_is_no_file_is_not_waited_for(place: Place, make: Callable[[Path], None]) -> None:
    """An identity that is a pipe, a link or a directory is replaced or refused at once."""
    (place.spool / "database").unlink()
    make(place.spool / "database")
    spool = SpoolDirectory(place.database)
    try:
        found = database_identity(place.database, spool)
    except (OSError, UnsafeLocation):
        assert not (place.spool / "database").is_file() or (place.spool / "database").is_symlink()
    else:
        identity = spool.identity()
        assert identity is not None
        assert identity.database_id == found
    finally:
        spool.close()


# --------------------------------------------------------------------------------------------- the database


def foreign_database(
    path: Path, *, user_version: int = 0, application_id: int = 0, wal: bool = False
) -> bytes:
    """A database of another program; returns its bytes."""
    connection = apsw.Connection(os.fspath(path))
    if wal:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "CREATE TABLE bookmark (url TEXT); INSERT INTO bookmark VALUES ('https://example.org')"
    )
    connection.execute(f"PRAGMA user_version = {user_version}")
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize("wal", [False, True], ids=["rollback", "wal"])
@pytest.mark.parametrize("application_id", [0, 0x0F055112])
@pytest.mark.parametrize("user_version", [0, 1, 77])
def test_a_database_of_another_program_is_left_as_it_is(
    tmp_path: Path, user_version: int, application_id: int, wal: bool
) -> None:
    """An SQLite file of another program is refused, and not one byte of it is changed."""
    path = tmp_path / "history.db"
    before = foreign_database(path, user_version=user_version, application_id=application_id, wal=wal)
    mode = path.stat().st_mode

    with pytest.raises(NotADatabase, match=r"another program|another path"):
        SqliteStore(path)

    assert path.read_bytes() == before
    assert path.stat().st_mode == mode


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    """A text file at the path is refused and not changed."""
    path = tmp_path / "history.db"
    path.write_text("a diary " * 1000)

    with pytest.raises(NotADatabase):
        SqliteStore(path)
    assert path.read_text() == "a diary " * 1000


def test_a_directory_at_the_path_is_refused(tmp_path: Path) -> None:
    """A directory in the database's place is an error that names it."""
    (tmp_path / "history.db").mkdir()

    with pytest.raises(StoreError, match=r"history\.db"):
        SqliteStore(tmp_path / "history.db")


def test_a_committer_at_a_foreign_file_keeps_every_segment(place: Place) -> None:
    """While another program's file is at the path nothing is deleted; once it is gone all is stored."""
    before = foreign_database(place.database)
    segment = place.segment().steps(3)
    path = segment.write(place.spool)
    with Office(place) as office:
        office.until(lambda: "NotADatabase" in office.committer.state)
        assert path.read_bytes() == segment.encoded()
        assert place.database.read_bytes() == before
        place.database.unlink()
        office.settle()

    assert Shelf(place.database).texts() == ["0", "1", "2"]


def test_an_empty_file_becomes_the_history(place: Place) -> None:
    """An empty file at the path is taken, as ``mktemp`` and volume mounts make them."""
    place.database.touch()
    place.segment().steps(3).write(place.spool)
    with Office(place) as office:
        office.settle()

    assert Shelf(place.database).texts() == ["0", "1", "2"]
    assert place.database.stat().st_mode & 0o777 == 0o600


def test_a_history_that_is_being_created_is_no_stranger(place: Place) -> None:
    """Between the first page of a new file and its tables, other processes go by the spool's identity."""
    open_writer(place.database).close()
    spool = SpoolDirectory(place.database)
    try:
        assert database_identity(place.database, spool) == place.database_id
    finally:
        spool.close()


def test_a_database_with_two_names_is_refused(tmp_path: Path) -> None:
    """A hard-linked database is refused, for its users would not see each other's log."""
    path = tmp_path / "history.db"
    path.touch()
    os.link(path, tmp_path / "alias.db")

    with pytest.raises(UnsafeLocation, match="second name"):
        check_location(path)
    with pytest.raises(UnsafeLocation, match="second name"):
        check_location(path, allow_unsafe=True)


# -------------------------------------------------------------------------------------------- file systems


@pytest.mark.parametrize("kind", ["nfs4", "9p", "fuse.sshfs", "virtiofs"])
def test_a_file_system_that_loses_locks_is_refused(tmp_path: Path, kind: str) -> None:
    """A history on a network or pass-through mount is refused, but where it was allowed on purpose."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/vda rw\n2 1 0:2 / /data rw - {kind} server:/export rw\n")

    with pytest.raises(UnsafeLocation, match="lose locks"):
        check_location(Path("/data/history.db"), mounts=mounts)
    check_location(Path("/data/history.db"), allow_unsafe=True, mounts=mounts)
    check_location(Path("/home/history.db"), mounts=mounts)


@needs_root
def test_the_group_of_a_shared_spool_can_record(place: Place) -> None:
    """With spool_shared_group a member of the group records into the owner's spool, whatever its umask."""
    place.directory.chmod(0o755)
    for parent in place.directory.parents:
        if parent.stat().st_uid == 0 and parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    os.chown(place.spool, 0, SOMEBODY_ELSE)
    place.spool.chmod(0o2770)
    (place.spool / "database").chmod(0o660)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.umask(0o077)
            os.setgroups([])
            os.setgid(SOMEBODY_ELSE)
            os.setuid(SOMEBODY_ELSE)
            pen = Pen(place, settings(spool_shared_group=True))
            status = 0 if pen.write("from the group") else 2
            pen.close()
        except Exception:  # noqa: BLE001 - the parent reads the status
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    options = settings(spool_shared_group=True)
    spool = SpoolDirectory(place.database, shared_group=True)
    spool.close()
    with Office(place, options) as office:
        office.settle()

    assert Shelf(place.database).texts() == ["from the group"]


def test_an_old_hidden_directory_disturbs_nobody(place: Place) -> None:
    """A hidden directory that somebody left in the spool does not keep the committer from its office."""
    hidden = place.spool / ".trash"
    hidden.mkdir()
    long_ago = time.time() - 7200
    os.utime(hidden, (long_ago, long_ago))
    place.segment().steps(1).write(place.spool)
    with Office(place) as office:
        office.settle()

    assert Shelf(place.database).texts() == ["0"]


def test_a_step_of_a_forged_episode_gets_an_episode_of_its_own(place: Place) -> None:
    """A step that names an episode nobody knows is stored in one that says that its beginning is missing."""
    segment = place.segment()
    segment.body(encode_step(thought("0"), episode=new_id())).body(
        encode_step(thought("1"), episode=bytes(16))
    )
    segment.write(place.spool)
    with Office(place) as office:
        office.settle()
        shelf = Shelf(place.database)

    shelf.audit()
    assert shelf.texts() == ["0", "1"]
    starts = [step.payload["start"] for step in shelf.steps if step.payload.get("status") == "running"]
    assert [start["implied"] for start in starts] == [True, True]
