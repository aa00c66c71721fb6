"""A product whose frames are in shards as one file: the encoded chunks are copied, and decoded only to verify them."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import h5py

from ptychoproduct.aliases import Progress
from ptychoproduct.compression.codecs import Codec, codec_of
from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.chunks import create_chunked
from ptychoproduct.hdf5.local_links import local_dataset, naming_damage, open_hdf5, reading
from ptychoproduct.hdf5.object_copy import copy_objects
from ptychoproduct.hdf5.output import hdf5_errors, new_hdf5_file
from ptychoproduct.hdf5.row_checksums import stored_row_checksums
from ptychoproduct.hdf5.shard_layout import SHARD_DATASET, is_sharded, shards_of
from ptychoproduct.hdf5.sharded_chunks import shard_problems, stored_as
from ptychoproduct.model.contract import DIFFRACTION, METADATA_DIGEST, SHARD_BYTES
from ptychoproduct.streaming.recoding import append_chunks, has_same_filters
from ptychoproduct.system.atomic import atomic_output
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.damage import is_frames, require_undamaged
from ptychoproduct.validation.metadata_digest import metadata_digest
from ptychoproduct_native import OutputFile


@dataclass(frozen=True)
class MergeSummary:
    """What was merged.

    Parameters
    ----------
    source, product : Path
    shards : int
    file_bytes : int
    seconds : float
    """

    source: Path
    product: Path
    shards: int
    file_bytes: int
    seconds: float


def merge_product(
    path: str | PathLike[str],
    out_path: str | PathLike[str],
    *,
    overwrite: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> MergeSummary:
    """Write a product whose frames are in shards as one file.

    The result has the datasets, values and attributes that `convert` writes without shards. Chunks are copied as they
    are; each is decoded on the way, on all cores, to see that it is sound.

    Parameters
    ----------
    path : path
        A product with shards. It is only read.
    out_path : path
        Appears when it is complete.
    overwrite : bool
        Whether an existing file may be replaced.
    force : bool
        Whether that may be a read-only file.
    progress : callable, optional
        Called with a number of bytes whenever so many have been copied.

    Returns
    -------
    MergeSummary

    Raises
    ------
    SourceError
        There is no HDF5 file.
    ContractError
        It has no shards, one of them is missing or damaged, or something else in it is.
    OutputError
        The product cannot be written there.
    """
    path, out_path, started = Path(path), Path(out_path), time.perf_counter()
    with naming_damage(path), closing(open_hdf5(path)) as source:
        frames = local_dataset(source, DIFFRACTION.name)
        if frames is None or not is_sharded(frames):
            raise ContractError(path, "its frames are not in shards; it is one file already")
        for problem in shard_problems(frames):
            raise ContractError(path, problem, key=frames.name)
        require_undamaged(source, verified_later=is_frames)
        shards = shards_of(frames)
        inputs = (path, *(shard.path for shard in shards))
        with (
            atomic_output(out_path, overwrite=overwrite, force=force, sources=inputs) as part,
            new_hdf5_file(part, out_path) as (target, output),
            hdf5_errors(out_path, output),
        ):

            def on_progress(nbytes: int) -> None:
                output.check()
                if progress is not None:
                    progress(nbytes)

            resources = Resources(available_threads(), progress=on_progress)

            def rewrite(dataset: h5py.Dataset, group: h5py.Group, name: bytes) -> h5py.Dataset | None:
                return _merged(dataset, group, name.decode(), resources, output) if dataset == frames else None

            copy_objects(source, target, rewrite)
            del target[DIFFRACTION.name].attrs[SHARD_BYTES]
            if METADATA_DIGEST.name in target.attrs:
                target.attrs[METADATA_DIGEST.name] = metadata_digest(target)
    return MergeSummary(path, out_path, len(shards), out_path.stat().st_size, time.perf_counter() - started)


def bytes_to_merge(path: str | PathLike[str]) -> int:
    """Return the number of bytes that `merge_product` will report as progress, about.

    Raises
    ------
    SourceError, ContractError
        The file cannot be read, or a shard is missing.
    """
    path = Path(path)
    with naming_damage(path), closing(open_hdf5(path)) as source:
        frames = local_dataset(source, DIFFRACTION.name)
        return 0 if frames is None or not is_sharded(frames) else int(frames.size * frames.dtype.itemsize)


def _merged(
    frames: h5py.Dataset, group: h5py.Group, name: str, resources: Resources, output: OutputFile
) -> h5py.Dataset:
    """Create a dataset of all frames, and copy the chunks of the shards into it."""
    with stored_as(frames) as first:
        codec = codec_of(first)
        if isinstance(codec, Codec):
            merged = create_chunked(group, name, frames.shape[1:], frames.dtype, codec, len(frames), first.chunks)
        if not isinstance(codec, Codec) or not has_same_filters(first, merged):
            advice = "is a codec that cannot be written; read the shards as they are"
            raise ContractError(frames.file.filename, f"{codec} {advice}", key=frames.name)
    checksums = stored_row_checksums(frames) if merged.chunks[1:] == merged.shape[1:] else None
    for shard in shards_of(frames):
        with closing(open_hdf5(shard.path, "a shard")) as file, reading(file):
            dataset = file[SHARD_DATASET]
            if not has_same_filters(dataset, merged):
                raise ContractError(shard.path, "is encoded in another way than others", key=SHARD_DATASET)
            its_checksums = None if checksums is None else checksums[shard.rows.start : shard.rows.stop]
            append_chunks(dataset, merged, shard.rows.start, its_checksums, resources, output)
    return merged
