"""Reading datasets: HDF5 gives the encoded chunks, every core decodes.

where the chunks are, from HDF5 ─→ the file's bytes ─→ filter pipeline ─→ the caller's array
                                   (on every core, no Python lock)

HDF5 is called on the caller's thread only, which may hold h5py's lock. The bytes of chunks are read past it, where the
file is one that the system reads. What has no such road, such as datasets without chunks, is read by HDF5, with the
same results.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError, warn_of_damage
from ptychoproduct.hdf5.encoded_chunks import EncodedChunks
from ptychoproduct.hdf5.local_links import reading
from ptychoproduct.hdf5.row_checksums import have_changed, in_ranges, stored_row_checksums
from ptychoproduct.hdf5.selection import Piece, Selection, pieces, select
from ptychoproduct.hdf5.shard_layout import is_sharded
from ptychoproduct.hdf5.sharded_chunks import ShardedChunks
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.workers import Workers, done_here, most_ahead
from ptychoproduct_native import FilterError

Result = TypeVar("Result")

# Smaller chunks share a call, and a block: starting one costs as much as decoding some 100 KiB.
_CALL_BYTES = 256 * 1024
# Each call fills several huge pages of a large result: two cores that touch the same new page both clear it.
_MOST_CALL_BYTES = 8 * 1024**2
_CALLS_PER_THREAD = 8
_BLOCK_BYTES = 1024**2
# Decoded chunks that are kept for a reader that takes one frame after the other.
_KEPT_BYTES = 16 * 1024**2


class _Road(Protocol):
    """How the chunks of a dataset come into memory, in two steps."""

    chunk_shape: tuple[int, ...]
    lost: set[int]
    changed: set[int]
    decodes_parts: bool  # whether some rows of a chunk take less time than all

    def fetch(self, piece: Piece) -> tuple[Piece, Any]:
        """Read what a piece needs, on the caller's thread; return it, and where the piece is in its decoded form."""

    def decode(self, piece: Piece, fetched: Any, whole: bool, place: Array | None = None) -> Array:
        """Return the decoded form, on any thread; unless it is wanted whole, rows beside the piece may be anything.

        Where a whole chunk has a place in memory, it may be decoded there and the place be returned.
        """


