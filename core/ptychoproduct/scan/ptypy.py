"""Weights of ptypy's prepared data (``*.ptyd``), and where the object of its reconstructions (``*.ptyr``) is."""

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


def ptypy_center(source: Hdf5Source) -> dict[str, float]:
    """Return the centre of a reconstruction's object in metres, by the fields of `ExportMeta`; nothing in other files.

    ptypy keeps where the object's first pixel is, ``_origin``, and a view of N pixels begins N // 2 before the pixel of
    its position. In ptychodus the middle of N pixels is (N - 1) / 2 from the first one, of object and probe.
    """
    for name in source.groups("/content/obj"):
        object_, *found = (source.find(f"/content/obj/{name}/{part}") for part in ("data", "_origin", "_psize"))
        probe = source.find(f"/content/probe/{name}/data")
        if object_ is None or object_.ndim < 2 or any(values is None or values.shape != (2,) for values in found):
            continue
        origin_m, pixel_m = map(source.read, filter(None, found))
        view = np.array([2, 2] if probe is None or probe.ndim < 2 else probe.shape[-2:])
        middle = (np.array(object_.shape[-2:]) - 1) / 2 + view // 2 - (view - 1) / 2
        y_m, x_m = origin_m + pixel_m * middle
        return {"object_center_x_m": float(x_m), "object_center_y_m": float(y_m)}
    return {}


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
