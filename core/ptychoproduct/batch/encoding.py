"""What a worker does for one very large scan: it reads and encodes ranges of frames, or writes a shard of them."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.batch.cluster import Cancelled, reported_progress
from ptychoproduct.batch.jobs import file_digest
from ptychoproduct.batch.sources import absolute_name
from ptychoproduct.compression.codecs import Codec
from ptychoproduct.compression.filters import filters_of
from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.chunks import create_chunked
from ptychoproduct.hdf5.output import hdf5_errors, new_hdf5_file
from ptychoproduct.hdf5.shard_layout import SHARD_DATASET
from ptychoproduct.model.counts import CountsRecipe, InexactError
from ptychoproduct.scan.scan import FramesToWrite
from ptychoproduct.scan.scan_files import ScanFiles, opened_scan
from ptychoproduct.streaming.chunk_stream import ChunkStream
from ptychoproduct.streaming.chunk_target import Convert, RowOutput
from ptychoproduct.streaming.sources import RowSource, row_bytes_of
from ptychoproduct.streaming.stored_rows import StoredRows
from ptychoproduct.system.atomic import atomic_output
from ptychoproduct.system.process import prepare_process
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.row_checksums import checked_counts, checked_rows

if TYPE_CHECKING:
    from distributed import Client

# Of frames that are encoded at once: large beside the milliseconds that a task costs.
RANGE_BYTES = 64 * 1024**2
# Fields of `ScanFiles` that may be names of files.
_FILES = ("path", "positions", "probe", "object", "mask", "frames")
Place = tuple[tuple[int, ...], int, int]  # offset, number of bytes, filter mask
Store = Callable[[tuple[int, ...], Any, int], None]  # as `write_direct_chunk`


@dataclass(frozen=True)
class Encoding:
    """All that a worker needs to know to encode frames.

    Parameters
    ----------
    token : str
        Of this pass over the scan.
    files : ScanFiles
    axes : tuple of int
        The stack's axes that are N, H and W.
    memory_bytes : int
    shape, chunks, dtype, codec, filters
        Of the product's dataset.
    recipe : CountsRecipe or None
        What makes counts of the frames.
    range_bytes : int
        Of frames that are encoded at once.
    has_digests : bool
        Whether another run may go on from what is done.
    """

    token: str
    files: ScanFiles
    axes: tuple[int, ...]
    memory_bytes: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    codec: Codec
    filters: list[Any]
    recipe: CountsRecipe | None
    range_bytes: int
    has_digests: bool

    @classmethod
    def of(
        cls, frames: FramesToWrite, files: ScanFiles, memory_bytes: int, range_bytes: int, has_digests: bool
    ) -> Encoding:
        """Return what workers need for frames of these files."""
        dataset = frames.dataset
        named = {name: absolute_name(getattr(files, name)) for name in _FILES}
        return cls(
            uuid.uuid4().hex,
            replace(files, **named),
            tuple(frames.axes),
            memory_bytes,
            dataset.shape,
            dataset.chunks,
            dataset.dtype,
            frames.codec,
            filters_of(dataset),
            frames.recipe,
            range_bytes,
            has_digests,
        )

    @property
    def stored_as(self) -> str:
        """What decides about the bytes of the chunks, besides the scan."""
        return repr((self.axes, self.shape, self.chunks, self.dtype, self.filters, self.recipe))

    def ranges(self, rows: range, row_bytes: int) -> list[range]:
        """Cut rows into ranges of whole chunks."""
        step = self.chunks[0] * max(1, self.range_bytes // (self.chunks[0] * row_bytes))
        return [range(first, min(first + step, rows.stop)) for first in range(rows.start, rows.stop, step)]


@dataclass(frozen=True)
class Encoded:
    """What has become of a range of frames.

    Parameters
    ----------
    places : list of tuple
        Offset, size and filter mask of the chunks; of those before the one that is not exact, where one is not.
    data : array of uint8
        The chunks, one behind the other: Dask sends an array without copying it, and that is half as fast again.
    digest : str
        SHA-256 of the data, or of the shard that it is in; "" where none is wanted.
    checksums : array, [n], uint32
        Of the frames as they are stored.
    source_checksums : dict
        Of what was read, see `StoredRows.take_checksums`.
    nbytes : int
        Size of the shard.
    error : InexactError or None
        The chunks before it are written by one machine, too, and leave the same gap in the file.
    """

    places: list[Place]
    data: Array
    digest: str
    checksums: Array
    source_checksums: dict[int, tuple[int, int]]
    nbytes: int = 0
    error: InexactError | None = None


class _CollectedDataset:
    """Stands for the product's dataset: what is written to it is stored elsewhere."""

    def __init__(self, encoding: Encoding, store: Store) -> None:
        self.shape = self.maxshape = encoding.shape
        self.chunks = encoding.chunks
        self.dtype = encoding.dtype
        self.id = self
        self._filters = encoding.filters
        self.write_direct_chunk = store

    def get_create_plist(self) -> _CollectedDataset:
        return self

    def get_nfilters(self) -> int:
        return len(self._filters)

    def get_filter(self, number: int) -> Any:
        return self._filters[number]


