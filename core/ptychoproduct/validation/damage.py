"""What is damaged in a dataset, and where: every chunk is decoded, and the content compared with its digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import reading
from ptychoproduct.model.contract import CONTENT_DIGEST, ROW_CHECKSUMS
from ptychoproduct.validation.digests import add_elements, content_digest, has_digest, new_digest, stored_digest
from ptychoproduct.validation.row_checksums import row_checksums, stored_row_checksums


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
    with closing(DatasetReader(dataset, None if dataset.chunks else 1)) as reader:
        for rows, future in reader.blocks(_with_checksums if checksums is not None else _alone, block_bytes=1):
            try:
                block, found = future.result()
            except ContractError as error:
                is_intact = False
                yield f"{named} {rows.start} to {rows.stop - 1} {_words(error)}"
                continue
            if checksums is not None:
                changed = rows.start + np.flatnonzero(found != checksums[rows.start : rows.stop])
                if len(changed):
                    is_intact = False
                    yield f"{named} {changed[0]} to {changed[-1]} have changed since {ROW_CHECKSUMS} was written"
            if expected is not None and not is_text:
                add_elements(digest, block)
            if progress is not None:
                progress(block.nbytes)
    if expected is None or not is_intact:
        return
    if expected != (content_digest(dataset) if is_text else digest.hexdigest()):
        yield f"has changed since {CONTENT_DIGEST.name} was written"


def _alone(_: int, block: Array) -> tuple[Array, Array | None]:
    return block, None


def _with_checksums(_: int, block: Array) -> tuple[Array, Array | None]:
    return block, row_checksums(block)


def can_show_damage(dataset: h5py.Dataset) -> bool:
    """Whether changed bytes can be seen: whether there is a digest, or a checksum of each row or chunk."""
    return bool(dataset.fletcher32 or not {CONTENT_DIGEST.name, ROW_CHECKSUMS}.isdisjoint(dataset.attrs))


def _damage_of_element(dataset: h5py.Dataset, expected: str | None) -> Iterator[str]:
    """Do the same for a dataset without rows."""
    with reading(dataset):
        dataset[()]
    if expected is not None and content_digest(dataset) != expected:
        yield f"has changed since {CONTENT_DIGEST.name} was written"


def _words(error: ContractError) -> str:
    """Return what an error says, without the file and the dataset."""
    return error.sentence if error.problem else f"{str(error.key).rpartition('@')[2]}: {error.sentence}"
