"""One very large scan in several files: each worker writes some, and the product's dataset stands for all of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.batch.cluster import progress_of, require_running, wait_for_one
from ptychoproduct.batch.encoding import Encoded, Encoding, forget_everywhere, write_shard
from ptychoproduct.batch.unfinished import Unfinished
from ptychoproduct.errors import OutputError
from ptychoproduct.hdf5.shard_layout import create_sharded, shard_name
from ptychoproduct.model.contract import SHARD_BYTES
from ptychoproduct.scan.scan import FramesToWrite
from ptychoproduct.streaming.sources import row_bytes_of
from ptychoproduct.system.part_files import remove_leftovers

if TYPE_CHECKING:
    from distributed import Client

_SETTLE_S = 10.0


def shard_ranges(rows: int, chunk_rows: int, shards: int) -> list[range]:
    """Cut rows into as many ranges of whole chunks, or into fewer where there are not so many chunks.

    The last one has what remains, besides whole chunks: a chunk is not larger than its dataset.
    """
    chunks = max(1, rows // chunk_rows)
    shards = min(shards, chunks)
    bounds = [chunks * number // shards * chunk_rows for number in range(shards)]
    return [range(first, stop) for first, stop in zip(bounds, [*bounds[1:], rows], strict=True)]


def write_shards(
    client: Client, encoding: Encoding, parts: list[range], frames: FramesToWrite, record: Unfinished
) -> tuple[h5py.Dataset, Array]:
    """Have frames written in shards, and put a dataset that stands for them in the place of the empty one.

    Parameters
    ----------
    client : distributed.Client
    encoding : Encoding
    parts : list of range
        See `shard_ranges`.
    frames : FramesToWrite
    record : Unfinished

    Returns
    -------
    dataset : h5py.Dataset
    checksums : array, [N], uint32

    Raises
    ------
    InexactError
        The frames are not those of the recipe.
    """
    reported, row_bytes = 0, row_bytes_of(frames.rows)

    def report(nbytes: int) -> None:
        nonlocal reported
        reported += nbytes
        frames.progress(nbytes)

    with progress_of(client) as (topic, taken):
        running: dict[Any, range] = {}
        try:
            for number, part in enumerate(parts):
                known = record.record(part)
                digest = None if known is None else known["sha256"]
                path, key = record.shards / shard_name(number), f"shard-{encoding.token}-{number}"
                future = client.submit(write_shard, encoding, part, path, topic, digest, key=key, pure=False)
                running[future] = part
            while running:
                wait_for_one(list(running))
                counted = taken()
                for future in [future for future in running if future.done()]:
                    found: Encoded | None = future.result()
                    part = running.pop(future)
                    if found is not None and found.error is not None:
                        raise found.error
                    if found is not None:
                        record.add(part, found)
                report(counted)  # behind what is done: an error here must not lose that
                require_running(client)
        finally:
            if running:
                client.cancel(list(running))
    report(parts[-1].stop * row_bytes - reported)  # a worker that died has reported in vain
    forget_everywhere(client, encoding.token)
    for part in parts:
        record.add_source_checksums(part, frames.rows)
    frames.rows.finish()
    return _joined(frames, parts, record), np.concatenate([record.checksums(part) for part in parts])


def _joined(frames: FramesToWrite, parts: list[range], record: Unfinished) -> h5py.Dataset:
    """Put a dataset that stands for the shards in the place of the empty one, with its attributes."""
    old = frames.dataset
    group, name, row_shape, dtype = old.parent, old.name.rpartition("/")[2], old.shape[1:], old.dtype
    attributes = dict(old.attrs)
    sizes = [record.nbytes(part) for part in parts]
    for number, nbytes in enumerate(sizes):
        path = record.shards / shard_name(number)
        if path.stat().st_size != nbytes:
            raise OutputError(path, "was changed while others were written")
    _settle(record.shards, {shard_name(number) for number in range(len(parts))})
    old.id.close()  # at once: what else may hold it is gone at any time, and so would be its place in the file
    del group[name]
    dataset = create_sharded(group, name, record.shards.name, parts, row_shape, dtype)
    for attribute, value in {**attributes, SHARD_BYTES: np.array(sizes, np.uint64)}.items():
        dataset.attrs[attribute] = value
    return dataset


def _settle(shards: Path, names: set[str]) -> None:
    """Remove what is no shard: of workers that have died, or write a shard once more, whose result was lost."""
    end = time.monotonic() + _SETTLE_S
    while others := [path for path in shards.iterdir() if path.name not in names]:
        for name in names:
            remove_leftovers(shards / name)
        if time.monotonic() > end:
            for path in others:
                path.unlink(missing_ok=True)
            return
        time.sleep(0.02)