def encode_range(encoding: Encoding, part: range) -> Encoded:
    """Read and encode a range of frames, on one thread of a worker."""
    prepare_process()
    places: list[Place] = []
    chunks: list[Any] = []

    def store(offset: tuple[int, ...], data: Any, filter_mask: int) -> None:
        places.append((offset, len(data), filter_mask))
        chunks.append(data)

    error, checksums = None, np.zeros(0, np.uint32)
    source_checksums: dict[int, tuple[int, int]] = {}
    try:
        with _source_errors(encoding):
            checksums, source_checksums = _encode(encoding, part, store)
    except InexactError as found:
        error = found
    data = np.frombuffer(b"".join(chunks), np.uint8)
    digest = hashlib.sha256(data, usedforsecurity=False).hexdigest() if encoding.has_digests else ""
    return Encoded(places, data, digest, checksums, source_checksums, error=error)


def write_shard(encoding: Encoding, part: range, path: Path, topic: str, known_digest: str | None) -> Encoded | None:
    """Read, encode and write a range of frames as a shard, on one thread of a worker.

    Parameters
    ----------
    encoding : Encoding
    part : range
        It begins with a chunk.
    path : Path
        In a folder that is there.
    topic : str
        See `reported_progress`.
    known_digest : str or None
        Of a shard that an earlier run has written.

    Returns
    -------
    Encoded or None
        None where the shard is there, with the digest that is known.
    """
    prepare_process()
    with reported_progress(topic) as progress:
        progress(0)
        with _rows(encoding) as rows:
            row_bytes = row_bytes_of(rows)
        if known_digest is not None and path.is_file() and file_digest(path) == known_digest:
            progress(len(part) * row_bytes)
            return None
        if not path.parent.is_dir():  # the client has removed it
            raise SourceError(path, "the conversion has been ended")
        checksums = []
        source_checksums: dict[int, tuple[int, int]] = {}
        try:
            with atomic_output(path) as unfinished:
                with new_hdf5_file(unfinished, path) as (file, output), hdf5_errors(path, output):
                    row_shape, chunks = encoding.shape[1:], encoding.chunks
                    dataset = create_chunked(
                        file, SHARD_DATASET, row_shape, encoding.dtype, encoding.codec, len(part), chunks
                    )

                    def store(offset: tuple[int, ...], data: Any, filter_mask: int) -> None:
                        dataset.id.write_direct_chunk((offset[0] - part.start, *offset[1:]), data, filter_mask)

                    for some in encoding.ranges(part, row_bytes):
                        with _source_errors(encoding):
                            its_checksums, its_source_checksums = _encode(encoding, some, store)
                        checksums.append(its_checksums)
                        source_checksums |= its_source_checksums
                        output.check()
                        progress(len(some) * row_bytes)
                digest = file_digest(unfinished) if encoding.has_digests else ""
        except InexactError as error:
            return Encoded([], np.zeros(0, np.uint8), "", np.zeros(0, np.uint32), {}, error=error)
    nbytes = path.stat().st_size
    return Encoded([], np.zeros(0, np.uint8), digest, np.concatenate(checksums), source_checksums, nbytes)


def _encode(encoding: Encoding, part: range, store: Store) -> tuple[Array, dict[int, tuple[int, int]]]:
    """Read and encode a range of frames; return their checksums, and those of what was read."""
    recipe = encoding.recipe
    checksums = np.zeros(len(part), np.uint32)
    has_whole_rows = encoding.chunks[1:] == encoding.shape[1:]
    with _rows(encoding) as rows:
        source = rows
        convert: Convert | None = None if recipe is None else recipe.convert
        if recipe is not None and has_whole_rows:
            convert = checked_counts(recipe, checksums, part.start)
        else:
            source = checked_rows(rows, checksums, recipe, part.start)
        dataset: Any = _CollectedDataset(encoding, store)
        with ChunkStream([RowOutput(dataset, convert)], rows.dtype, Resources(1)) as stream:
            stream.submit_rows(source, part)
        return checksums, rows.take_checksums() if isinstance(rows, StoredRows) else {}


@contextmanager
def _source_errors(encoding: Encoding) -> Iterator[None]:
    """An error of the system that reaches the client is one of the connection."""
    try:
        yield
    except OSError as lost:
        raise SourceError(encoding.files.path, f"cannot be read: {lost.strerror or lost}") from lost


@dataclass(frozen=True)
class _Opened:
    """The frames of a scan, open for one thread."""

    rows: RowSource
    closing: ExitStack
    in_use: threading.Lock


_open: dict[tuple[str, int], _Opened] = {}
_ended: set[str] = set()
_open_lock = threading.Lock()


@contextmanager
def _rows(encoding: Encoding) -> Iterator[RowSource]:
    """Give the frames, opened once for each thread, as not all kinds of rows may be read from several."""
    key = (encoding.token, threading.get_ident())
    with _open_lock:
        if encoding.token in _ended:
            raise Cancelled
        found = _open.get(key)
    if found is None:
        with ExitStack() as stack, _source_errors(encoding):
            resources = Resources(1, encoding.memory_bytes)
            scan = stack.enter_context(opened_scan(encoding.files, resources))
            assert scan.frames is not None
            found = _Opened(scan.frames.rows(encoding.axes), stack.pop_all(), threading.Lock())
        with _open_lock:
            _open[key] = found
    with found.in_use:
        yield found.rows


def forget(token: str) -> None:
    """Close what a worker has opened for a pass over a scan, when it is not read any more, and begin nothing new."""
    with _open_lock:
        _ended.add(token)
        found = [_open.pop(key) for key in list(_open) if key[0] == token]
    for opened in found:
        with opened.in_use:
            opened.closing.close()


def forget_everywhere(client: Client, token: str) -> None:
    """Have all workers forget a pass over a scan."""
    with suppress(OSError, ValueError):
        client.run(forget, token, on_error="ignore")
