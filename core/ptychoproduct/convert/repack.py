"""A product in another codec or chunk shape, with no other change."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p

from ptychoproduct.aliases import Progress
from ptychoproduct.compression.codecs import codec_of
from ptychoproduct.compression.profiles import Storage
from ptychoproduct.compression.stand_in import fitted_codec
from ptychoproduct.errors import ContractError, OptionError, warn_of_damage
from ptychoproduct.hdf5.chunk_grid import datasets_of, is_almost_empty, not_stored
from ptychoproduct.hdf5.chunks import MOST_CHUNK_BYTES, default_chunk_rows, fitted_chunks
from ptychoproduct.hdf5.contract_fields import names_of_ours, storage_problems
from ptychoproduct.hdf5.dataset_reader import DatasetReader, is_stored_as_in_memory
from ptychoproduct.hdf5.local_links import local_dataset, naming_damage, open_hdf5, reading
from ptychoproduct.hdf5.object_copy import copy_objects
from ptychoproduct.hdf5.output import hdf5_errors, new_hdf5_file
from ptychoproduct.hdf5.row_checksums import row_checksums, stored_row_checksums
from ptychoproduct.hdf5.shard_layout import is_sharded
from ptychoproduct.model import contract
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.streaming.dataset_rows import DatasetRows
from ptychoproduct.streaming.recoding import recode
from ptychoproduct.system.atomic import atomic_output, writing_errors
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.resources import Resources
from ptychoproduct.tuning.auto import choose_storage, sample_for
from ptychoproduct.validation.comparison import require_same_content
from ptychoproduct.validation.damage import require_undamaged
from ptychoproduct.validation.digests import content_digest, has_digest
from ptychoproduct.validation.metadata_digest import metadata_damage, metadata_digest
from ptychoproduct.validation.read_back import read_back

# Smaller datasets stay as they are stored.
_LEAST_BYTES = 1024**2
# In products, and in patterns files.
_FRAMES = (contract.DIFFRACTION.name, "patterns")
_FILL_TIMES = {h5d.FILL_TIME_ALLOC: "alloc", h5d.FILL_TIME_NEVER: "never", h5d.FILL_TIME_IFSET: "ifset"}


@dataclass(frozen=True)
class RepackedDataset:
    """A dataset that was encoded again.

    Parameters
    ----------
    name : str
    shape : tuple of int
    dtype : str
    codec_before, codec : str
    chunk_shape : tuple of int
    content_bytes : int
        Size of the elements.
    stored_bytes_before, stored_bytes : int
        What they took in the file, and take now.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    codec_before: str
    codec: str
    chunk_shape: tuple[int, ...]
    content_bytes: int
    stored_bytes_before: int
    stored_bytes: int


@dataclass(frozen=True)
class RepackSummary:
    """What was repacked.

    Parameters
    ----------
    source, product : Path
    compression : str
        As it was asked for: a codec, or a profile.
    datasets : tuple of RepackedDataset
        Those that were encoded again; all others are stored as they were.
    file_bytes_before, file_bytes : int
    seconds : float
    """

    source: Path
    product: Path
    compression: str
    datasets: tuple[RepackedDataset, ...]
    file_bytes_before: int
    file_bytes: int
    seconds: float

    @property
    def content_bytes(self) -> int:
        """Size of all elements that were encoded again."""
        return sum(dataset.content_bytes for dataset in self.datasets)

    @property
    def ratio(self) -> float:
        """Compression ratio of what was encoded again; 0 where nothing was."""
        stored = sum(dataset.stored_bytes for dataset in self.datasets)
        return self.content_bytes / stored if stored else 0.0

    @property
    def throughput_mb_s(self) -> float:
        """Size of what was encoded again per second, in 10⁶ bytes."""
        return self.content_bytes / 1e6 / self.seconds if self.seconds else 0.0


