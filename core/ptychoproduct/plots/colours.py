"""Colours of pictures that are drawn without matplotlib: tables, and arrays as PNG files."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from ptychoproduct.aliases import Array

# Equal steps of a value look equal. Viridis, of matplotlib (CC0), and the hues of OKLCh in steps of 30 degrees, at
# lightness 0.72 and chroma 0.12 (https://bottosson.github.io/posts/oklab/).
SEQUENTIAL = bytes.fromhex("440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725")
CYCLIC = bytes.fromhex("e183a1 e68677 db9152 c2a140 9bb054 69ba7c 2fbda7 1db8ce 55aee8 87a0f0 b093e5 cf88c8 e183a1")

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED = 3  # PNG's type of images whose pixels are numbers of colours
_NOTHING = 0  # the number of the transparent colour


def css_colour(value: float, table: bytes) -> str:
    """Return the colour of a value from 0 to 1 as ``#rrggbb``, interpolated between those of a table."""
    return "#" + _interpolated(np.array([value]), table).tobytes().hex()


def css_gradient(table: bytes) -> str:
    """Return a table as CSS's gradient from left to right."""
    colours = (f"#{table[start : start + 3].hex()}" for start in range(0, len(table), 3))
    return f"linear-gradient(90deg,{','.join(colours)})"


def png(values: Array, table: bytes) -> bytes:
    """Draw values from 0 to 1 as a PNG file with 255 colours; NaN is transparent.

    The format is that of https://www.w3.org/TR/png-3.

    Parameters
    ----------
    values : array, [rows, columns], real
    table : bytes
        Colours, see `SEQUENTIAL`.
    """
    height, width = values.shape
    there = np.isfinite(values)
    numbers = np.where(there, 1 + np.clip(np.where(there, values, 0), 0, 1) * 254, _NOTHING)
    rows = np.zeros((height, width + 1), np.uint8)  # each begins with the number of its filter, none
    rows[:, 1:] = numbers.round()
    palette = bytes(3) + _interpolated(np.linspace(0, 1, 255), table).tobytes()
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _INDEXED, 0, 0, 0)),
            _chunk(b"PLTE", palette),
            _chunk(b"tRNS", bytes(1)),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _interpolated(values: Array, table: bytes) -> Array:
    anchors = np.frombuffer(table, np.uint8).reshape(-1, 3)
    places = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(values, places, channel) for channel in anchors.T], axis=-1).round().astype(np.uint8)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
