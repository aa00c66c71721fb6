"""Digests of what datasets hold: SHA-256 of the decoded elements, the same for any codec and chunk shape.

``specs/data_contracts.md`` defines which bytes are digested. Archives know SHA-256, and anybody can compute it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, Protocol

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.arrays import has_hdf5_type
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import reading
from ptychoproduct.model.contract import CONTENT_DIGEST
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.streaming.sources import Access, RowSource, windows_of
from ptychoproduct.system.resources import Resources


class Digest(Protocol):
    """One of hashlib's objects."""

    def update(self, data: Any, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""


def new_digest() -> Digest:
    """Return a new digest, of no bytes yet."""
    return hashlib.sha256(usedforsecurity=False)


def has_digest(dataset: h5py.Dataset) -> bool:
    """Whether the contract defines a digest for datasets of this type."""
    return dataset.shape is not None and (has_hdf5_type(dataset.dtype) or _is_text(dataset))


def add_elements(digest: Digest, array: Array) -> None:
    """Take in the elements of an array of numbers or fixed-length strings, in C order, little-endian."""
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest.update(memoryview(plain.reshape(-1).view(np.uint8)))  # hashlib lets other threads run meanwhile


def content_digest(dataset: h5py.Dataset, resources: Resources | None = None) -> str:
    """Compute the digest of what a dataset holds, its chunks decoded on all cores.

    Parameters
    ----------
    dataset : h5py.Dataset
        For which `has_digest` holds.
    resources : Resources, optional
        Threads, and progress in bytes that have been digested.

    Returns
    -------
    str
        64 hexadecimal digits, lower case.

    Raises
    ------
    ContractError
        A chunk cannot be decoded.
    """
    resources = resources or Resources()
    digest = new_digest()
    if _is_text(dataset):
        with reading(dataset):
            texts = np.asarray(dataset[()], object)
        digest.update(b"".join(text + b"\0" for text in texts.flat))
    elif not dataset.shape:
        with reading(dataset):
            add_elements(digest, np.asarray(dataset[()]))
    else:
        with closing(DatasetReader(dataset, resources.threads)) as reader:
            for _, future in reader.blocks(lambda _, block: block):
                add_elements(digest, future.result())
                resources.progress(future.result().nbytes)
    return digest.hexdigest()


def stored_digest(dataset: h5py.Dataset) -> str | None:
    """Return the digest that is stored with a dataset; None where there is none.

    Raises
    ------
    ContractError
        It is not text.
    """
    with reading(dataset):
        value = dataset.attrs.get(CONTENT_DIGEST.name)
    if value is not None and not isinstance(value, str):
        key = f"{dataset.name}@{CONTENT_DIGEST.name}"
        raise ContractError(dataset.file.filename, key=key, found=repr(value)[:60], expected="one value of str")
    return value


class DigestedRows:
    """Rows of another source, digested as they pass; see `RowSource`.

    They pass in order, on one thread: bytes are digested one after the other. The cores meanwhile compress.

    Parameters
    ----------
    source : RowSource
    digest : Digest
        What takes them in.
    recipe : CountsRecipe, optional
        The rows are amplitudes, and the counts that it finds are digested: these are stored in their place.
    """

    access = Access.IN_ORDER

    def __init__(self, source: RowSource, digest: Digest, recipe: CountsRecipe | None = None) -> None:
        self.shape = source.shape
        self.dtype = source.dtype
        self._source = source
        self._digest = digest
        self._recipe = recipe

    def windows(self, multiple: int) -> Iterator[range]:
        """See `WindowedSource`."""
        yield from windows_of(self._source, multiple)

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        self._source.read_into(first, view)
        rows = np.frombuffer(view, self.dtype)
        add_elements(self._digest, rows if self._recipe is None else self._recipe.to_counts(rows))

    def finish(self) -> None:
        """See `RowSource`."""
        self._source.finish()


class ContentDigests:
    """The digests of the datasets of a file that is being written.

    Parameters
    ----------
    wanted : bool
        Otherwise nothing is digested.

    Attributes
    ----------
    taken : dict of str to str
        Digests by name of the dataset, once they have been taken.
    """

    def __init__(self, *, wanted: bool) -> None:
        self.wanted = wanted
        self.taken: dict[str, str] = {}
        self._running: dict[str, Digest] = {}

    def passing(self, source: RowSource, dataset: h5py.Dataset, recipe: CountsRecipe | None = None) -> RowSource:
        """Return a source that digests rows on their way to a dataset, where that is wanted."""
        if not self.wanted:
            return source
        return DigestedRows(source, self._running.setdefault(dataset.name, new_digest()), recipe)

    def forget(self, dataset: h5py.Dataset) -> None:
        """Forget the rows that have passed to a dataset, which is written again."""
        self._running.pop(dataset.name, None)

    def take(self, datasets: Iterable[h5py.Dataset], threads: int, *, keep: bool) -> None:
        """Take the digests of complete datasets; those of rows that have passed were made from the source.

        Parameters
        ----------
        datasets : iterable of h5py.Dataset
        threads : int
            Chunks decoded at once.
        keep : bool
            Whether the datasets get them as attributes.
        """
        if not self.wanted:
            return
        for dataset in filter(has_digest, datasets):
            running = self._running.get(dataset.name)
            digest = content_digest(dataset, Resources(threads)) if running is None else running.hexdigest()
            self.taken[dataset.name] = digest
            if keep:
                dataset.attrs[CONTENT_DIGEST.name] = digest


def _is_text(dataset: h5py.Dataset) -> bool:
    """Whether the elements are strings of variable length."""
    string = h5py.check_string_dtype(dataset.dtype)
    return string is not None and string.length is None
