"""Compression: any stream comes back, plain zstd reads it, and damage is never taken for data."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from stepstream.backup.compression import NotCompressed, compressed, decompressed
from stepstream.settings import BackupLevel

TEXT = b"".join(b"step %d of the bracket, wall %d mm\n" % (n, n % 11) for n in range(20_000))


def pack(data: bytes, *, level: BackupLevel = BackupLevel.DEFAULT, frame_bytes: int = 1 << 28) -> bytes:
    """Compress in odd pieces."""
    pieces = (data[start : start + 77_777] for start in range(0, len(data), 77_777))
    return b"".join(compressed(pieces, level, len(data), frame_bytes))


def unpack(data: bytes, piece: int = 1000) -> bytes:
    """Decompress in small pieces."""
    return b"".join(decompressed(data[start : start + piece] for start in range(0, len(data), piece)))


@pytest.mark.parametrize("level", list(BackupLevel))
@pytest.mark.parametrize("frame_bytes", [100, 77_777, 100_000, 1 << 28])
@pytest.mark.parametrize("size", [0, 1, 200_000])
def test_a_stream_comes_back(level: BackupLevel, frame_bytes: int, size: int) -> None:
    """Whatever its length, and wherever its frames end."""
    data = TEXT[: size if frame_bytes > 100 else min(size, 2000)]

    assert unpack(pack(data, level=level, frame_bytes=frame_bytes)) == data


@pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no zstd program")
def test_plain_zstd_reads_it() -> None:
    """The program needs no option, also for several frames."""
    packed = pack(TEXT, frame_bytes=123_456)

    assert subprocess.run(["zstd", "-d"], input=packed, capture_output=True, check=True).stdout == TEXT


def test_the_same_bytes_make_the_same_object() -> None:
    """What was compressed once has the same hash when it is compressed again."""
    assert pack(TEXT) == pack(TEXT)


def test_a_cut_stream_is_no_data() -> None:
    """A stream that ends early is refused."""
    packed = pack(TEXT)

    with pytest.raises(NotCompressed):
        unpack(packed[:-1])


def test_a_flipped_bit_is_found() -> None:
    """A checksum stands behind every frame."""
    packed = bytearray(pack(TEXT))
    chance = random.Random(5)
    for _ in range(50):
        place = chance.randrange(len(packed))
        packed[place] ^= 1 << chance.randrange(8)
        try:
            assert unpack(bytes(packed)) == TEXT
        except NotCompressed:
            break
    else:
        pytest.fail("fifty flipped bits went unseen")


def test_what_is_no_zstd_is_refused() -> None:
    """Foreign bytes are no data."""
    with pytest.raises(NotCompressed):
        unpack(b"something else entirely")


def test_a_bomb_comes_in_bounded_pieces() -> None:
    """What decompresses to very much is handed out a piece at a time."""
    packed = b"".join(compressed((bytes(1 << 20) for _ in range(64)), BackupLevel.DEFAULT, 64 << 20))

    assert len(packed) < 100_000
    assert max(len(piece) for piece in decompressed([packed])) <= 4 << 20
