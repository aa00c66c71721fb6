"""The mean diffraction pattern of a scan of any size, from frames that are sampled across it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError
from ptychoproduct.model import contract, patterns

if TYPE_CHECKING:
    from ptychoproduct.product.reader import Frames

UNKNOWN = "as stored, no unit"
_UNITS = {patterns.COUNTS: "counts", patterns.AMPLITUDE: "√counts"}

MOST_FRAMES = 256
# Frames of one chunk are decoded together, but a scan changes along its way: frames come from so many places of it.
_LEAST_PLACES = 16
_MOST_BYTES = 512 * 1024**2  # of large frames, fewer
_LOOKED_AT = 4  # frames by which it is decided what all of them hold


@dataclass(frozen=True)
class MeanPattern:
    """A mean over frames.

    Parameters
    ----------
    values : array, [H, W], float64
    frames_used, frames : int
        Frames that were looked at, and that there are.
    quantity : str
        See `quantity_of`.
    """

    values: Array
    frames_used: int
    frames: int
    quantity: str


def mean_pattern(frames: Frames, most: int = MOST_FRAMES) -> MeanPattern:
    """Average frames that are sampled across a scan, one place after the other in memory.

    Parameters
    ----------
    frames : Frames
        At least one.
    most : int
        How many are read at most, where the scan has more.

    Raises
    ------
    ContractError
        A frame cannot be read.
    """
    rows = frames.chunks[0] if frames.chunks else 1
    frame_bytes = max(1, frames.nbytes // len(frames))
    places = sampled_frames(len(frames), rows, max(_LEAST_PLACES, min(most, _MOST_BYTES // frame_bytes)))
    total = np.zeros(frames.shape[1:])
    for place in places:
        for index in place:  # the reader keeps the chunk that the last one was in
            total += frames[index]
    used = sum(map(len, places))
    few = np.array([frames[place[0]] for place in places[:_LOOKED_AT]], frames.dtype.newbyteorder("="))
    return MeanPattern(total / used, used, len(frames), quantity_of(few))


def sampled_frames(frames: int, chunk_frames: int, most: int = MOST_FRAMES) -> list[range]:
    """Choose frames in places that are spread evenly, the first and the last chunk among them.

    Parameters
    ----------
    frames : int
        That there are.
    chunk_frames : int
        Frames of a chunk.
    most : int
        How many are chosen at most.

    Returns
    -------
    list of range
        One range a place, each within one chunk.
    """
    if frames <= most:
        return [range(first, min(first + chunk_frames, frames)) for first in range(0, frames, chunk_frames)]
    chunks = -(-frames // chunk_frames)
    places = min(chunks, max(most // chunk_frames, _LEAST_PLACES), most)
    run = min(chunk_frames, most // places)
    firsts = np.unique(np.linspace(0, chunks - 1, places).round().astype(int)) * chunk_frames
    return [range(first, min(first + run, frames)) for first in firsts.tolist()]


def quantity_of(frames: Array) -> str:
    """Return what the values of frames are: "counts", "√counts", or that they have no unit."""
    try:
        found = patterns.choose_patterns(frames, "auto", "frames", contract.DIFFRACTION.name)
    except OptionError:
        return UNKNOWN
    unit = _UNITS[found.quantity]
    return unit if found.scale is None else f"{unit}, normalised"
