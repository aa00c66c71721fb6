"""Chunks as they are in a file: where they are, and what they hold."""

from __future__ import annotations

import math

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.compression.filters import filter_pipeline
from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.chunks import ChunkIndex, StoredChunk, own_descriptor, read_chunk
from ptychoproduct.hdf5.local_links import reading
from ptychoproduct.hdf5.row_checksums import changed_rows, have_changed
from ptychoproduct.hdf5.selection import Piece
from ptychoproduct_native import ChunkBuffer, FilterError

# After so many chunks, it is worth the time to look up where all chunks are.
_FETCHED_BY_HDF5 = 8

_Encoded = tuple[int, bytes] | StoredChunk


class EncodedChunks:
    """Chunks as they are in the file, decoded by our own threads.

    Parameters
    ----------
    dataset : h5py.Dataset
        With chunks.
    accept_damage : bool
        Whether a chunk that cannot be decoded is all fill value, and rows may have changed.
    checksums : array, [N], uint32, optional
        Of the rows, which are compared with them, where chunks are whole rows and have no checksums of their own.

    Attributes
    ----------
    lost, changed : set of int
        First rows of chunks that are lost, and rows that have changed, of those decoded; where damage is accepted.
    decodes_parts : bool
        Whether some rows of a chunk are decoded in less time than all.

    Raises
    ------
    FilterError
        A filter can only be run by HDF5.
    """

    def __init__(self, dataset: h5py.Dataset, accept_damage: bool, checksums: Array | None) -> None:
        self.chunk_shape: tuple[int, ...] = dataset.chunks
        self.lost: set[int] = set()
        self.changed: set[int] = set()
        # Chunks with checksums of their own are verified by their filter.
        is_wanted = not dataset.fletcher32 and dataset.chunks[1:] == dataset.shape[1:]
        self._checksums = checksums if is_wanted else None
        self._accept_damage = accept_damage
        self._dataset = dataset
        self._dtype = dataset.dtype
        self._nbytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
        self._row_bytes = self._nbytes // dataset.chunks[0]
        self._pipeline = filter_pipeline(dataset)
        self.decodes_parts = self._pipeline.decodes_parts and dataset.chunks[1:] == dataset.shape[1:]
        self._file: str = dataset.file.filename
        self._name: str = dataset.name
        self._fill = np.broadcast_to(np.asarray(dataset.fillvalue, dataset.dtype), dataset.chunks)
        self._is_being_written = dataset.file.mode != "r"
        self._descriptor = own_descriptor(self, dataset.file)
        self._index: ChunkIndex | None = None
        self._fetched = 0

    def fetch(self, piece: Piece) -> tuple[Piece, _Encoded | None]:
        """Return the filter mask and the bytes, or where they are; None for a chunk that was never written."""
        self._fetched += 1
        if self._fetched > _FETCHED_BY_HDF5 and self._descriptor is not None and not self._accept_damage:
            return piece, self._indexed().find(piece.offset)
        with reading(self._dataset):
            try:
                filter_mask, data = self._dataset.id.read_direct_chunk(piece.offset)
                if self._is_being_written:  # of the chunk written last, HDF5 gives 0 in any case
                    filter_mask = self._dataset.id.get_chunk_info_by_coord(piece.offset).filter_mask
                return piece, (filter_mask, data)
            except (OSError, RuntimeError, MemoryError):  # MemoryError where the dataset has no storage at all
                if not self._accept_damage and self._indexed().find(piece.offset) is not None:
                    raise
        return piece, None

    def decode(self, piece: Piece, fetched: _Encoded | None, whole: bool = True, place: Array | None = None) -> Array:
        """Return a chunk's elements: in the place (its shape and type, C order), where one is given and it is not lost.

        Unless it is wanted whole, rows that the piece does not have may be anything.
        """
        if fetched is None:
            return self._lost(piece)
        rows_wanted = slice(0, self.chunk_shape[0]) if whole else piece.rows
        part = slice(rows_wanted.start * self._row_bytes, rows_wanted.stop * self._row_bytes)
        try:
            is_ours = isinstance(fetched, StoredChunk)
            filter_mask, data = self._read(fetched) if isinstance(fetched, StoredChunk) else fetched
            if place is not None:
                self._pipeline.decode_into(place, data, filter_mask, is_ours)
                rows = place
            else:
                chunk = self._pipeline.decode(data, filter_mask, self._nbytes, is_ours, part)
                rows = np.frombuffer(chunk, self._dtype).reshape(self.chunk_shape)
        except (FilterError, EOFError, OSError) as error:
            if self._accept_damage:
                return self._lost(piece)
            problem = f"cannot be read: chunk {piece.offset}: {error}"
            raise ContractError(self._file, problem, key=self._name) from error
        except MemoryError as error:
            raise ContractError(self._file, "does not fit in memory", key=self._name) from error
        if self._checksums is None:
            return rows
        changed = changed_rows(rows[rows_wanted], piece.offset[0] + rows_wanted.start, self._checksums)
        if len(changed) and not self._accept_damage:
            raise ContractError(self._file, f"damaged: rows {have_changed(changed)}", key=self._name)
        self.changed.update(changed.tolist())
        return rows

    def _read(self, chunk: StoredChunk) -> tuple[int, ChunkBuffer]:
        assert self._descriptor is not None
        return chunk.filter_mask, read_chunk(self._descriptor, chunk)

    def _lost(self, piece: Piece) -> Array:
        if self._accept_damage:
            self.lost.add(piece.offset[0])
        return self._fill

    def _indexed(self) -> ChunkIndex:
        if self._index is None:
            with reading(self._dataset):
                self._index = ChunkIndex(self._dataset)
        return self._index
