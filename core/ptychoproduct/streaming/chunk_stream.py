"""Rows in, compressed chunks out: every core encodes, and the one that has the next chunk writes it.

source ─→ ChunkBuffer ─→ filter pipeline, on every core, no Python lock ─→ write_direct_chunk, in order ─→ file

One pass over a source can fill several datasets. Where the chunks of all of them are the same whole rows, each core
reads the rows of a chunk and encodes them. Otherwise blocks of rows are read, one ahead, and cut into chunks on all
cores.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.streaming.chunk_target import ChunkTarget, RowOutput
from ptychoproduct.streaming.sources import RowSource, windows_of
from ptychoproduct.system.ordered_tasks import OrderedTasks
from ptychoproduct.system.resources import Resources
from ptychoproduct.system.workers import Workers, most_ahead
from ptychoproduct_native import ChunkBuffer

# Of a block that is cut into chunks; large enough that no core waits for the next one.
_BLOCK_BYTES = 8 * 1024**2


class ChunkStream:
    """Writes the chunks of datasets that are filled from the same rows.

    A context manager: leaving it waits for all chunks, or drops them if there was an error. A dataset that can grow
    does so by whole chunks.

    Parameters
    ----------
    outputs : sequence of RowOutput
        At least one; the datasets have the shape of the rows.
    dtype : numpy.dtype
        Of the rows.
    resources : Resources
        Threads and progress.

    Attributes
    ----------
    row_bytes : int
        Size of a row.
    block_rows : int
        Rows that are taken at once; a multiple of those of every chunk.
    """

    def __init__(self, outputs: Sequence[RowOutput], dtype: np.dtype[Any], resources: Resources) -> None:
        self._targets = [ChunkTarget(output, dtype) for output in outputs]
        self._dtype = dtype
        self._row_shape = self._targets[0].row_shape
        self.row_bytes = math.prod(self._row_shape) * dtype.itemsize
        self.block_rows = math.lcm(*(target.chunk_shape[0] for target in self._targets))
        block_shape = (self.block_rows, *self._row_shape)
        self._chunks_are_blocks = all(target.chunk_shape == block_shape for target in self._targets)
        if self._chunks_are_blocks:
            most_waiting = most_ahead(resources.threads, self.block_rows * self.row_bytes)
        else:
            self.block_rows *= max(1, _BLOCK_BYTES // (self.block_rows * self.row_bytes))
            chunks = sum(len(list(target.offsets(range(self.block_rows)))) for target in self._targets)
            most_waiting = most_ahead(resources.threads, 0) + chunks  # the cores have work while the next block is read
        self._readers = Workers(resources.threads, "read")
        self._tasks = OrderedTasks(resources.threads, most_waiting, self._write, resources.progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._readers:
            self._tasks.__exit__(kind, error, trace)

    def drain(self) -> None:
        """Write all chunks that were submitted."""
        self._tasks.drain()

    def submit_rows(self, source: RowSource, rows: range, firsts: Collection[int] | None = None) -> None:
        """Read rows, and encode them.

        Parameters
        ----------
        source : RowSource
        rows : range
            They can be read now, and begin at a multiple of `block_rows`.
        firsts : collection of int, optional
            First rows of the blocks that are wanted; all by default.
        """
        starts = [first for first in rows[:: self.block_rows] if firsts is None or first in firsts]
        blocks = [range(first, min(first + self.block_rows, rows.stop)) for first in starts]
        if not source.access.has_many_threads:
            for block in blocks:
                self.submit_block(block, self._read(source, block))
        elif self._chunks_are_blocks:
            for block in blocks:
                task = partial(self._read_and_encode, source, block)
                self._tasks.submit(task, len(block) * self.row_bytes, is_small=True)
        else:
            for block, elements in self._read_ahead(source, blocks):
                self.submit_block(block, elements)

    def submit_block(self, rows: range, elements: ChunkBuffer) -> None:
        """Encode a block whose first rows have been filled; the rest of it becomes zeros."""
        if self._chunks_are_blocks:
            self._tasks.submit(partial(self._encode, rows.start, elements), len(rows) * self.row_bytes)
            return
        block = np.frombuffer(elements, self._dtype).reshape(-1, *self._row_shape)
        chunks = [(target, offset) for target in self._targets for offset in target.offsets(rows)]
        for number, (target, offset) in enumerate(chunks, 1):
            done = len(rows) if number == len(chunks) else 0
            self._tasks.submit(partial(_cut_and_encode, target, offset, block, rows.start), done * self.row_bytes)

    def new_block(self) -> ChunkBuffer:
        """Return memory for a block, not initialised."""
        return ChunkBuffer(self.block_rows * self.row_bytes)

    def _read(self, source: RowSource, rows: range) -> ChunkBuffer:
        elements = self.new_block()
        source.read_into(rows.start, memoryview(elements)[: len(rows) * self.row_bytes])
        clear_rest(elements, len(rows) * self.row_bytes)
        return elements

    def _read_ahead(self, source: RowSource, blocks: Sequence[range]) -> Iterator[tuple[range, ChunkBuffer]]:
        """Give blocks one after the other; the next is read on all cores meanwhile."""
        reading: deque[tuple[range, ChunkBuffer, list[Future[None]]]] = deque()
        for rows in [*blocks, None]:
            if rows is not None:
                elements = self.new_block()
                clear_rest(elements, len(rows) * self.row_bytes)
                step = -(-len(rows) // self._readers.threads)
                calls = [
                    partial(self._read_part, source, rows.start, elements, range(first, min(first + step, rows.stop)))
                    for first in rows[::step]
                ]
                reading.append((rows, elements, list(map(self._readers.submit, calls))))
            if reading and (rows is None or len(reading) > 1):
                done, elements, parts = reading.popleft()
                for part in parts:
                    part.result()
                yield done, elements

    def _read_part(self, source: RowSource, block_start: int, elements: ChunkBuffer, rows: range) -> None:
        """Read some rows of a block to their place."""
        start = (rows.start - block_start) * self.row_bytes
        source.read_into(rows.start, memoryview(elements)[start : start + len(rows) * self.row_bytes])

    def _read_and_encode(self, source: RowSource, rows: range) -> list[_Encoded]:
        return self._encode(rows.start, self._read(source, rows))

    def _encode(self, first: int, elements: ChunkBuffer) -> list[_Encoded]:
        """Encode a block that is a chunk of each dataset; the last dataset may use the block's memory."""
        offset = (first, *(0 for _ in self._row_shape))
        last = self._targets[-1]
        return [(target, offset, target.encode(offset, elements, target is not last)) for target in self._targets]

    def _write(self, encoded: list[_Encoded]) -> None:
        """Write chunks; called in order, by one thread at a time, as the kernel lets one write to a file."""
        for target, offset, (data, filter_mask) in encoded:
            target.write(offset, data, filter_mask)


