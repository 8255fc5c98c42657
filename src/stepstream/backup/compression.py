"""Compression: zstd in frames, streamed; plain ``zstd -d`` reads it.

Knows levels and frames. Must not know what is compressed. A frame holds 256 MiB of input and a checksum, so
that memory is bounded whatever the size; its window is 2^27, the largest that ``zstd -d`` takes unasked.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from stepstream.settings import BackupLevel

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FRAME_BYTES = 256 * 1024 * 1024
SUFFIX = ".zst"

_WINDOW_LOG = 27
_LEVELS = {BackupLevel.DEFAULT: 10, BackupLevel.MAX: 19}
_OUTPUT_BYTES_MAX = 4 * 1024 * 1024
# What a small input never refers back to need not be allocated for it.
_SMALL_BYTES = 8 * 1024 * 1024


class NotCompressed(Exception):
    """The bytes are not zstd's, are damaged, or end too early."""


def compressed(
    chunks: Iterable[bytes], level: BackupLevel, size: int, frame_bytes: int = FRAME_BYTES
) -> Iterator[bytes]:
    """Compress a stream.

    Args:
        chunks: The input.
        level: How hard.
        size: How many bytes the input has.
        frame_bytes: A frame ends after so much input.
    """
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {parameter.compression_level: _LEVELS[level], parameter.checksum_flag: 1}
    if size > _SMALL_BYTES:
        options |= {parameter.window_log: _WINDOW_LOG, parameter.enable_long_distance_matching: 1}
    compressor = zstd.ZstdCompressor(options=options)
    left = frame_bytes
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            piece, view = view[:left], view[left:]
            left -= len(piece)
            if packed := compressor.compress(piece):
                yield packed
            if not left:
                yield compressor.flush(compressor.FLUSH_FRAME)
                left = frame_bytes
    if left < frame_bytes or not size:
        yield compressor.flush(compressor.FLUSH_FRAME)


def decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Undo ``compressed``; memory is bounded whatever stands there.

    Raises:
        NotCompressed: The bytes are not zstd's, are damaged, or end too early.
    """
    decompressor: zstd.ZstdDecompressor | None = None
    for chunk in chunks:
        data: bytes = chunk
        while data or (decompressor is not None and not decompressor.needs_input):
            if decompressor is None:
                decompressor = zstd.ZstdDecompressor()
            try:
                plain = decompressor.decompress(data, _OUTPUT_BYTES_MAX)
            except zstd.ZstdError as error:
                raise NotCompressed(str(error)) from error
            if plain:
                yield plain
            data = b""
            if decompressor.eof:
                data, decompressor = decompressor.unused_data, None
    if decompressor is not None:
        raise NotCompressed("it ends in the middle of a frame")
