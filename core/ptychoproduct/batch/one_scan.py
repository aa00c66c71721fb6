"""One very large scan on a cluster: workers read and encode ranges of frames, one writer here writes the chunks.

Chunks are written in order, as by `write_rows`, so that the product is byte for byte the same. A range is a task: Dask
gives it to another worker where one dies. The number of ranges that are not written yet is limited: the memory that
they take is the workers', and here there is one range at a time. Or else each worker writes a file of its own, a shard.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Progress
from ptychoproduct.batch import encoding as worker
from ptychoproduct.batch.cluster import LOST, MOST_KILLED
from ptychoproduct.batch.encoding import Encoded, Encoding, encode_range, forget_everywhere
from ptychoproduct.batch.shards import shard_ranges, write_shards
from ptychoproduct.batch.unfinished import Unfinished, key_of, unfinished
from ptychoproduct.convert.export import ExportChoices, export_product_from_scan
from ptychoproduct.errors import OptionError, ProductError
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.product.summary import ExportSummary
from ptychoproduct.scan.scan import FramesToWrite
from ptychoproduct.scan.scan_files import ScanFiles, opened_scan
from ptychoproduct.streaming.chunk_target import place_chunk
from ptychoproduct.streaming.dataset_rows import DatasetRows
from ptychoproduct.streaming.sources import Access, RowSource, WindowedSource, row_bytes_of
from ptychoproduct.streaming.stored_rows import StoredRows
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.damage import require_undamaged_products
from ptychoproduct_native import OutputFile

if TYPE_CHECKING:
    from distributed import Client

# Ranges for each thread of the cluster that are not written yet.
_AHEAD = 3


def export_on_cluster(
    client: Client,
    files: ScanFiles,
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    shards: int | None = None,
    resume: bool = False,
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
        As in `export_product_from_npz`. Only this process writes, unless there are shards.
    shards : int, optional
        In how many files the workers write the frames; the product's dataset stands for them. None for one product.
    resume : bool
        Whether to go on with what a run that was killed has left, and to leave what is done if there is an error.
    reorder_progress : callable, optional
        Not called.
    **choices : optional
        The fields of `ExportChoices`, as keywords. A patterns file is made here, of frames that are read once more.

    Raises
    ------
    OptionError
        Frames can only be read in order, or have to be on one machine for what the options ask for.
    SourceError, OutputError
        As in `export_product_from_files`.
    """
    options = choices.get("options") or ExportOptions()
    if options.verify or options.digests_frames:
        name = "verify" if options.verify else "digests"
        advice = "leave it out (--no-digest with --compression archive), and use `ptychoproduct repack --digest` later"
        raise OptionError(name, f"needs all frames on one machine, so it cannot be used with --cluster; {advice}")
    if files.accept_damage:
        raise OptionError("accept_damage", "reads all frames first, so it cannot be used with --cluster")
    if shards is not None and shards < 1:
        raise OptionError("shards", found=str(shards), expected="at least 1")
    target = Path(out_path).resolve()
    same_bytes = replace(options, threads=None, memory_bytes=ExportOptions().memory_bytes, overwrite=True, force=False)
    resources = Resources(options.threads or available_threads(), options.memory_bytes)
    require_undamaged_products(files)
    has_frames = include_raw or choices.get("diffraction") is not None
    with opened_scan(files, resources, has_frames) as scan:
        key = key_of(scan.files, files, meta, include_raw, shards, same_bytes, choices.get("reconstruction"))
        with unfinished(target, key, resume=resume, has_shards=shards is not None) as record:
            if include_raw and scan.frames is not None:
                write = _Writing(client, files, options.memory_bytes, record, shards, has_digests=resume)
                scan = replace(scan, frames=replace(scan.frames, write_elsewhere=write))
            place = record.place(shards is not None)
            return export_product_from_scan(scan, out_path, meta, include_raw, place=place, **choices)


@dataclass(frozen=True)
class _Writing:
    """Writes frames on the cluster; see `WriteElsewhere`."""

    client: Client
    files: ScanFiles
    memory_bytes: int
    record: Unfinished
    shards: int | None
    has_digests: bool

    def __call__(self, frames: FramesToWrite) -> tuple[h5py.Dataset, Array]:
        _require_any_range(frames.rows, self.files)
        encoding = Encoding.of(frames, self.files, self.memory_bytes, worker.RANGE_BYTES, self.has_digests)
        self.record.begin(encoding.stored_as)
        try:
            with _cluster_errors(self.files):
                if self.shards is not None:
                    parts = shard_ranges(encoding.shape[0], encoding.chunks[0], self.shards)
                    frames.file.keep_rest(False)
                    return write_shards(self.client, encoding, parts, frames, self.record)
                return frames.dataset, self._write_in_order(frames, encoding)
        finally:
            forget_everywhere(self.client, encoding.token)

    def _write_in_order(self, frames: FramesToWrite, encoding: Encoding) -> Array:
        dataset, row_bytes = frames.dataset, row_bytes_of(frames.rows)
        checksums = np.zeros(encoding.shape[0], np.uint32)
        waiting = deque(encoding.ranges(range(encoding.shape[0]), row_bytes))
        with _left_as_they_are(frames.file):
            while waiting and (known := self.record.record(waiting[0])) is not None:
                if not _is_there(dataset, frames.file, self.record.part, known):
                    break
                part = waiting.popleft()
                checksums[part.start : part.stop] = self.record.checksums(part)
                self.record.add_source_checksums(part, frames.rows)
                frames.progress(len(part) * row_bytes)
        running: deque[tuple[range, Any]] = deque()
        try:
            while waiting or running:
                most = _AHEAD * max(1, sum(self.client.nthreads().values())) if waiting else 0
                while waiting and len(running) < most:
                    part = waiting.popleft()
                    key = f"frames-{encoding.token}-{part.start}"
                    running.append((part, self.client.submit(encode_range, encoding, part, key=key, pure=False)))
                part, future = running[0]
                found: Encoded = future.result()
                running.popleft()
                start = 0
                for offset, nbytes, filter_mask in found.places:
                    dataset.id.write_direct_chunk(offset, found.data[start : start + nbytes], filter_mask)
                    start += nbytes
                frames.file.check()
                if found.error is not None:
                    raise found.error
                self.record.add(part, found)
                checksums[part.start : part.stop] = found.checksums
                self.record.add_source_checksums(part, frames.rows)
                del future, found  # its worker may forget it
                frames.progress(len(part) * row_bytes)
        finally:
            with suppress(OSError, ValueError):
                self.client.cancel([future for _, future in running])
        frames.rows.finish()
        return checksums


@contextmanager
def _left_as_they_are(file: OutputFile) -> Iterator[None]:
    """Keep what an earlier run has written, as long as the block runs; cut off what is behind it then."""
    try:
        yield
    finally:
        file.keep_rest(False)


def _is_there(dataset: h5py.Dataset, file: OutputFile, part: Path, known: dict[str, Any]) -> bool:
    """Have HDF5 give the chunks of a range their places, and see that these hold what the record says.

    HDF5 gives the same places as in the run before, as it is asked in the same order.
    """
    digest = hashlib.sha256(usedforsecurity=False)
    anything = memoryview(bytes(max(nbytes for _, nbytes, _ in known["chunks"])))
    with part.open("rb") as written:
        for offset, nbytes, filter_mask in known["chunks"]:
            chunk = anything[:nbytes]
            place = place_chunk(dataset, tuple(offset), chunk, filter_mask, file)
            if place < 0:
                return False
            written.seek(place)
            digest.update(written.read(nbytes))
    return bool(digest.hexdigest() == known["sha256"])


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
