"""What is damaged in a dataset, and where: every chunk is decoded, and the content compared with its digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import h5py

from ptychoproduct.errors import ContractError, warn
from ptychoproduct.hdf5.chunk_grid import datasets_of, not_stored
from ptychoproduct.hdf5.contract_fields import names_of_ours
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import reading
from ptychoproduct.model.contract import CONTENT_DIGEST, DIFFRACTION
from ptychoproduct.validation.digests import add_elements, content_digest, has_digest, new_digest, stored_digest


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
        Which rows, which chunk, and what is wrong with it. A codec, or the checksum of a chunk, tells of the chunk; a
        digest tells of the dataset only.
    """
    try:
        expected = stored_digest(dataset) if has_digest(dataset) else None
        if not dataset.shape:
            yield from _damage_of_element(dataset, expected)
            return
    except ContractError as error:
        yield _words(error)
        return
    is_text = dataset.dtype.hasobject
    digest, is_decodable = new_digest(), True
    with closing(DatasetReader(dataset)) as reader:
        for rows, future in reader.blocks(lambda _, block: block, block_bytes=1):
            try:
                block = future.result()
            except ContractError as error:
                is_decodable = False
                yield f"{named} {rows.start} to {rows.stop - 1} {_words(error)}"
                continue
            if expected is not None and not is_text:
                add_elements(digest, block)
            if progress is not None:
                progress(block.nbytes)
    if expected is None or not is_decodable:
        return
    found = content_digest(dataset) if is_text else digest.hexdigest()
    if found != expected:
        yield f"has changed since {CONTENT_DIGEST.name} was written"


def require_undamaged(file: h5py.File, *, accept: bool = False, checksums: bool = True) -> None:
    """Decode everything whose damage can be seen: datasets with a digest, or with a checksum for each chunk.

    Parameters
    ----------
    file : h5py.File
    accept : bool
        Whether damage is only warned of.
    checksums : bool
        Whether datasets are decoded that have no digest, but checksums, which reading verifies as well.

    Raises
    ------
    ContractError
        Something is damaged.
    """
    names = names_of_ours(file)
    for found in datasets_of(file):
        dataset = h5py.Dataset(found)
        if not (checksums and dataset.fletcher32) and CONTENT_DIGEST.name not in dataset.attrs:
            continue
        name = names.get(found, dataset.name)
        rows = "frames" if name == f"/{DIFFRACTION.name}" else "rows"
        lost = not_stored(found, rows)  # there may be no end of what is lost
        for words in [lost] if lost else map("damaged: {}".format, damage(dataset, rows)):
            if not accept:
                raise ContractError(file.filename, words, key=name)
            warn(f"{file.filename}: {name}: {words}")


def _damage_of_element(dataset: h5py.Dataset, expected: str | None) -> Iterator[str]:
    """Do the same for a dataset without rows."""
    with reading(dataset):
        dataset[()]
    if expected is not None and content_digest(dataset) != expected:
        yield f"has changed since {CONTENT_DIGEST.name} was written"


def _words(error: ContractError) -> str:
    """Return what an error says, without the file and the dataset."""
    return error.sentence if error.problem else f"{CONTENT_DIGEST.name}: {error.sentence}"