class _BlocksByHdf5:
    """Blocks of rows that HDF5 has decoded."""

    decodes_parts = False

    def __init__(self, dataset: h5py.Dataset) -> None:
        row_bytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
        rows = dataset.chunks[0] if dataset.chunks else max(1, _BLOCK_BYTES // max(1, row_bytes))
        self.chunk_shape = (rows, *dataset.shape[1:])
        self.lost: set[int] = set()
        self.changed: set[int] = set()
        self._dataset = dataset

    def fetch(self, piece: Piece) -> tuple[Piece, Array]:
        rows = piece.source[0]
        if isinstance(rows, slice):
            first, stop, relative = rows.start, rows.stop, slice(None, None, rows.step)
        else:
            first, stop = rows.min(), rows.max() + 1
            relative = rows - first
        offset = piece.offset[0]
        with reading(self._dataset):
            block: Array = self._dataset[(slice(offset + first, offset + stop), *piece.source[1:])]
        return replace(piece, source=(relative, *(slice(None) for _ in piece.source[1:]))), block

    def decode(self, piece: Piece, fetched: Array, whole: bool, place: Array | None = None) -> Array:  # noqa: ARG002
        return fetched  # nothing is left to do


class DatasetReader:
    """Reads a dataset of at least one dimension, its chunks decoded on all cores.

    Parameters
    ----------
    dataset : h5py.Dataset
        Nothing writes to it.
    threads : int, optional
        How many chunks are decoded at once; as many as there are cores by default.
    recipe : CountsRecipe, optional
        Amplitudes are read, which it makes of the dataset's counts on the threads that decode.
    accept_damage : bool
        Whether chunks that cannot be decoded are read as fill values, and rows that have changed as they are.
    verify : bool
        Whether rows are compared with their checksums, where chunks have none.
    """

    def __init__(
        self,
        dataset: h5py.Dataset,
        threads: int | None = None,
        recipe: CountsRecipe | None = None,
        accept_damage: bool = False,
        verify: bool = True,
    ) -> None:
        self.accept_damage = accept_damage
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype if recipe is None else np.dtype(recipe.amplitude_dtype)
        self._dataset = dataset
        self._recipe = recipe
        self._file: str = dataset.file.filename
        self._name: str = dataset.name
        self._road: _Road = _road(dataset, accept_damage, verify)
        self._chunk_bytes = math.prod(self._road.chunk_shape) * self.dtype.itemsize
        self._row_bytes: int = math.prod(self.shape[1:]) * self.dtype.itemsize
        self.threads = threads or available_threads()
        self._workers = Workers(self.threads)
        self._kept: dict[tuple[int, ...], Array] = {}
        self._met: int | None = None  # the first row of the chunks that were read last

    def close(self) -> None:
        """End the threads, and free the chunks that are kept."""
        self._workers.close()
        self._kept = {}
        if isinstance(self._road, ShardedChunks):
            self._road.close()

    @property
    def lost_rows(self) -> Array:
        """Numbers of the rows, of those read, that are fill values because damage is accepted."""
        step, firsts = self._road.chunk_shape[0], sorted(self._road.lost)
        numbers = [np.arange(first, min(first + step, self.shape[0])) for first in firsts]
        return np.concatenate(numbers) if numbers else np.zeros(0, np.int64)

    @property
    def changed_rows(self) -> Array:
        """Numbers of the rows, of those read, that differ from their checksums, where damage is accepted."""
        return np.array(sorted(self._road.changed), np.int64)

    def tell_damage(self, named: str = "rows", name: str = "", fate: str = "have the fill value") -> None:
        """Warn of the rows that are lost or have changed, of those read, and what becomes of those lost."""
        where = f"{self._file}: {name or self._name}: damaged: {named}"
        if len(self.lost_rows):
            warn_of_damage(f"{where} {in_ranges(self.lost_rows)} are lost, and {fate}")
        if len(self.changed_rows):
            warn_of_damage(f"{where} {have_changed(self.changed_rows)}")

    def read(self, index: Any) -> Array:
        """Return what an index expression asks for, as NumPy would.

        Parameters
        ----------
        index : int, slice, ellipsis, list or array of int, mask, or a tuple of these
            Numbers of rows may come in any order, repeat, and count from the end. Other expressions mean what they
            mean to h5py.

        Raises
        ------
        IndexError
            There is no such row.
        ContractError
            A chunk cannot be decoded, or the file is closed.
        """
        self._require_open()
        selection = select(index, self.shape)
        if selection is None or (isinstance(self._road, _BlocksByHdf5) and _is_plain(selection)):
            with reading(self._dataset):
                found: Array = self._dataset[index]
            return self._converted(found)
        out = self._new_array(selection.shape)
        self._read(selection, out)
        return out if out.ndim else out[()]

    def read_into(self, out: Array, index: Any = ...) -> None:
        """Read into an array of the caller.

        Parameters
        ----------
        out : array
            Of the result's shape; any strides, and any type that NumPy converts to within the same kind.
        index : int, slice, ellipsis, list or array of int, mask, or a tuple of these
            See `read`.

        Raises
        ------
        IndexError, ContractError
            See `read`.
        TypeError
            The values do not fit the array's type, or the expression cannot be read into an array.
        ValueError
            The array has another shape, or cannot be written to.
        """
        selection = select(index, self.shape)
        if selection is None:
            raise TypeError(f"cannot read {index!r} into an array")
        if out.shape != selection.shape:
            raise ValueError(f"the array has shape {out.shape}, but the result has {selection.shape}")
        if not out.flags.writeable:
            raise ValueError("the array is read-only")
        if not np.can_cast(self.dtype, out.dtype, "same_kind"):
            raise TypeError(f"{self.dtype} cannot be converted to {out.dtype}, the array's type")
        self._read(selection, out)

    def blocks(
        self, function: Callable[[int, Array], Result], block_bytes: int = _BLOCK_BYTES
    ) -> Generator[tuple[range, Future[Result]], None, None]:
        """Do something with every block of rows, on all cores.

        Parameters
        ----------
        function : callable
            Called with the number of a block's first row and the block, in any order, from any thread. A block is
            contiguous, of whole chunks, and the function's to keep.
        block_bytes : int
            Size of a block, at the least one chunk along the first axis.

        Yields
        ------
        rows : range
        future : concurrent.futures.Future
            What the function returned, or raised; ContractError where the block cannot be decoded. Blocks come in
            order, and are read a few ahead.
        """
        calls = (self.block_call(rows, function) for rows in self.block_ranges(block_bytes))
        futures = self._workers.in_order(
            calls, most_ahead(self.threads, self._block_rows(block_bytes) * self._row_bytes)
        )
        yield from zip(self.block_ranges(block_bytes), futures, strict=True)

    def block_ranges(self, block_bytes: int = _BLOCK_BYTES) -> Iterator[range]:
        """Give the rows of every block, see `blocks`."""
        step = self._block_rows(block_bytes)
        return (range(first, min(first + step, self.shape[0])) for first in range(0, self.shape[0], step))

    def block_call(self, rows: range, function: Callable[[int, Array], Result]) -> Callable[[], Result]:
        """Return what does something with a block, on any thread; called in order, where HDF5 may be called."""
        self._require_open()
        shape = (len(rows), *self.shape[1:])
        try:
            if self._lies_in_one_chunk(shape):
                whole = tuple(slice(0, length, 1) for length in shape)
                piece = Piece((rows.start, *(0 for _ in self.shape[1:])), whole, whole)
                return partial(self._decode_chunk, *self._road.fetch(piece), rows.start, function)
            selection = Selection((rows, *map(range, self.shape[1:])), (False,) * len(shape))
            block = self._new_array(shape)  # before the chunks are fetched: it may not fit in memory
            fetched = list(map(self._road.fetch, pieces(selection, self._road.chunk_shape)))
        except ContractError as error:
            return partial(_fail, error)
        return partial(self._decode_block, fetched, block, rows.start, function)

    def _block_rows(self, block_bytes: int) -> int:
        chunk_rows = self._road.chunk_shape[0]
        return chunk_rows * max(1, block_bytes // max(1, chunk_rows * self._row_bytes))

    def _new_array(self, shape: tuple[int, ...]) -> Array:
        with reading(self._dataset):
            try:
                return np.empty(shape, self.dtype)
            except ValueError as error:  # more elements than there are addresses
                raise MemoryError from error

    def _require_open(self) -> None:
        if not self._dataset:  # h5py's objects are false once their file is closed
            raise ContractError(
                self._file, "the file is closed; read before closing it, or open it again", key=self._name
            )

    def _read(self, selection: Selection, out: Array) -> None:
        self._require_open()
        result = selection.with_all_axes(out)
        if self._lies_in_one_row_of_chunks(selection):
            self._read_kept(selection, result)
            return
        wanted = pieces(selection, self._road.chunk_shape)
        share = result.nbytes // (self._workers.threads * _CALLS_PER_THREAD)
        count = max(1, min(max(share, _CALL_BYTES), _MOST_CALL_BYTES) // max(1, self._chunk_bytes))
        calls = (partial(self._place, fetched, result) for fetched in self._fetched(wanted, count))
        for future in self._workers.in_order(calls):
            future.result()

    def _fetched(self, wanted: Iterator[Piece], count: int) -> Iterator[list[tuple[Piece, Any]]]:
        """Fetch pieces, a few at a time."""
        while group := [self._road.fetch(piece) for piece in itertools.islice(wanted, count)]:
            yield group

    def _place(self, fetched: list[tuple[Piece, Any]], result: Array) -> None:
        for piece, data in fetched:
            place = self._place_of(piece, result)
            decoded = self._decode(piece, data, whole=False, place=place)
            if decoded is not place:
                piece.copy(decoded, result)

    def _place_of(self, piece: Piece, result: Array) -> Array | None:
        """Return where in the result a whole chunk can be decoded; None where it has no such place."""
        if self._recipe is not None or result.dtype != self.dtype:
            return None
        return piece.place(self._road.chunk_shape, result)

    def _decode(self, piece: Piece, fetched: Any, whole: bool = True, place: Array | None = None) -> Array:
        return self._converted(self._road.decode(piece, fetched, whole or self._recipe is not None, place))

    def _converted(self, stored: Array) -> Array:
        if self._recipe is None:
            return stored
        try:
            return self._recipe.to_amplitudes(np.asarray(stored))
        except MemoryError as error:
            raise ContractError(self._file, "does not fit in memory", key=self._name) from error

    def _lies_in_one_row_of_chunks(self, selection: Selection) -> bool:
        rows, length = selection.axes[0], self._road.chunk_shape[0]
        if isinstance(self._road, _BlocksByHdf5) or not len(rows):
            return False
        if not isinstance(rows, range) or rows[0] // length != rows[-1] // length:
            return False
        chunks = math.prod(-(-n // step) for n, step in zip(self.shape[1:], self._road.chunk_shape[1:], strict=True))
        return bool(chunks * self._chunk_bytes <= _KEPT_BYTES)

    def _read_kept(self, selection: Selection, result: Array) -> None:
        """Read from the chunks that were decoded for the row before, where they are the same.

        Of a chunk that is met for the first time only what is wanted is decoded, if its filter can do that, and it is
        not the chunk after the one before: who reads one row after the other wants the rest of it, too.
        """
        wanted = list(pieces(selection, self._road.chunk_shape))
        first = wanted[0].offset[0] if wanted else 0
        is_next = self._met is not None and first in (self._met, self._met + self._road.chunk_shape[0])
        self._met = first
        if not is_next and len(wanted) == 1 and self._road.decodes_parts and self._recipe is None:
            self._place([self._road.fetch(wanted[0])], result)
            return
        kept = {offset: chunk for offset, chunk in self._kept.items() if offset[0] == first}
        missing = [self._road.fetch(piece) for piece in wanted if piece.offset not in kept]
        calls = [partial(self._decode, piece, data) for piece, data in missing]
        run = self._workers.in_order if len(calls) > 1 else done_here
        decoded = [future.result() for future in run(calls)]
        kept |= {piece.offset: chunk for (piece, _), chunk in zip(missing, decoded, strict=True)}
        self._kept = kept
        for piece in wanted:
            piece.copy(kept[piece.offset], result)

    def _lies_in_one_chunk(self, shape: tuple[int, ...]) -> bool:
        """Whether rows are one chunk, or its first rows: the chunk is then used as a block, without a copy."""
        return 0 not in shape and shape[0] <= self._road.chunk_shape[0] and shape[1:] == self._road.chunk_shape[1:]

    def _decode_chunk(self, piece: Piece, data: Any, first: int, function: Callable[[int, Array], Result]) -> Result:
        block = self._decode(piece, data)[piece.source]
        return function(first, block if block.flags.writeable else block.copy())

    def _decode_block(
        self, fetched: list[tuple[Piece, Any]], block: Array, first: int, function: Callable[[int, Array], Result]
    ) -> Result:
        self._place(fetched, block)
        return function(first, block)


def _road(dataset: h5py.Dataset, accept_damage: bool, verify: bool) -> _Road:
    with reading(dataset):
        if is_stored_as_in_memory(dataset):
            with suppress(FilterError):
                if is_sharded(dataset):
                    return ShardedChunks(dataset, accept_damage, verify)
                if dataset.chunks and not dataset.is_virtual:
                    return EncodedChunks(dataset, accept_damage, stored_row_checksums(dataset) if verify else None)
        return _BlocksByHdf5(dataset)


def is_stored_as_in_memory(dataset: h5py.Dataset) -> bool:
    """Whether the elements are numbers, and have the same bytes in the file as in NumPy's arrays."""
    if dataset.dtype.kind not in "biufc" or not dataset.dtype.itemsize:
        return False
    return bool(dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype, logical=True))


def _is_plain(selection: Selection) -> bool:
    """Whether HDF5 understands the selection."""
    return all(isinstance(axis, range) and axis.step > 0 for axis in selection.axes)


def _fail(error: ContractError) -> Any:
    raise error