def repack_product(
    path: str | PathLike[str],
    out_path: str | PathLike[str],
    *,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    accept_damage: bool = False,
) -> RepackSummary:
    """Write a product again, its frames and other large arrays in another codec or chunk shape.

    Every group, link, attribute, dataset and value is kept. The frames, and numbers of a MiB or more, are encoded
    again. All else is copied as it is stored: also the contract's root datasets and views, which should have no
    filters, and chunks that are already stored as wanted.

    Parameters
    ----------
    path : path
        A product of any writer, or any other HDF5 file. It is only read.
    out_path : path
        Appears when it is complete.
    options : ExportOptions, optional
        Of these, `compression`, `chunk_frames`, `chunk_shape`, `threads`, `overwrite`, `digests` and `verify` count.
        Without a shape, of theirs or the profile's, chunks keep the one that they have.
    progress : callable, optional
        Called with a number of bytes whenever so many have been written, or compared where `verify` is set.
    accept_damage : bool
        Whether a damaged file is repacked as far as it can be read; a `DamageWarning` names what is damaged. Rows that
        are lost become fill values, and the attribute ``lost_rows`` lists them; other datasets that cannot be read are
        left out. What has changed keeps its old digest, so that it is still seen.

    Returns
    -------
    RepackSummary

    Raises
    ------
    SourceError
        There is no HDF5 file.
    ContractError
        Something in it cannot be read.
    OptionError
        The chunk shape does not fit the frames; or both damage is accepted and the result to be verified.
    OutputError
        The product cannot be written there, or it reads back with other content.
    """
    options, path, out_path = options or ExportOptions(), Path(path), Path(out_path)
    started = time.perf_counter()
    done: list[RepackedDataset] = []
    damaged: dict[str, DatasetReader] = {}
    if accept_damage and options.verify:
        raise OptionError("verify", "cannot be used with accept_damage: what is damaged cannot be compared")
    with naming_damage(path), closing(open_hdf5(path, "an HDF5 file")) as source:
        names, is_recoded = names_of_ours(source), _choice(source)
        for name, problem in storage_problems(source):
            if not accept_damage:
                raise ContractError(path, problem, key=name)
            warn_of_damage(f"{path}: {name}: {problem}")
        if any(is_sharded(h5py.Dataset(found)) for found in datasets_of(source)):
            raise ContractError(path, "its frames are in shards; make one file of them first: ptychoproduct merge")
        require_undamaged(source, accept=accept_damage, read_later=lambda dataset, _: is_recoded(dataset))
        has_same_metadata = metadata_damage(source) is None
        track_order = bool(source["/"].id.get_create_plist().get_link_creation_order() & h5p.CRT_ORDER_TRACKED)
        userblock_bytes = source.userblock_size
        with atomic_output(out_path, **options.replacing, sources=(path,)) as part:
            with (
                new_hdf5_file(part, out_path, track_order=track_order, userblock_bytes=userblock_bytes) as opened,
                hdf5_errors(out_path, opened[1]),
            ):
                target, output = opened

                def on_progress(nbytes: int) -> None:
                    output.check()  # stops early if the disk is full
                    if progress is not None:
                        progress(nbytes)

                resources = Resources(options.threads or available_threads(), progress=on_progress)

                def rewrite(dataset: h5py.Dataset, group: h5py.Group, name: bytes) -> h5py.Dataset | None:
                    known_as = names.get(dataset.id, dataset.name)
                    is_frames = known_as.removeprefix("/") in _FRAMES
                    problem = not_stored(dataset.id) if accept_damage else ""
                    if problem and (not is_frames or is_almost_empty(dataset.id)):
                        raise ContractError(path, problem, key=known_as)
                    if not is_recoded(dataset):
                        return None
                    new = _create(dataset, group, name, options, resources)
                    reader = recode(dataset, new, resources, accept_damage, output)
                    if accept_damage and reader is not None:
                        reader.tell_damage("frames" if is_frames else "rows", known_as)
                        damaged[new.name] = reader
                    done.append(_repacked(dataset, new))
                    return new

                def left_out(error: ContractError) -> None:
                    output.check()  # it may not be the source's fault
                    warn_of_damage(f"{error.with_flags}; it is left out")

                copy_objects(source, target, rewrite, left_out if accept_damage else None)
                for name, reader in damaged.items():
                    _note_lost_rows(target[name], reader)
                if options.digests_frames:
                    _add_digests(source, target, resources)
                elif accept_damage and has_same_metadata and contract.METADATA_DIGEST.name in target.attrs:
                    target.attrs[contract.METADATA_DIGEST.name] = metadata_digest(target)
            if userblock_bytes:
                with writing_errors(out_path), part.open("r+b") as file, path.open("rb") as before:
                    file.write(before.read(userblock_bytes))
            if options.verify:
                with read_back(part, out_path) as copy:
                    require_same_content(source, copy, str(out_path), progress)
    return RepackSummary(
        source=path,
        product=out_path,
        compression=str(options.compression),
        datasets=tuple(done),
        file_bytes_before=path.stat().st_size,
        file_bytes=out_path.stat().st_size,
        seconds=time.perf_counter() - started,
    )


def bytes_to_repack(path: str | PathLike[str], *, verify: bool = False) -> int:
    """Return the number of bytes that `repack_product` will report as progress.

    Raises
    ------
    SourceError, ContractError
        The file cannot be read.
    """
    total = 0
    path = Path(path)
    with naming_damage(path), closing(open_hdf5(path, "an HDF5 file")) as source, reading(source):
        is_recoded = _choice(source)

        def count(_: str, found: h5py.Group | h5py.Dataset) -> None:
            nonlocal total
            if isinstance(found, h5py.Dataset) and _is_plain(found):
                nbytes = found.size * found.dtype.itemsize
                total += nbytes * (is_recoded(found) + verify)

        source.visititems(count)
    return total


def _choice(source: h5py.File) -> Callable[[h5py.Dataset], bool]:
    """Return a function that says whether a dataset is to be encoded again."""
    frames = _named(source, _FRAMES)
    without_filters = _named(source, [dataset.name for dataset in (*contract.ROOT_DATASETS, *contract.VIEW_DATASETS)])

    def is_recoded(dataset: h5py.Dataset) -> bool:
        if dataset in without_filters or not _is_plain(dataset) or not dataset.size:
            return False
        itemsize = dataset.dtype.itemsize
        if dataset.chunks is None and math.prod(dataset.shape[1:]) * itemsize > MOST_CHUNK_BYTES:
            return False
        return dataset in frames or dataset.size * itemsize >= _LEAST_BYTES

    return is_recoded


