"""Where steps for servers wait: a directory of the user's own that keeps locks, and that nobody else can write."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from stepstream.errors import UnsafeLocation
from stepstream.spool.location import make_private, state_directory

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def no_mounts(tmp_path: Path) -> Path:
    """A list of mounts in which every place is on a plain disk."""
    mounts = tmp_path / "mounts"
    mounts.write_text("1 1 8:1 / / rw - ext4 /dev/sda rw\n")
    return mounts


def test_what_was_chosen_is_taken(tmp_path: Path) -> None:
    """A directory that the settings name is taken as it is, whatever it is like."""
    assert state_directory(str(tmp_path / "a" / ".." / "b"), {}) == tmp_path / "b"
    assert state_directory("~/x", {}) == Path("~/x").expanduser()


def test_the_users_state_directory_is_taken(
    tmp_path: Path, no_mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XDG_STATE_HOME beats the home directory; a relative one is ignored; neither has to be there yet."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    stated = {"XDG_STATE_HOME": str(tmp_path / "state")}

    assert state_directory(None, stated, no_mounts) == tmp_path / "state" / "stepstream"
    expected = tmp_path / "home" / ".local" / "state" / "stepstream"
    assert state_directory(None, {"XDG_STATE_HOME": "relative"}, no_mounts) == expected
    assert state_directory(None, {}, no_mounts) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mounts"]


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "9p", "cifs"])
def test_a_home_that_loses_locks_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Where the home directory comes over a network, a directory among the temporary files is taken."""
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"1 1 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:9 / {tmp_path}/home rw - {kind} server:/home rw\n"
    )
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))

    assert state_directory(None, {}, mounts) == tmp_path / "tmp" / f"stepstream-{os.geteuid()}"


def test_a_home_that_cannot_be_is_passed_over(
    tmp_path: Path, no_mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is a file in the place of the home directory, the temporary files are taken."""
    (tmp_path / "home").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    assert state_directory(None, {}, no_mounts).name == f"stepstream-{os.geteuid()}"


def test_a_private_directory_is_made(tmp_path: Path) -> None:
    """The directory, and the one above it, are nobody else's; made twice they are the same."""
    place = tmp_path / "a" / "b" / "c" / "d"
    make_private(place)
    make_private(place)

    for each in (place, place.parent):
        assert stat.S_IMODE(each.stat().st_mode) == 0o700


@pytest.mark.parametrize("level", ["self", "above"])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, level: str) -> None:
    """Whoever may write there can forge steps; that holds for the directory above as well."""
    place = tmp_path / "a" / "b"
    make_private(place)
    (place if level == "self" else place.parent).chmod(0o777)
    with pytest.raises(UnsafeLocation, match="chmod 700"):
        make_private(place)


def test_a_link_is_refused(tmp_path: Path) -> None:
    """A link that somebody put there before us leads wherever he likes."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "a").mkdir(mode=0o700)
    (tmp_path / "a" / "b").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeLocation, match="not a directory of its own"):
        make_private(tmp_path / "a" / "b")


@needs_root
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Who was there first with our name is told from us."""
    (tmp_path / "a").mkdir(mode=0o700)
    os.chown(tmp_path / "a", 4711, 4711)
    with pytest.raises(UnsafeLocation, match="it belongs to user 4711"):
        make_private(tmp_path / "a" / "b")
