"""Whether the chunks of a dataset are where they should be: HDF5 reads a chunk that it does not find as fill values."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array


@dataclass(frozen=True)
class StoredChunks:
    """All stored chunks of a dataset, in the order of the index.

    Parameters
    ----------
    origins : array, [C, ndim], int
        Index of the first element of each.
    masks, byte_offsets, sizes : array, [C], int
        See `StoredChunk`.
    """

    origins: Array
    masks: Array
    byte_offsets: Array
    sizes: Array


def stored_chunks(dataset: h5py.h5d.DatasetID) -> StoredChunks:
    """Walk through the index of a chunked dataset once."""
    columns = array("Q")

    def note(info: Any) -> None:
        columns.extend((info.filter_mask, info.byte_offset, info.size, *info.chunk_offset))

    dataset.chunk_iter(note)
    table = np.frombuffer(columns, np.uint64).reshape(-1, 3 + dataset.rank)
    return StoredChunks(table[:, 3:], table[:, 0], table[:, 1], table[:, 2])


def datasets_of(file: h5py.File) -> Iterator[h5py.h5d.DatasetID]:
    """Give every dataset of a file once, as far as it can be walked through; no link to elsewhere is followed."""
    names: list[bytes] = []
    with suppress(OSError, RuntimeError, KeyError):
        h5py.h5o.visit(file.id, names.append)
    for name in names:
        with suppress(OSError, RuntimeError, KeyError, ValueError):
            found = h5py.h5o.open(file.id, name)
            if isinstance(found, h5py.h5d.DatasetID):
                yield found
