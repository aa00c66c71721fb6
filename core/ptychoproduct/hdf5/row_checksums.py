"""A checksum of each row, stored as an attribute of its dataset.

``specs/data_contracts.md`` defines it. A CRC-32 finds every flipped bit, and tells in which frame; isal computes it at
the speed of memory, where SHA-256 would take longer than the compression.
"""

from __future__ import annotations

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.local_links import reading
from ptychoproduct.model.contract import ROW_CHECKSUMS
from ptychoproduct.system.checksums import crc32_of_parts

_MOST_RANGES = 100


def row_checksums(rows: Array) -> Array:
    """Compute the CRC-32 of each row, [n], uint32: of its elements in C order, little-endian."""
    plain = np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
    if not plain.size:
        return np.zeros(len(plain), np.uint32)
    data = memoryview(plain.reshape(-1).view(np.uint8))
    return np.array(crc32_of_parts(data, len(data) // len(plain)), np.uint32)


def stored_row_checksums(dataset: h5py.Dataset) -> Array | None:
    """Return the checksums that are stored with a dataset; None where there are none.

    Raises
    ------
    ContractError
        They are not one whole number for each row.
    """
    with reading(dataset):
        value = dataset.attrs.get(ROW_CHECKSUMS)
    if value is None:
        return None
    if not isinstance(value, np.ndarray) or value.dtype.kind != "u" or value.shape != dataset.shape[:1]:
        expected = f"{dataset.shape[0]} numbers of uint32" if dataset.shape else "no such attribute"
        key = f"{dataset.name}@{ROW_CHECKSUMS}"
        raise ContractError(dataset.file.filename, key=key, found=repr(value)[:60], expected=expected)
    return value


def changed_rows(rows: Array, first: int, expected: Array) -> Array:
    """Return the numbers of the rows that have changed since their checksums were made.

    Parameters
    ----------
    rows : array, [n, ...]
        Those beyond the last checksum are not looked at.
    first : int
        The number of the first of them.
    expected : array, [N], uint32
        The checksums of all rows.
    """
    expected = expected[first : first + len(rows)]
    return first + np.flatnonzero(row_checksums(rows[: len(expected)]) != expected)


def have_changed(rows: Array) -> str:
    """Say that rows of these numbers have changed."""
    return f"{in_ranges(rows)} have changed since {ROW_CHECKSUMS} was written"


def in_ranges(numbers: Array) -> str:
    """Write ascending numbers as ranges: 3 to 5, 9 to 9."""
    parts = np.split(numbers, 1 + np.flatnonzero(np.diff(numbers) > 1))
    others = f" and {len(parts) - _MOST_RANGES} ranges more" if len(parts) > _MOST_RANGES else ""
    return ", ".join(f"{part[0]} to {part[-1]}" for part in parts[:_MOST_RANGES]) + others
