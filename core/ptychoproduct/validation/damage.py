"""What is damaged in a dataset, and where: every chunk is decoded, and the content compared with its digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError, warn_of_damage
from ptychoproduct.hdf5.chunk_grid import datasets_of, not_stored
from ptychoproduct.hdf5.contract_fields import names_of_ours, storage_problems, tell_of_others
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import naming_damage, open_hdf5, reading
from ptychoproduct.hdf5.row_checksums import changed_rows, have_changed, stored_row_checksums
from ptychoproduct.hdf5.shard_layout import is_sharded
from ptychoproduct.model.contract import (
    CONTENT_DIGEST,
    DIFFRACTION,
    POSITION_X,
    RAW_DATASETS,
    ROOT_DATASETS,
    ROW_CHECKSUMS,
)
from ptychoproduct.scan.layouts import HDF5, file_kind
from ptychoproduct.validation.digests import add_elements, content_digest, has_digest, new_digest, stored_digest
from ptychoproduct.validation.metadata_digest import metadata_damage

if TYPE_CHECKING:
    from ptychoproduct.scan.scan_files import ScanFiles


_SMALL_BYTES = 16 * 1024**2
# Datasets without which a product cannot be converted.
_NEEDED = {name for expected in ROOT_DATASETS for name in (expected.name, *expected.aliases)} | {
    expected.name for expected in RAW_DATASETS if expected != DIFFRACTION
}


def damage(dataset: h5py.Dataset, named: str = "rows", progress: Callable[[int], None] | None = None) -> Iterator[str]:
    """Report everything that cannot be decoded, or has changed since its digest was made.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of any type, with or without a digest.
    named : str
        What its rows are called.
    progress : callable, optional
        Called with a number of bytes whenever so many have been decoded.

    Yields
    ------
    str
        Which rows, which chunk, and what is wrong with it. A codec, or the checksum of a chunk, tells of the chunk,
        checksums of rows tell of the rows; a digest tells of the dataset only.
    """
    try:
        expected = stored_digest(dataset) if has_digest(dataset) else None
        checksums = None if dataset.dtype.hasobject else stored_row_checksums(dataset)
        if not dataset.shape:
            yield from _damage_of_element(dataset, expected)
            return
    except ContractError as error:
        yield _words(error)
        return
    is_text = dataset.dtype.hasobject
    digest, is_intact = new_digest(), True
    with closing(DatasetReader(dataset, None if dataset.chunks or is_sharded(dataset) else 1, verify=False)) as reader:
        for rows, future in reader.blocks(partial(_compared, checksums), block_bytes=1):
            try:
                block, changed = future.result()
            except ContractError as error:
                is_intact = False
                yield f"{named} {rows.start} to {rows.stop - 1} {_words(error)}"
                continue
            if len(changed):
                is_intact = False
                yield f"{named} {have_changed(changed)}"
            if expected is not None and not is_text:
                add_elements(digest, block)
            if progress is not None:
                progress(block.nbytes)
    if expected is None or not is_intact:
        return
    if expected != (content_digest(dataset) if is_text else digest.hexdigest()):
        yield f"has changed since {CONTENT_DIGEST.name} was written"


def _compared(checksums: Array | None, first: int, block: Array) -> tuple[Array, Array]:
    return block, np.zeros(0, np.int64) if checksums is None else changed_rows(block, first, checksums)


def can_show_damage(dataset: h5py.Dataset) -> bool:
    """Whether changed bytes can be seen: whether there is a digest, or a checksum of each row or chunk."""
    return bool(dataset.fletcher32 or not {CONTENT_DIGEST.name, ROW_CHECKSUMS}.isdisjoint(dataset.attrs))


def is_small(dataset: h5py.Dataset) -> bool:
    """Whether a dataset is read by whoever looks at a product without its frames."""
    return bool(dataset.size * dataset.dtype.itemsize <= _SMALL_BYTES)


def damage_beside_frames(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Report what has changed, or cannot be decoded, of all small datasets that have a digest or checksum.

    Yields
    ------
    name, words : str
    """
    for found, name in names_of_ours(file).items():
        dataset = h5py.Dataset(found)
        if can_show_damage(dataset) and not is_frames(dataset, name) and is_small(dataset):
            yield from ((name, words) for words in damage(dataset))


