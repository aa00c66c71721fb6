"""Frames in several files, the shards: what these are called, which frames each has, and whether all are there.

A virtual dataset of HDF5 stands for the frames, so that every program can read them. HDF5 gives zeros for a file that
is not there. So whoever opens one here is told first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.output import path_of
from ptychoproduct.model.contract import SHARD_BYTES

# The frames in each shard.
SHARD_DATASET = "diffraction"
_NAME = re.compile(r"[^/\\]+\.frames/[0-9]{4,}\.h5")
_MOST_NAMED = 5


class Shard(NamedTuple):
    """A file with some of the frames.

    Parameters
    ----------
    path : Path
    rows : range
        Which frames it has.
    nbytes : int
        Size of the file.
    """

    path: Path
    rows: range
    nbytes: int


def shard_name(number: int) -> str:
    """Return the name of a shard in its folder; they are counted from 0."""
    return f"{number + 1:04}.h5"


def is_sharded(dataset: h5py.Dataset) -> bool:
    """Whether a dataset says of itself that it stands for shards."""
    return bool(dataset.is_virtual) and SHARD_BYTES in dataset.attrs


def create_sharded(
    group: h5py.Group, name: str, folder: str, parts: Sequence[range], row_shape: tuple[int, ...], dtype: np.dtype[Any]
) -> h5py.Dataset:
    """Create the dataset that stands for shards.

    Parameters
    ----------
    group : h5py.Group
    name : str
    folder : str
        Name of the folder beside the file.
    parts : sequence of range
        Which rows each shard has.
    row_shape : tuple of int
    dtype : numpy.dtype
    """
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)  # which h5py's own way of creating one does not ask for
    shape = (parts[-1].stop, *row_shape)
    for number, part in enumerate(parts):
        rows, its_rows = h5s.create_simple(shape), h5s.create_simple((len(part), *row_shape))
        rows.select_hyperslab((part.start, *(0 for _ in row_shape)), its_rows.shape)
        path = os.fsencode(f"{folder}/{shard_name(number)}")
        properties.set_virtual(rows, path, SHARD_DATASET.encode(), its_rows)
    space, element = h5s.create_simple(shape), h5t.py_create(dtype, logical=True)
    return h5py.Dataset(h5d.create(group.id, name.encode(), element, space, properties))


def shards_of(dataset: h5py.Dataset) -> list[Shard]:
    """Return the shards that a dataset stands for, in the order of their frames; all are there, and of the right size.

    Raises
    ------
    ContractError
        They are elsewhere than in one folder beside the product, do not follow each other, or some are missing or of
        another size: which.
    """
    file, sizes = path_of(dataset.file), dataset.attrs.get(SHARD_BYTES)
    mappings = dataset.virtual_sources()
    if not isinstance(sizes, np.ndarray) or sizes.dtype.kind != "u" or sizes.shape != (len(mappings),):
        raise ContractError(file, "is not one size for each shard", key=f"{dataset.name}@{SHARD_BYTES}")
    folder, stop = file.resolve().parent, 0
    shards, wrong = [], []
    for mapping, nbytes in zip(mappings, sizes.tolist(), strict=True):
        low, high = mapping.vspace.get_select_bounds()
        rows = range(int(low[0]), int(high[0]) + 1)
        is_whole = mapping.vspace.get_select_npoints() == len(rows) * np.prod(dataset.shape[1:], dtype=np.int64)
        if rows.start != stop or not is_whole or mapping.dset_name != SHARD_DATASET:
            raise ContractError(file, "its shards are not rows that follow each other", key=dataset.name)
        path = folder / mapping.file_name
        if not _NAME.fullmatch(mapping.file_name) or not path.resolve().is_relative_to(folder):
            problem = f"has its data in {mapping.file_name}, outside the product's own folder NAME.frames"
            raise ContractError(file, problem, key=dataset.name)
        stop = rows.stop
        shards.append(Shard(path, rows, nbytes))
        if not path.is_file():
            wrong.append(f"{mapping.file_name} is missing")
        elif path.stat().st_size != nbytes:
            wrong.append(f"{mapping.file_name} has {path.stat().st_size} bytes in place of {nbytes}")
    if stop != dataset.shape[0]:
        raise ContractError(file, "its shards have not all of its rows", key=dataset.name)
    if wrong:
        more = f", and {len(wrong) - _MOST_NAMED} more" if wrong[_MOST_NAMED:] else ""
        problem = f"frames are in shards, and {', '.join(wrong[:_MOST_NAMED])}{more}; copy the folder of shards again"
        raise ContractError(file, problem, key=dataset.name)
    return shards
