"""ptypy's prepared data (``*.ptyd``): numbered chunks of frames, each with its positions, numbers and weights."""

from __future__ import annotations

from collections.abc import Iterable

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError, warn
from ptychoproduct.hdf5.folder_links import Hdf5Source

_CHUNKS = "/chunks"
_SAME_FOR_ALL = ("/meta/weight2d", "/common/weight2d", "/info/weight2d")
_BLOCK_ROWS = 16


def ptypy_frames(source: Hdf5Source) -> h5py.Dataset | None:
    """Return the frames of all chunks as one dataset; None where there are no chunks.

    Raises
    ------
    SourceError
        The chunks do not go together.
    """
    parts = _parts(source, "data")
    if not parts:
        return None
    if len({(part.shape[1:], part.dtype) for part in parts}) > 1 or parts[0].ndim != 3:
        found = ", ".join(f"{part.dtype} {part.shape}" for part in parts)
        raise SourceError(source.path, f"its chunks do not go together: {found}", key=_CHUNKS)
    return source.joined(f"{_CHUNKS}/data", parts)


def ptypy_positions(source: Hdf5Source) -> tuple[Array, Array, Array] | None:
    """Read x and y in metres, and the numbers of the frames, of all chunks; None where there are none."""
    tables = [source.read(part) for part in _parts(source, "positions")]
    numbers = [source.read(part).reshape(-1) for part in _parts(source, "indices")]
    if not tables or any(table.ndim != 2 or table.shape[1] != 2 for table in tables):
        return None
    y, x = np.concatenate(tables).T  # axes are those of arrays: rows first
    joined = np.concatenate(numbers) if numbers else np.empty(0)
    return x, y, joined.astype(np.int64) if len(joined) == len(x) else np.arange(len(x))


def ptypy_bad_pixels(source: Hdf5Source, frames: h5py.Dataset) -> Array | None:
    """Read where weights are zero, if these are the same for all frames; None where no pixel is, or frames are others.

    Warns
    -----
    ProductWarning
        They are not the same.
    """
    group = frames.parent.name
    if group != _CHUNKS and not group.startswith(f"{_CHUNKS}/"):
        return None
    same = [found for found in map(source.find, _SAME_FOR_ALL) if found is not None and found.size]
    beside = _parts(source, "weights") if group == _CHUNKS else filter(None, [source.find(f"{group}/weights")])
    bad: Array | None = None
    for part in _blocks(source, same[:1] or beside, frames.shape[1:]):
        bad = part[0] if bad is None else bad
        if (part != bad).any():
            warn(f"{source.path}: {_CHUNKS}: weights differ from frame to frame; they are not used as bad pixels")
            return None
    return None if bad is None or not bad.any() else bad.astype(np.uint8)


def _blocks(source: Hdf5Source, weights: Iterable[h5py.Dataset], shape: tuple[int, ...]) -> Iterable[Array]:
    """Give where weights are zero, some frames at a time."""
    for dataset in weights:
        if dataset.shape == shape:
            yield source.read(dataset)[np.newaxis] == 0
        elif dataset.ndim == 3 and dataset.shape[1:] == shape:
            for first in range(0, len(dataset), _BLOCK_ROWS):
                with source.reading(dataset.name):
                    block: Array = dataset[first : first + _BLOCK_ROWS] == 0
                yield block


def _parts(source: Hdf5Source, name: str) -> list[h5py.Dataset]:
    """Return the datasets of that name in all chunks that have frames, in order."""
    numbers = sorted(filter(str.isdecimal, source.names(_CHUNKS)), key=int)
    found = [source.find(f"{_CHUNKS}/{number}/{name}") for number in numbers]
    return [part for part in found if part is not None and part.shape and part.size]
