"""Chunks of frames that are in several files; read past HDF5's virtual layer, which decodes on one core.

A few files are open at a time, however many there are.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError, ProductError
from ptychoproduct.hdf5.chunk_grid import not_stored
from ptychoproduct.hdf5.encoded_chunks import EncodedChunks
from ptychoproduct.hdf5.local_links import naming_damage, open_hdf5
from ptychoproduct.hdf5.row_checksums import stored_row_checksums
from ptychoproduct.hdf5.selection import Piece
from ptychoproduct.hdf5.shard_layout import SHARD_DATASET, Shard, is_sharded, shards_of
from ptychoproduct.model.contract import SHARD_BYTES

_MOST_OPEN = 32


class ShardedChunks:
    """Chunks as they are in shards, decoded by our own threads; as `EncodedChunks`.

    Parameters
    ----------
    dataset : h5py.Dataset
        For which `is_sharded` holds.
    accept_damage, verify : bool
        See `EncodedChunks`.

    Raises
    ------
    ContractError
        A shard is missing, or has not what it should.
    FilterError
        A filter can only be run by HDF5.
    """

    def __init__(self, dataset: h5py.Dataset, accept_damage: bool, verify: bool) -> None:
        self._shards = shards_of(dataset)
        self._starts = [shard.rows.start for shard in self._shards]
        self._row_shape: tuple[int, ...] = dataset.shape[1:]
        self._dtype = dataset.dtype
        self._file: str = dataset.file.filename
        self._name: str = dataset.name
        self._accept_damage = accept_damage
        self._checksums = stored_row_checksums(dataset) if verify else None
        self._open: OrderedDict[int, tuple[h5py.File, EncodedChunks]] = OrderedDict()
        self._lock = threading.Lock()
        self.lost: set[int] = set()
        self.changed: set[int] = set()
        self.chunk_shape: tuple[int, ...] = ()
        first = self._opened(0)
        self.chunk_shape, self.decodes_parts = first.chunk_shape, first.decodes_parts
        if any(start % self.chunk_shape[0] for start in self._starts):
            raise ContractError(dataset.file.filename, "its shards are not of whole chunks", key=dataset.name)

    def fetch(self, piece: Piece) -> tuple[Piece, tuple[EncodedChunks, Piece, Any]]:
        """Return what the shard's own `EncodedChunks` needs to decode a chunk."""
        first, *others = piece.offset
        number = bisect_right(self._starts, first) - 1
        with self._lock:
            chunks = self._opened(number)
            return piece, (chunks, *chunks.fetch(replace(piece, offset=(first - self._starts[number], *others))))

    def decode(
        self,
        piece: Piece,
        fetched: tuple[EncodedChunks, Piece, Any],
        whole: bool = True,
        place: Array | None = None,
    ) -> Array:
        """Return a chunk's elements, see `EncodedChunks`."""
        chunks, its_piece, data = fetched
        try:
            decoded = chunks.decode(its_piece, data, whole, place)
            if self._accept_damage:
                start = piece.offset[0] - its_piece.offset[0]
                self.lost.update(start + row for row in tuple(chunks.lost))
                self.changed.update(start + row for row in tuple(chunks.changed))
            return decoded
        except ContractError as error:
            shard = Path(error.file)
            problem = f"{error.problem}, in {shard.parent.name}/{shard.name}"
            raise ContractError(self._file, problem, key=self._name) from error

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        with self._lock:
            while self._open:
                self._open.popitem()[1][0].close()

    def _opened(self, number: int) -> EncodedChunks:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number][1]
        shard = self._shards[number]
        file = _opened_shard(shard)
        try:
            dataset = _checked(file, shard, self._row_shape, self._dtype)
            if self.chunk_shape and dataset.chunks != self.chunk_shape:
                raise ContractError(shard.path, f"has chunks of {dataset.chunks}, others of {self.chunk_shape}")
            checksums = None if self._checksums is None else self._checksums[shard.rows.start : shard.rows.stop]
            chunks = EncodedChunks(dataset, self._accept_damage, checksums)
        except BaseException:
            file.close()
            raise
        self._open[number] = file, chunks
        if len(self._open) > _MOST_OPEN:  # chunks that were fetched have a descriptor of their own
            self._open.popitem(last=False)[1][0].close()
        return chunks


@contextmanager
def stored_as(dataset: h5py.Dataset) -> Iterator[h5py.Dataset]:
    """Give the dataset that tells how another one is stored: its first shard, or that dataset itself."""
    if not is_sharded(dataset):
        yield dataset
        return
    shard = shards_of(dataset)[0]
    with _opened_shard(shard) as file:
        yield _checked(file, shard, dataset.shape[1:], dataset.dtype)


def stored_bytes(dataset: h5py.Dataset) -> int:
    """Return what the elements take on the disk; of shards, the size of the files."""
    nbytes = dataset.attrs[SHARD_BYTES].sum() if is_sharded(dataset) else dataset.id.get_storage_size()
    return int(nbytes)


def shard_problems(dataset: h5py.Dataset) -> Iterator[str]:
    """Open every shard, and tell of those that have not all of their frames; no frame is decoded."""
    for shard in shards_of(dataset):
        name = f"{shard.path.parent.name}/{shard.path.name}"
        try:
            with naming_damage(shard.path), _opened_shard(shard) as file:
                problem = not_stored(_checked(file, shard, dataset.shape[1:], dataset.dtype).id, "its frames")
        except ProductError as error:
            problem = error.sentence
        if problem:
            yield f"{name}: {problem}"


def _opened_shard(shard: Shard) -> h5py.File:
    try:
        return open_hdf5(shard.path, "a shard")
    except ProductError as error:
        raise ContractError(shard.path, error.sentence) from error


def _checked(file: h5py.File, shard: Shard, row_shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    """Return the frames of a shard; ContractError where they are not those that the product says."""
    found = file.get(SHARD_DATASET, getlink=True)
    dataset = file[SHARD_DATASET] if isinstance(found, h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external or not dataset.chunks:
        raise ContractError(shard.path, "is not a shard; copy the folder of shards again", key=SHARD_DATASET)
    expected = (len(shard.rows), *row_shape)
    if (dataset.shape, dataset.dtype) != (expected, dtype):
        found_words, expected_words = f"{dataset.dtype} {dataset.shape}", f"{dtype} {expected}"
        raise ContractError(shard.path, key=SHARD_DATASET, found=found_words, expected=expected_words)
    return dataset
