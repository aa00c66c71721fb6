"""Profiles: codecs and chunk shapes by purpose, for people who do not want to choose a codec.

A profile knows only the type and the shape of the frames. Those that measure first are in `tuning.auto`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptychoproduct.compression.codecs import Codec, codec_names, nearest_spelling, parse_codec
from ptychoproduct.errors import OptionError

# Frames that are held at once to be cut into tiles.
MOST_SLAB_BYTES = 128 * 1024**2


@dataclass(frozen=True)
class Profile:
    """A choice for any scan, with a checksum in each chunk.

    Parameters
    ----------
    purpose : str
        What it is good for, in a line.
    floats, integers : str
        Codecs of frames of these types; empty where they are measured.
    tile : tuple of int, (frames, pixel rows, columns), optional
        Chunks of about this shape; whole frames by default.
    digests : bool
        Whether a digest of the frames' content is kept with them.
    """

    purpose: str
    floats: str = ""
    integers: str = ""
    tile: tuple[int, int, int] | None = None
    digests: bool = False


# Measured on amplitudes (float32) and counts (uint32, uint16) of a far-field scan. Square roots of counts are a few
# values that return exactly: they compress best byte for byte, without a shuffle. Tall tiles see a pixel many times.
PROFILES = {
    "fast": Profile("least time: lz4 after bitshuffle", "bitshuffle-lz4+fletcher32", "bitshuffle-lz4+fletcher32"),
    "balanced": Profile(
        "small at the speed of memory (default)", "zstd:3+fletcher32", "bitshuffle-zstd:fast7,block=256KiB+fletcher32"
    ),
    "archive": Profile(
        "smallest, with SHA-256 of all content; slower to write, and to read one frame from",
        "bzip2:9+fletcher32",
        "bitshuffle-zstd:lazy7,block=512KiB+fletcher32",
        tile=(512, 16, 16),
        digests=True,
    ),
    "portable": Profile(
        "gzip only: opens in any HDF5, MATLAB, old h5dump", "gzip:2+fletcher32", "shuffle+gzip:2+fletcher32"
    ),
    "auto": Profile("measured on the scan: least time to convert and to send over 1 Gbit/s"),
    "auto:ratio": Profile("measured on the scan: smallest"),
    "auto:speed": Profile("measured on the scan: fastest to convert"),
}
DEFAULT = "balanced"


@dataclass(frozen=True)
class Storage:
    """How a stack of frames is stored.

    Parameters
    ----------
    codec : Codec
    chunk_shape : tuple of int, (frames, pixel rows, columns), optional
        None for whole frames, about 1 MiB of them.
    digests : bool
        Whether a digest of the content is kept.
    """

    codec: Codec
    chunk_shape: tuple[int, int, int] | None = None
    digests: bool = False


def parse_compression(text: str) -> Codec | Profile:
    """Read a codec's spelling or a profile's name.

    Raises
    ------
    OptionError
        The text is neither; the message names the nearest of both.
    """
    word = text.strip()
    if word in PROFILES:
        return PROFILES[word]
    if word.partition(":")[0] in codec_names():
        return parse_codec(text)
    near = difflib.get_close_matches(word.lower(), PROFILES, n=1, cutoff=0.7)
    try:
        return parse_codec(text)
    except OptionError as error:
        if not near:
            near = [nearest_spelling(text)]
        choices = f"neither a profile ({', '.join(PROFILES)}) nor a codec ({', '.join(codec_names())})"
        raise OptionError("compression", f"{text!r} is {choices}; perhaps {near[0]} is meant") from error


def is_measured(compression: str | Codec) -> bool:
    """Whether a choice is made by measuring the scan."""
    profile = parse_compression(compression) if isinstance(compression, str) else compression
    return isinstance(profile, Profile) and not profile.floats


def storage_for(
    compression: str | Codec, dtype: np.dtype[Any], row_shape: Sequence[int], rows: int | None = None
) -> Storage:
    """Resolve a compression for an array.

    Parameters
    ----------
    compression : str or Codec
        As in `parse_compression`; the default profile stands in for one that measures.
    dtype : numpy.dtype
    row_shape : sequence of int
        Shape of a frame, or of a row of another array, which is never cut into tiles.
    rows : int or None
        How many there are; None where that is not known.

    Raises
    ------
    OptionError
        The compression is not understood.
    """
    chosen = parse_compression(compression) if isinstance(compression, str) else compression
    if isinstance(chosen, Codec):
        return Storage(chosen)
    if not chosen.floats:
        chosen = PROFILES[DEFAULT]
    codec = parse_codec(chosen.floats if dtype.kind in "fc" else chosen.integers)
    tile = None
    if chosen.tile is not None and len(row_shape) == 2:
        tile = tile_shape(chosen.tile, (row_shape[0], row_shape[1]), rows, dtype.itemsize)
    return Storage(codec, tile, chosen.digests)


def tile_shape(
    wanted: tuple[int, int, int], frame_shape: tuple[int, int], frames: int | None, itemsize: int
) -> tuple[int, int, int]:
    """Fit a tile to a stack: as many elements as wanted, cut evenly, no more frames than are held at once.

    Parameters
    ----------
    wanted : tuple of int, (frames, pixel rows, columns)
    frame_shape : tuple of int
    frames : int or None
        How many there are; None where that is not known.
    itemsize : int
        Bytes of an element.
    """
    held = max(1, MOST_SLAB_BYTES // max(1, math.prod(frame_shape) * itemsize))
    most = min(wanted[0], held)
    depth = most if frames is None else -(-frames // max(1, -(-frames // most)))
    # Where a tile cannot be as tall, it is as much wider.
    wider = math.sqrt(wanted[0] / max(1, depth))
    rows, columns = (_even(length, round(side * wider)) for length, side in zip(frame_shape, wanted[1:], strict=True))
    return max(1, depth), rows, columns


def _even(length: int, wanted: int) -> int:
    """Cut a length into equal parts of about the size wanted, the last perhaps a little smaller."""
    return max(1, -(-length // max(1, round(length / wanted))))
