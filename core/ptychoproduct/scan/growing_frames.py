"""Frames of an HDF5 file that another program is writing, in a mode (SWMR) that lets others read.

Such a dataset may have grown before its chunks are in the file; HDF5 gives fill values in their place, without a word.
So frames count only when all their chunks are in the index. A chunk of several frames is written again as it fills: it
counts when a later one is there.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.chunk_grid import stored_chunks
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.scan.frame_scan import frames_dataset, product_recipe

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_STATUS_BYTE = 11  # of superblocks of version 2 and 3


class GrowingFrames:
    """A dataset of frames that grows.

    Parameters
    ----------
    source : Hdf5Source
        Open as long as this is used.
    name : str, optional
        Path of the dataset; by default the first that a layout has.

    Raises
    ------
    SourceError
        There are no frames, or one cannot see of these which are there.
    """

    def __init__(self, source: Hdf5Source, name: str | None = None) -> None:
        self._source = source
        self.dataset = dataset = frames_dataset(source, name, may_be_empty=True)
        problem = None
        if dataset.is_virtual:
            problem = "is a virtual dataset; give the file that it takes its frames from"
        elif dataset.ndim != 3 or dataset.chunks is None:
            problem = "must be frames [N, H, W] in chunks, to grow"
        elif dataset.id.get_create_plist().get_alloc_time() == h5py.h5d.ALLOC_TIME_EARLY:
            problem = "has its chunks before they are written (ALLOC_TIME_EARLY); convert it when it is complete"
        elif product_recipe(dataset) is not None:
            problem = "holds counts of a product, which does not grow; use convert"
        if problem:
            raise SourceError(source.path, problem, key=dataset.name)
        self._checksums: list[tuple[int, int, int]] = []
        self._was_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the program that wrote the file has closed it; false where that cannot be seen."""
        if not self.dataset.file.swmr_mode:
            return True
        with Path(self.dataset.file.filename).open("rb") as file:
            start = file.read(_STATUS_BYTE + 1)
        return start.startswith(_SIGNATURE) and start[8] >= 3 and start[_STATUS_BYTE] == 0

    def refresh(self) -> tuple[int, bool]:
        """Look at the file again.

        Returns
        -------
        tuple of int and bool
            The number of frames that are whole, from the first on; and whether there will be no more.
        """
        with self._source.reading(self.dataset.name):
            is_closed = self.is_closed  # before the rest, which may have been written in between
            self.dataset.id.refresh()
            length, depth = self.dataset.shape[0], self.dataset.chunks[0]
            sides = zip(self.dataset.shape[1:], self.dataset.chunks[1:], strict=True)
            in_step = math.prod(-(-side // step) for side, step in sides)
            first = stored_chunks(self.dataset.id).origins[:, 0]
        stored = np.bincount((first // depth).astype(np.intp), minlength=-(-length // depth)) == in_step
        steps = len(stored) if stored.all() else int(np.argmin(stored))
        is_last, self._was_closed = is_closed and self._was_closed, is_closed
        if depth > 1 and not is_last and steps:
            steps = min(steps, int(np.flatnonzero(stored)[-1]))
        return min(length, steps * depth), is_last

    def read(self, first: int, end: int) -> Array:
        """Read frames, which are whole."""
        with self._source.reading(self.dataset.name):
            frames = np.asarray(self.dataset[first:end])
        if self.dataset.chunks[0] > 1:
            self._checksums.append((first, end, zlib.crc32(np.ascontiguousarray(frames))))
        return frames

    def require_unchanged(self) -> None:
        """Read frames in chunks of several once more: no frame may have been read before it was written.

        Raises
        ------
        SourceError
            One has changed.
        """
        with self._source.reading(self.dataset.name):
            self.dataset.id.refresh()
            for first, end, checksum in self._checksums:
                if zlib.crc32(np.ascontiguousarray(self.dataset[first:end])) != checksum:
                    problem = f"frames {first} to {end - 1} were written again after they were read; use convert"
                    raise SourceError(self._source.path, problem, key=self.dataset.name)