def _named(source: h5py.File, names: Sequence[str]) -> set[h5py.Dataset]:
    """Return the datasets with these names that lie in the file."""
    found = set()
    for name in names:
        with suppress(ContractError):
            found.add(local_dataset(source, name))
    return found


def _is_plain(dataset: h5py.Dataset) -> bool:
    """Whether a dataset has axes, and holds numbers of an unnamed type in the file itself."""
    if dataset.is_virtual or not dataset.shape or dataset.external or dataset.id.get_type().committed():
        return False
    return is_stored_as_in_memory(dataset)


def _create(
    dataset: h5py.Dataset, group: h5py.Group, name: bytes, options: ExportOptions, resources: Resources
) -> h5py.Dataset:
    """Create a dataset that is like another one, but for codec and chunks."""
    storage = _storage(dataset, options, resources)
    chunks = _chunks(dataset, storage.chunk_shape)
    codec = fitted_codec(storage.codec, dataset.dtype, math.prod(chunks))
    properties = dataset.id.get_create_plist()
    has_fill_value = properties.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED
    return group.create_dataset(
        name,
        shape=dataset.shape,
        maxshape=dataset.maxshape,
        dtype=dataset.dtype,
        chunks=chunks,
        fillvalue=dataset.fillvalue if has_fill_value else None,
        fill_time=_FILL_TIMES[properties.get_fill_time()],
        track_times=properties.get_obj_track_times(),
        track_order=bool(properties.get_attr_creation_order() & h5p.CRT_ORDER_TRACKED),
        **codec.dataset_options(dataset.dtype),
    )


def _storage(dataset: h5py.Dataset, options: ExportOptions, resources: Resources) -> Storage:
    """Return codec and chunk shape; those of frames may be measured or given."""
    storage = options.storage(dataset.dtype, dataset.shape[1:], dataset.shape[0])
    if dataset not in _named(dataset.file, _FRAMES):
        return Storage(storage.codec)
    if dataset.ndim != 3:
        return Storage(storage.codec, options.chunk_shape)
    wanted = options.frames_chunk(dataset.shape[1:])
    if options.measured is not None:
        rows = DatasetRows(dataset, resources=resources)
        sample = sample_for(options.measured, rows, lambda: rows)
        rows.finish()
        if sample is not None:
            storage = choose_storage(options.measured, sample, len(dataset), resources.threads, wanted).storage
    return Storage(storage.codec, wanted or storage.chunk_shape)


def _chunks(dataset: h5py.Dataset, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape of chunks: the one that is wanted, else the present one."""
    if wanted is None and dataset.chunks is not None:
        return tuple(dataset.chunks)
    wanted = wanted or (default_chunk_rows(dataset.shape[1:], dataset.dtype), *dataset.shape[1:])
    return fitted_chunks(wanted, dataset.shape, dataset.dtype)


def _note_lost_rows(new: h5py.Dataset, reader: DatasetReader) -> None:
    """List the rows that have become fill values, and give them checksums of these; what has changed keeps its own."""
    lost = reader.lost_rows
    if not len(lost):
        return
    before = new.attrs.get(contract.LOST_ROWS, ())
    new.attrs[contract.LOST_ROWS] = np.union1d(lost, before).astype(np.uint64)
    checksums = stored_row_checksums(new)
    if checksums is not None:
        checksums[lost] = row_checksums(np.full((1, *new.shape[1:]), new.fillvalue, new.dtype))[0]
        new.attrs[contract.ROW_CHECKSUMS] = checksums
    if contract.CONTENT_DIGEST.name in new.attrs and not len(reader.changed_rows):
        new.attrs[contract.CONTENT_DIGEST.name] = content_digest(new)


def _add_digests(source: h5py.File, target: h5py.File, resources: Resources) -> None:
    """Give digests of the source's content to the datasets that have none."""

    def add(name: str, found: h5py.Group | h5py.Dataset) -> None:
        if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external or not has_digest(found):
            return
        new = target.get(name)
        if new is None or contract.CONTENT_DIGEST.name in found.attrs:
            return
        content = new if contract.LOST_ROWS in new.attrs else found
        new.attrs[contract.CONTENT_DIGEST.name] = content_digest(content, Resources(resources.threads))

    with reading(source):
        source.visititems(add)
    target.attrs[contract.METADATA_DIGEST.name] = metadata_digest(target)


def _repacked(dataset: h5py.Dataset, new: h5py.Dataset) -> RepackedDataset:
    return RepackedDataset(
        name=dataset.name,
        shape=dataset.shape,
        dtype=str(dataset.dtype),
        codec_before=str(codec_of(dataset)),
        codec=str(codec_of(new)),
        chunk_shape=new.chunks,
        content_bytes=dataset.size * dataset.dtype.itemsize,
        stored_bytes_before=dataset.id.get_storage_size(),
        stored_bytes=new.id.get_storage_size(),
    )