def is_verified_by_reader(dataset: h5py.Dataset) -> bool:
    """Whether who reads a dataset by a `DatasetReader` sees whatever a digest or checksum of it can show."""
    if not dataset.chunks or dataset.fletcher32 or not can_show_damage(dataset):
        return bool(dataset.chunks)
    return ROW_CHECKSUMS in dataset.attrs and bool(dataset.chunks[1:] == dataset.shape[1:])


def require_undamaged(
    file: h5py.File, *, accept: bool = False, verified_later: Callable[[h5py.Dataset, str], bool] = lambda *_: False
) -> None:
    """Decode everything whose damage can be seen.

    Parameters
    ----------
    file : h5py.File
    accept : bool
        Whether damage is only warned of.
    verified_later : callable
        Whether a dataset, given with its name in products, is verified by who reads it afterwards.

    Raises
    ------
    ContractError
        Something is damaged.
    """
    require_same_metadata(file, accept)
    names = names_of_ours(file)
    for found in datasets_of(file):
        dataset = h5py.Dataset(found)
        name = names.get(found, dataset.name)
        if not can_show_damage(dataset) or verified_later(dataset, name):
            continue
        named = "frames" if is_frames(dataset, name) else "rows"
        lost = not_stored(found, named)  # there may be no end of what is lost
        for words in [lost] if lost else map("damaged: {}".format, damage(dataset, named)):
            if not accept:
                raise ContractError(file.filename, words, key=name)
            warn_of_damage(f"{file.filename}: {name}: {words}")


def require_same_metadata(file: h5py.File, accept: bool = False) -> None:
    """See that names, types, attributes and links are those that were written; what is accepted is warned of.

    Raises
    ------
    ContractError
        They have changed.
    """
    changed = metadata_damage(file)
    if changed is not None and not accept:
        raise ContractError(file.filename, f"{changed}; if that was on purpose, remove this attribute")
    if changed is not None:
        warn_of_damage(f"{file.filename}: {changed}")


def is_frames(_: h5py.Dataset, name: str) -> bool:
    """Whether a dataset is the frames of a product, by its name."""
    return name == f"/{DIFFRACTION.name}"


def are_verified_frames(dataset: h5py.Dataset, name: str) -> bool:
    """Whether a dataset is the frames of a product, and a `DatasetReader` verifies them."""
    return is_frames(dataset, name) and is_verified_by_reader(dataset)


def require_undamaged_products(files: ScanFiles) -> None:
    """See that products that are sources have the content that they say; frames are verified while they are read.

    Before a scan is opened: HDF5 does not open a dataset in two ways at the same time.

    Raises
    ------
    ContractError
        One has not, and `ScanFiles.accept_damage` is not set; or positions, probe, object or results are lost.
    """
    for path in (files.path, files.positions):
        if isinstance(path, (str, PathLike)) and file_kind(Path(path)) == HDF5:
            with naming_damage(Path(path)), open_hdf5(Path(path).resolve(), "an HDF5 file") as file:
                if file.get(POSITION_X.name, getlink=True) is not None:
                    for name, problem in storage_problems(file):
                        if not files.accept_damage or name.removeprefix("/") in _NEEDED:
                            raise ContractError(path, problem, key=name)
                    require_undamaged(file, accept=files.accept_damage, verified_later=are_verified_frames)
                    if path == files.path:
                        tell_of_others(file, Path(path))


def _damage_of_element(dataset: h5py.Dataset, expected: str | None) -> Iterator[str]:
    """Do the same for a dataset without rows."""
    with reading(dataset):
        dataset[()]
    if expected is not None and content_digest(dataset) != expected:
        yield f"has changed since {CONTENT_DIGEST.name} was written"


def _words(error: ContractError) -> str:
    """Return what an error says, without the file and the dataset."""
    return error.sentence if error.problem else f"{str(error.key).rpartition('@')[2]}: {error.sentence}"
