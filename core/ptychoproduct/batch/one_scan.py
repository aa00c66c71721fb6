"""One very large scan on a cluster: workers read and encode ranges of frames, one writer here writes the chunks.

Chunks are written in order, as by `write_rows`, so that the product is byte for byte the same. A range is a task: Dask
gives it to another worker where one dies. The number of ranges that are not written yet is limited: the memory that
they take is the workers', and here there is one range at a time.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from ptychoproduct.aliases import Array, Progress
from ptychoproduct.batch.cluster import LOST, MOST_KILLED
from ptychoproduct.compression.filters import filters_of
from ptychoproduct.convert.export import ExportChoices, export_product_from_scan
from ptychoproduct.errors import OptionError, ProductError, SourceError
from ptychoproduct.model.counts import InexactError
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.product.summary import ExportSummary
from ptychoproduct.scan.scan_files import ScanFiles, opened_scan
from ptychoproduct.streaming.chunk_stream import ChunkStream, Convert, RowOutput, write_rows
from ptychoproduct.streaming.dataset_rows import DatasetRows
from ptychoproduct.streaming.sources import Access, RowSource, WindowedSource, row_bytes_of
from ptychoproduct.streaming.stored_rows import StoredRows
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.damage import require_undamaged_products

if TYPE_CHECKING:
    from distributed import Client

# Of frames that are encoded in one task: large beside the milliseconds that a task costs.
_RANGE_BYTES = 32 * 1024**2
# Ranges for each thread of the cluster that are not written yet.
_AHEAD = 2
_Place = tuple[tuple[int, ...], int, int]  # offset, number of bytes, filter mask
# Bytes of all chunks in one array: Dask sends an array without copying it, and half as fast again as many objects.
_Encoded = tuple[list[_Place], Array, dict[int, tuple[int, int]], InexactError | None]


def export_on_cluster(
    client: Client,
    files: ScanFiles,
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    reorder_progress: Progress | None = None,  # noqa: ARG001 - of `export_product_from_files`; nothing is reordered
    **choices: Unpack[ExportChoices],
) -> ExportSummary:
    """Convert a scan on a cluster; the product is that of `export_product_from_files`, byte for byte.

    Parameters
    ----------
    client : distributed.Client
    files : ScanFiles
        On a file system that all workers have under the same names.
    out_path, meta, include_raw
        As in `export_product_from_npz`. Only this process writes.
    reorder_progress : callable, optional
        Not called.
    **choices : optional
        The fields of `ExportChoices`, as keywords.

    Raises
    ------
    OptionError
        Frames can only be read in order, or have to be on one machine for what the options ask for.
    SourceError, OutputError
        As in `export_product_from_files`.
    """
    options = choices.get("options") or ExportOptions()
    if choices.get("diffraction") is not None:
        raise OptionError("cluster", "cannot make a patterns file; convert without --cluster")
    if options.verify or options.digests_frames:
        name = "verify" if options.verify else "digests"
        advice = "leave it out (--no-digest with --compression archive), and use `ptychoproduct repack --digest` later"
        raise OptionError(name, f"needs all frames on one machine, so it cannot be used with --cluster; {advice}")
    if files.accept_damage:
        raise OptionError("accept_damage", "reads all frames first, so it cannot be used with --cluster")
    resources = Resources(options.threads or available_threads(), options.memory_bytes)
    require_undamaged_products(files)
    with opened_scan(files, resources, include_raw) as scan:
        if include_raw and scan.frames is not None:
            write = partial(_write_rows, client, files, options.memory_bytes)
            scan = replace(scan, frames=replace(scan.frames, write_rows=write))
        return export_product_from_scan(scan, out_path, meta, include_raw, **choices)


@dataclass(frozen=True)
class _Encoding:
    """All that a worker needs to know to encode frames.

    Parameters
    ----------
    token : str
        Of this pass over the scan.
    files : ScanFiles
    axes : tuple of int
        The stack's axes that are N, H and W.
    memory_bytes : int
    shape, chunks, dtype, filters
        Of the product's dataset.
    convert : callable, optional
        See `Convert`.
    """

    token: str
    files: ScanFiles
    axes: tuple[int, ...]
    memory_bytes: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    filters: list[Any]
    convert: Convert | None


class _CollectedDataset:
    """Stands for the product's dataset on a worker: what is written to it is kept, to be sent to the writer."""

    def __init__(self, encoding: _Encoding) -> None:
        self.shape = self.maxshape = encoding.shape
        self.chunks = encoding.chunks
        self.dtype = encoding.dtype
        self.id = self
        self._filters = encoding.filters
        self.places: list[_Place] = []
        self.data: list[Any] = []

    def get_create_plist(self) -> _CollectedDataset:
        return self

    def get_nfilters(self) -> int:
        return len(self._filters)

    def get_filter(self, number: int) -> Any:
        return self._filters[number]

    def write_direct_chunk(self, offset: tuple[int, ...], data: Any, filter_mask: int) -> None:
        self.places.append((offset, len(data), filter_mask))
        self.data.append(data)


