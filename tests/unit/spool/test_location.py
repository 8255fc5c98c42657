"""Locations: file systems that lose locks are told by the kernel's own list of mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stepstream.errors import UnsafeLocation
from stepstream.spool.location import check_location, file_system

MOUNTS = """\
22 27 0:21 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:22 / /data rw,relatime - {kind} server:/export rw
24 22 0:23 / /data/local rw - ext4 /dev/vdb rw
25 22 0:24 / /with\\040space rw - {kind} server:/export rw
26 22 0:25 / /with\\134back\\011slash rw - {kind} server:/export rw
27 22 0:26 / /dat rw master:1 propagate_from:2 - tmpfs tmpfs rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    return tmp_path / "mountinfo"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse.sshfs", "ceph"])
def test_a_file_system_that_loses_locks_is_refused(mounts: Path, kind: str) -> None:
    """A history below a network or pass-through mount is refused, but where it was allowed on purpose."""
    mounts.write_text(MOUNTS.format(kind=kind))
    place = Path("/data/project/history.db")

    with pytest.raises(UnsafeLocation, match="lose locks"):
        check_location(place, mounts=mounts)
    check_location(place, allow_unsafe=True, mounts=mounts)
    check_location(Path("/data/local/history.db"), mounts=mounts)
    check_location(Path("/dat/history.db"), mounts=mounts)
    check_location(Path("/home/history.db"), mounts=mounts)


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("/", "ext4"),
        ("/data", "nfs"),
        ("/data/deep/er", "nfs"),
        ("/database", "ext4"),
        ("/data/local", "ext4"),
        ("/with space/x", "nfs"),
        ("/with\\back\tslash", "nfs"),
        ("/dat", "tmpfs"),
    ],
)
def test_the_longest_mount_point_counts(mounts: Path, directory: str, expected: str) -> None:
    """A directory is on the file system of the deepest mount point above it, however that is spelt."""
    mounts.write_text(MOUNTS.format(kind="nfs"))

    assert file_system(Path(directory), mounts) == expected


def test_where_the_kernel_does_not_tell_nothing_is_refused(mounts: Path) -> None:
    """Without a list of mounts a location is taken for safe."""
    check_location(Path("/data/history.db"), mounts=mounts)
    mounts.write_text("garbage\n\n1 2 3\n")
    check_location(Path("/data/history.db"), mounts=mounts)


def test_a_database_with_a_second_name_is_refused(tmp_path: Path) -> None:
    """A hard link to the database is refused, and so is its other name."""
    (tmp_path / "a.db").touch()
    check_location(tmp_path / "a.db")
    os.link(tmp_path / "a.db", tmp_path / "b.db")
    for name in ("a.db", "b.db"):
        with pytest.raises(UnsafeLocation, match="copy it instead"):
            check_location(tmp_path / name)


def test_this_machine_says_what_it_is_on() -> None:
    """The real list of mounts can be read."""
    assert file_system(Path("/proc")) == "proc"
