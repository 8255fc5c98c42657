"""The spool directory: one identity, small files put in place whole, and nothing reached by another name."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.rounds import open_files

from stepstream.errors import UnsafeLocation
from stepstream.schemas.identity import new_id
from stepstream.spool.directory import Identity, SpoolDirectory, artifacts_path, spool_path

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.rounds import Place


def test_it_lies_beside_the_database(tmp_path: Path) -> None:
    """Spool and artifacts carry the database's name, so that two databases share a directory."""
    assert spool_path(tmp_path / "a.db") == tmp_path / "a.db-spool"
    assert artifacts_path(tmp_path / "a.db") == tmp_path / "a.db-artifacts"


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """A new spool has mode 0700, and asking not to create it leaves the disk alone."""
    with pytest.raises(FileNotFoundError):
        SpoolDirectory(tmp_path / "history.db", create=False)
    assert list(tmp_path.iterdir()) == []
    SpoolDirectory(tmp_path / "history.db").close()
    assert (tmp_path / "history.db-spool").stat().st_mode & 0o7777 == 0o700


def test_a_missing_parent_is_an_error(tmp_path: Path) -> None:
    """A directory that is not there is not made behind the caller's back."""
    with pytest.raises(FileNotFoundError):
        SpoolDirectory(tmp_path / "nowhere" / "history.db")


def test_opening_does_not_leak(tmp_path: Path) -> None:
    """A refused directory leaves no descriptor open."""
    (tmp_path / "history.db-spool").mkdir(mode=0o777)
    (tmp_path / "history.db-spool").chmod(0o777)
    before = open_files()
    for _ in range(3):
        with pytest.raises(UnsafeLocation):
            SpoolDirectory(tmp_path / "history.db")
    assert open_files() == before


def test_files_are_opened_without_following_or_waiting(place: Place, spool: SpoolDirectory) -> None:
    """A link is refused, a pipe does not hang us, and no child inherits the descriptor."""
    (place.spool / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        spool.open("link", os.O_RDONLY)
    os.mkfifo(place.spool / "pipe")
    os.close(spool.open("pipe", os.O_RDONLY))
    descriptor = spool.open("file", os.O_RDWR | os.O_CREAT)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    assert (place.spool / "file").stat().st_mode & 0o777 == 0o600


def test_small_files_are_put_in_place_whole(place: Place, spool: SpoolDirectory) -> None:
    """A reader sees the old content or the new one, never a part, while writers replace it."""
    contents = {bytes([letter]) * 5_000 for letter in b"abcdef"}
    spool.write("note", b"a" * 5_000)
    stopping = threading.Event()

    def rewrite() -> None:
        while not stopping.is_set():
            for content in contents:
                spool.write("note", content)

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        seen = {spool.read("note") for _ in range(300)}
    finally:
        stopping.set()
        thread.join()
    assert seen <= contents
    assert [path.name for path in place.spool.iterdir() if path.name.startswith(".")] == []


def test_what_is_not_there_reads_as_none(spool: SpoolDirectory, place: Place) -> None:
    """A missing file, and one that somebody else can reach by another name, read as None."""
    assert spool.read("nothing") is None
    for name in ("a", "b", "c"):
        os.link(place.spool / "database", place.spool / name)
    assert spool.read("database") is None


def test_an_identity_is_claimed_once(place: Place, spool: SpoolDirectory) -> None:
    """Of many that claim an identity at once all get the first one's."""
    (place.spool / "database").unlink()
    found: list[bytes] = []
    barrier = threading.Barrier(12)

    def claim() -> None:
        barrier.wait()
        found.append(spool.claim_identity(new_id()).database_id)

    threads = [threading.Thread(target=claim) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 12
    assert len(set(found)) == 1
    assert [path.name for path in place.spool.iterdir()] == ["database"]


def test_an_identity_reads_back(spool: SpoolDirectory) -> None:
    """What was noted of the database reads back: its id and the file it was last seen as."""
    identity = Identity(new_id(), 2**40, 2**50)
    spool.set_identity(identity)
    assert spool.identity() == identity


def test_segments_are_listed_oldest_first(place: Place, spool: SpoolDirectory) -> None:
    """Segments are what ends in .segment and is not hidden, in the order of their names."""
    for name in ("b.segment", "a.segment", "segment", "bell"):
        (place.spool / name).write_bytes(b"12345")
    assert [name for name in spool.segment_names() if not name.startswith(".")] == ["a.segment", "b.segment"]
    assert spool.bytes_held() == 10


def test_a_segment_that_is_being_created_is_not_listed(place: Place, spool: SpoolDirectory) -> None:
    """The hidden name of a segment in the making does not count."""
    (place.spool / ".a.segment.new").write_bytes(b"12345")
    assert spool.segment_names() == []


def test_what_was_left_behind_is_swept_after_an_hour(place: Place, spool: SpoolDirectory) -> None:
    """Hidden files of processes that died are removed when they are old, and nothing else is."""
    long_ago = time.time() - 7_200
    for name in (".old.new", "old.segment"):
        (place.spool / name).touch()
        os.utime(place.spool / name, (long_ago, long_ago))
    (place.spool / ".fresh.new").touch()
    (place.spool / ".folder").mkdir()
    os.utime(place.spool / ".folder", (long_ago, long_ago))
    spool.sweep()

    assert sorted(path.name for path in place.spool.iterdir()) == [
        ".folder",
        ".fresh.new",
        "database",
        "old.segment",
    ]


def test_a_replaced_directory_is_noticed_and_opened_anew(place: Place, spool: SpoolDirectory) -> None:
    """After somebody removed the directory it is made again, and its identity goes with it."""
    identity = spool.identity()
    assert spool.is_current()
    (place.spool / "database").unlink()
    place.spool.rmdir()
    assert not spool.is_current()
    spool.reopen()
    assert spool.is_current()
    assert place.spool.stat().st_mode & 0o777 == 0o700
    assert spool.identity() in {identity, None}


def test_the_disk_is_asked_about_itself(spool: SpoolDirectory) -> None:
    """Free space is told in bytes and in percent."""
    free_bytes, free_percent = spool.disk_free()
    assert free_bytes > 0
    assert 0 < free_percent <= 100


def test_closing_twice_closes_once(place: Place) -> None:
    """A second close is no error and closes nobody else's descriptor."""
    spool = SpoolDirectory(place.database)
    spool.close()
    spool.close()