def _write_rows(
    client: Client,
    files: ScanFiles,
    memory_bytes: int,
    axes: Sequence[int],
    outputs: Sequence[RowOutput],
    rows: RowSource,
    resources: Resources,
    firsts: Any = None,
) -> None:
    """Write rows as `write_rows` does, encoded on the cluster."""
    if firsts is not None:  # the rest of chunks that were copied
        write_rows(outputs, rows, resources, firsts)
        return
    _require_any_range(rows, files)
    (output,) = outputs
    dataset = output.dataset
    encoding = _Encoding(
        uuid.uuid4().hex,
        files,
        tuple(axes),
        memory_bytes,
        dataset.shape,
        dataset.chunks,
        dataset.dtype,
        filters_of(dataset),
        output.convert,
    )
    waiting = deque(_ranges(rows, dataset.chunks[0]))
    running: deque[tuple[range, Any]] = deque()
    try:
        while waiting or running:
            with _cluster_errors(files):
                while waiting and len(running) < _AHEAD * max(1, sum(client.nthreads().values())):
                    part = waiting.popleft()
                    key = f"frames-{encoding.token}-{part.start}"
                    running.append((part, client.submit(encode_range, encoding, part, key=key, pure=False)))
                part, future = running[0]
                places, data, checksums, error = future.result()
            running.popleft()
            start = 0
            for offset, nbytes, filter_mask in places:
                dataset.id.write_direct_chunk(offset, data[start : start + nbytes], filter_mask)
                start += nbytes
            if error is not None:
                raise error
            if isinstance(rows, StoredRows):
                rows.add_checksums(checksums)
            del future, data  # its worker may forget it
            resources.progress(len(part) * row_bytes_of(rows))
    finally:
        with suppress(OSError, ValueError):
            client.cancel([future for _, future in running])
            client.run(forget, encoding.token, on_error="ignore")
    rows.finish()


def _ranges(rows: RowSource, chunk_rows: int) -> list[range]:
    """Cut rows into ranges of whole chunks."""
    step = chunk_rows * max(1, _RANGE_BYTES // (chunk_rows * row_bytes_of(rows)))
    count = rows.shape[0]
    return [range(first, min(first + step, count)) for first in range(0, count, step)]


def _require_any_range(rows: RowSource, files: ScanFiles) -> None:
    """Raise OptionError where frames cannot be read from the middle."""
    if isinstance(rows, WindowedSource) or not isinstance(rows, StoredRows | DatasetRows):
        problem = "the axes of these frames have to be reordered"
    elif rows.access is Access.IN_ORDER:
        problem = "these frames are deflated, and can only be read in order"
    else:
        return
    advice = "write them anew, not compressed and with frames as the first axis (numpy.savez), or leave out --cluster"
    raise OptionError("cluster", f"{problem}; {advice}", file=files.path)


@contextmanager
def _cluster_errors(files: ScanFiles) -> Iterator[None]:
    from distributed.scheduler import KilledWorker

    try:
        yield
    except KilledWorker as error:
        problem = f"{MOST_KILLED} workers died over the same frames, most likely for want of memory"
        raise ProductError(files.path, problem) from error
    except (OSError, CancelledError) as error:
        raise OptionError("cluster", LOST) from error


_open: dict[tuple[str, int], tuple[ExitStack, RowSource]] = {}
_open_lock = threading.Lock()


def encode_range(encoding: _Encoding, part: range) -> _Encoded:
    """Read and encode a range of frames, on one thread of a worker.

    Returns
    -------
    list of tuple
        Offset, size and filter mask of the chunks; of those before the one that is not exact, where one is not.
    array of uint8
        The chunks, one behind the other.
    dict
        Checksums of what was read, see `StoredRows.take_checksums`.
    InexactError or None
        The chunks before it are written by one machine, too, and leave the same gap in the file.
    """
    rows = _rows(encoding)
    collected: Any = _CollectedDataset(encoding)
    error = None
    try:
        with ChunkStream([RowOutput(collected, encoding.convert)], rows.dtype, Resources(1)) as stream:
            stream.submit_rows(rows, part)
    except InexactError as found:
        error = found
    except OSError as lost:  # an error of this kind that reaches the client is one of the connection
        raise SourceError(encoding.files.path, f"cannot be read: {lost.strerror or lost}") from lost
    data = np.frombuffer(b"".join(collected.data), np.uint8)
    return collected.places, data, rows.take_checksums() if isinstance(rows, StoredRows) else {}, error


def _rows(encoding: _Encoding) -> RowSource:
    """Return the frames, opened once for each thread, as not all kinds of rows may be read from several."""
    key = (encoding.token, threading.get_ident())
    with _open_lock:
        found = _open.get(key)
    if found is None:
        with ExitStack() as stack:
            resources = Resources(1, encoding.memory_bytes)
            scan = stack.enter_context(opened_scan(encoding.files, resources))
            assert scan.frames is not None
            found = stack.pop_all(), scan.frames.rows(encoding.axes)
        with _open_lock:
            _open[key] = found
    return found[1]


def forget(token: str) -> None:
    """Close what a worker has opened for a pass over a scan."""
    with _open_lock:
        stacks = [_open.pop(key)[0] for key in list(_open) if key[0] == token]
    for stack in stacks:
        stack.close()
