"""CRC-32 of data and of its parts, by isal: as fast as memory."""

from __future__ import annotations

from collections.abc import Sequence

from isal import isal_zlib


def crc32_of_parts(data: memoryview, part_bytes: int) -> list[int]:
    """Return the CRC-32 of each part of some bytes; the parts have one size, the last may be shorter."""
    return [isal_zlib.crc32(data[first : first + part_bytes]) for first in range(0, len(data), part_bytes)]


def crc32_of_whole(parts: Sequence[int], part_bytes: int) -> int:
    """Return the CRC-32 of bytes whose parts, all of one size, have these; 0 where there are none."""
    whole = 0
    for part in parts:
        whole = isal_zlib.crc32_combine(whole, part, part_bytes)
    return whole
