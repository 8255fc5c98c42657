"""Damage on the target is found before anything is restored."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.support.backups import FILES, Rig

from stepstream.backup.catalogue import Moment
from stepstream.backup.drill import drill
from stepstream.backup.manifest import NotAManifest, decode, encode
from stepstream.errors import BackupDamaged, BackupError


@pytest.fixture
def safe(rig: Rig) -> Path:
    """A directory that holds one backup."""
    rig.take()
    return Path(rig.url.removeprefix("file://"))


def objects(safe: Path, pattern: str) -> list[Path]:
    return sorted(path for path in safe.rglob(pattern) if path.is_file())


def flip(path: Path, chance: random.Random) -> bytes:
    """Turn one bit of a file; returns what it held."""
    before = path.read_bytes()
    after = bytearray(before)
    after[chance.randrange(len(after))] ^= 1 << chance.randrange(8)
    path.write_bytes(after)
    return before


def test_a_flipped_bit_in_the_database_is_found(rig: Rig, safe: Path, tmp_path: Path) -> None:
    """Wherever a bit turns, a restore fails, names the object, and leaves no file."""
    chance = random.Random(11)
    (path,) = objects(safe, "*.db.zst")
    for _ in range(12):
        before = flip(path, chance)
        with pytest.raises(BackupDamaged, match=path.name):
            rig.restore(tmp_path / "back.db")
        path.write_bytes(before)
    assert {path.name for path in tmp_path.iterdir()} == {"work", "safe"}


def test_a_flipped_bit_in_a_file_is_found_or_means_nothing(rig: Rig, safe: Path, tmp_path: Path) -> None:
    """A restore fails and names the object, unless zstd does not look at the bit and the bytes are the same."""
    chance = random.Random(11)
    found = 0
    for number, path in enumerate(objects(safe, "artifacts/*/*.zst") * 8):
        before = flip(path, chance)
        file = tmp_path / f"back-{number}.db"
        try:
            rig.restore(file)
        except BackupDamaged as error:
            named = path.name in str(error)
            assert not list(tmp_path.glob(f"*back-{number}*"))
            found += named
        else:
            held = {data.read_bytes() for data in tmp_path.glob(f"back-{number}.db-artifacts/*/*")}
            assert held == set(FILES)
        path.write_bytes(before)
    assert found >= 12


def test_a_flipped_bit_in_a_manifest_is_found_or_means_nothing(rig: Rig, safe: Path) -> None:
    """A manifest with a turned bit is refused, unless it turned white space into white space."""
    (path,) = objects(safe, "*.json")
    sound = decode(path.read_bytes())
    chance = random.Random(3)
    refused = 0
    for _ in range(400):
        before = flip(path, chance)
        try:
            assert decode(path.read_bytes()) == sound
        except NotAManifest:
            refused += 1
        path.write_bytes(before)
    assert refused > 380


def test_a_manifest_comes_back(rig: Rig, safe: Path) -> None:
    """What is written is read, field by field."""
    manifest = rig.manifest()

    assert decode(encode(manifest)) == manifest


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"checksum": 3}']
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    """Whatever stands in its place."""
    with pytest.raises(NotAManifest):
        decode(data)


def test_a_manifest_of_a_newer_release_says_so(rig: Rig, safe: Path) -> None:
    """It is not called damaged."""
    import json
    from hashlib import sha256

    document = json.loads(encode(rig.manifest()))
    del document["checksum"]
    document["format"] = 2
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    document["checksum"] = sha256(text.encode()).hexdigest()

    with pytest.raises(NotAManifest, match="newer release"):
        decode(json.dumps(document).encode())


@pytest.mark.parametrize("pattern", ["*.db.zst", "artifacts/*/*.zst"])
def test_a_missing_object_is_found(rig: Rig, safe: Path, tmp_path: Path, pattern: str) -> None:
    """A manifest that names what is not there leads to no restore."""
    path = objects(safe, pattern)[0]
    path.unlink()

    with pytest.raises(BackupDamaged, match="is not there"):
        rig.restore(tmp_path / "back.db")


def test_a_truncated_object_is_found(rig: Rig, safe: Path, tmp_path: Path) -> None:
    """Fewer bytes than the manifest says are damage."""
    (path,) = objects(safe, "*.db.zst")
    path.write_bytes(path.read_bytes()[:-10])

    with pytest.raises(BackupDamaged, match="its manifest says"):
        rig.restore(tmp_path / "back.db")


def test_a_bit_that_zstd_ignores_is_found(rig: Rig, safe: Path, tmp_path: Path) -> None:
    """The hash of the stored bytes is compared too, also where they decompress to the right ones."""
    (path,) = objects(safe, "*.db.zst")
    data = bytearray(path.read_bytes())
    data[4] ^= 0x10  # the unused bit of the frame header's descriptor (RFC 8878, 3.1.1.1.1)
    path.write_bytes(data)

    with pytest.raises(BackupDamaged, match="its bytes are other ones"):
        rig.restore(tmp_path / "back.db")


def test_bytes_that_decompress_to_others_are_found(rig: Rig, safe: Path, tmp_path: Path) -> None:
    """The hash of the database is compared with what the manifest says of it."""
    (path,) = objects(safe, "*.json")
    manifest = rig.manifest()
    data = manifest.data.model_copy(update={"sha256": "0" * 64})
    path.write_bytes(encode(manifest.model_copy(update={"data": data})))

    with pytest.raises(BackupDamaged, match="decompresses to other bytes"):
        rig.restore(tmp_path / "back.db")


def test_files_that_were_exchanged_are_found(rig: Rig, safe: Path, tmp_path: Path) -> None:
    """A sound object under the name of another is no part of a backup, for a restore and for a drill."""
    first, second = objects(safe, "artifacts/*/*.zst")
    first.write_bytes(second.read_bytes())

    with pytest.raises(BackupDamaged, match="another file"):
        rig.restore(tmp_path / "back.db")
    with pytest.raises(BackupDamaged, match="another file"):
        drill(rig.target, rig.database_id, Moment(), tmp_path, lambda done, total: None)


def test_counts_are_compared(rig: Rig, safe: Path, tmp_path: Path) -> None:
    """A manifest that promises another number of steps is not believed."""
    (path,) = objects(safe, "*.json")
    manifest = rig.manifest()
    contents = manifest.contents.model_copy(update={"steps": 300})
    path.write_bytes(encode(manifest.model_copy(update={"contents": contents})))

    with pytest.raises(BackupDamaged, match="has steps 301, and its manifest says 300"):
        rig.restore(tmp_path / "back.db")


def test_a_drill_finds_damage_and_leaves_nothing(rig: Rig, safe: Path, tmp_path: Path) -> None:
    """A drill reads all that a restore would, and cleans up behind itself."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = drill(rig.target, rig.database_id, Moment(), scratch, lambda done, total: None)
    assert (done.contents.steps, done.artifacts) == (301, 2)
    flip(objects(safe, "artifacts/*/*.zst")[0], random.Random(1))

    with pytest.raises(BackupError):
        drill(rig.target, rig.database_id, Moment(), scratch, lambda done, total: None)
    assert list(scratch.iterdir()) == []
