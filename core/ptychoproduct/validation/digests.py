"""Digests of what datasets hold: SHA-256 of the decoded elements, the same for any codec and chunk shape.

``specs/data_contracts.md`` defines which bytes are digested. Archives know SHA-256, and anybody can compute it again.
"""

from __future__ import annotations

import hashlib
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
from ptychoproduct.system.resources import Resources

_WHOLE_BYTES = 16 * 1024**2  # of a dataset without chunks that is read at once


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
    return dataset.shape is not None and (has_hdf5_type(dataset.dtype) or is_text(dataset.dtype))


def add_elements(digest: Digest, array: Array) -> None:
    """Take in the elements of an array of numbers or fixed-length strings, in C order, little-endian."""
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest.update(memoryview(plain.reshape(-1).view(np.uint8)))  # hashlib lets other threads run meanwhile


def add_texts(digest: Digest, texts: Array) -> None:
    """Take in strings of variable length, which h5py reads as bytes, each with a NUL behind it."""
    digest.update(b"".join(text + b"\0" for text in texts.flat))


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
    digest = new_digest()
    if is_text(dataset.dtype):
        with reading(dataset):
            add_texts(digest, np.asarray(dataset[()], object))
    elif not dataset.shape or (not dataset.chunks and dataset.nbytes <= _WHOLE_BYTES):
        with reading(dataset):
            add_elements(digest, np.asarray(dataset[()]))
    else:
        resources = resources or Resources()
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


def is_text(dtype: np.dtype[Any]) -> bool:
    """Whether elements are strings of variable length."""
    string = h5py.check_string_dtype(dtype)
    return string is not None and string.length is None