class RowAppender:
    """Writes rows that come in blocks of any size, whose number is not known beforehand.

    A context manager: leaving it with an error drops what is not written yet.

    Parameters
    ----------
    output : RowOutput
        A dataset made without a number of rows.
    dtype : numpy.dtype
        Of the rows.
    resources : Resources
        Threads and progress.
    """

    def __init__(self, output: RowOutput, dtype: np.dtype[Any], resources: Resources) -> None:
        self._dataset = output.dataset
        self._stream = ChunkStream([output], dtype, resources)
        self._block: ChunkBuffer | None = None
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.__exit__(kind, error, trace)

    def append(self, source: RowSource) -> None:
        """Append all rows of a source."""
        stream = self._stream
        taken = 0
        while taken < source.shape[0]:
            if self._block is None:
                self._block = stream.new_block()
            filled = self.rows % stream.block_rows
            count = min(stream.block_rows - filled, source.shape[0] - taken)
            start = filled * stream.row_bytes
            source.read_into(taken, memoryview(self._block)[start : start + count * stream.row_bytes])
            taken += count
            self.rows += count
            if self.rows % stream.block_rows == 0:
                stream.submit_block(range(self.rows - stream.block_rows, self.rows), self._block)
                self._block = None

    def drain(self) -> None:
        """Write all chunks that are full."""
        self._stream.drain()

    def finish(self) -> None:
        """Write what is left, and give the dataset its length."""
        stream = self._stream
        if self._block is not None:
            filled = self.rows % stream.block_rows
            clear_rest(self._block, filled * stream.row_bytes)
            stream.submit_block(range(self.rows - filled, self.rows), self._block)
            self._block = None
        stream.__exit__(None, None, None)
        self._dataset.resize(self.rows, axis=0)


def write_rows(
    outputs: Sequence[RowOutput], source: RowSource, resources: Resources, firsts: Collection[int] | None = None
) -> None:
    """Write the rows of a source, and verify the source's checksums.

    Parameters
    ----------
    outputs : sequence of RowOutput
        Datasets of the source's shape, filled in one pass.
    source : RowSource
    resources : Resources
        Threads and progress.
    firsts : collection of int, optional
        Of a single dataset whose chunks are whole rows: first rows of the chunks to write; all by default. A source
        whose rows come in order has to have all.
    """
    with ChunkStream(outputs, source.dtype, resources) as stream:
        for window in windows_of(source, stream.block_rows):
            stream.submit_rows(source, window, firsts)
            stream.drain()
    source.finish()


def clear_rest(elements: ChunkBuffer, nbytes: int) -> None:
    """Fill everything after the first `nbytes` with zeros."""
    with memoryview(elements) as view:
        if nbytes < len(view):
            view[nbytes:] = bytes(len(view) - nbytes)


def _cut_and_encode(target: ChunkTarget, offset: tuple[int, ...], block: Array, first: int) -> list[_Encoded]:
    return [(target, offset, target.encode(offset, target.cut(offset, block, first)))]


_Encoded = tuple[ChunkTarget, tuple[int, ...], tuple[ChunkBuffer, int]]
