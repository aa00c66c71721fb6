"""Weights of ptypy's prepared data (``*.ptyd``), which has numbered chunks of frames."""

from __future__ import annotations

from collections.abc import Iterable

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import warn
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.scan.places import parts_at

_CHUNKS = "/chunks"
_SAME_FOR_ALL = ("/meta/weight2d", "/common/weight2d", "/info/weight2d")
_BLOCK_ROWS = 16


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
    beside = parts_at(source, f"{_CHUNKS}/#/weights" if group == _CHUNKS else f"{group}/weights")
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
