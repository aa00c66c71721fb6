"""Chunks that are in one file already what they are to be in another, copied without being decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py

from ptychoproduct.errors import SourceError


def has_same_chunks(source: h5py.Dataset, dataset: h5py.Dataset) -> bool:
    """Whether the chunks of two datasets are whole rows, and would be the same bytes for the same numbers.

    They are where shape, chunk shape, type with byte order, filters and filters' parameters are equal.
    """
    return bool(
        source.shape == dataset.shape
        and source.chunks is not None
        and source.chunks == dataset.chunks
        and source.chunks[1:] == source.shape[1:]
        and source.id.get_type() == dataset.id.get_type()
        and has_same_filters(source, dataset)
    )


def has_same_filters(source: h5py.Dataset, dataset: h5py.Dataset) -> bool:
    """Whether the filters of two datasets, and all their parameters, are the same."""
    return _filters(source) == _filters(dataset)


def copy_chunks(source: h5py.Dataset, dataset: h5py.Dataset, progress: Callable[[int], None]) -> list[int]:
    """Copy the chunks of frames, one after the other along the first axis, as they are stored.

    Parameters
    ----------
    source, dataset : h5py.Dataset
        For which `has_same_chunks` holds.
    progress : callable
        Called with a number of rows whenever so many have been copied.

    Returns
    -------
    list of int
        First rows of the chunks that are left to be written: those that the source has not stored, which stand for its
        fill value, and one that reaches beyond the last row, which HDF5 may have stored without the filters.

    Raises
    ------
    SourceError
        A chunk cannot be read. Whether it can be decoded is not looked at.
    """
    rows, chunk_rows = dataset.shape[0], dataset.chunks[0]
    left = []
    for first in range(0, rows, chunk_rows):
        offset = (first, *(0,) * (dataset.ndim - 1))
        try:
            is_stored = source.id.get_chunk_info_by_coord(offset).byte_offset is not None
            if not is_stored or first + chunk_rows > rows:
                left.append(first)
                continue
            filter_mask, chunk = source.id.read_direct_chunk(offset)
        except (OSError, RuntimeError) as error:
            frames = f"frames {first} to {min(first + chunk_rows, rows) - 1}"
            raise SourceError(source.file.filename, f"{frames} cannot be read: {error}", key=source.name) from error
        dataset.id.write_direct_chunk(offset, chunk, filter_mask)
        progress(chunk_rows)
    return left


def _filters(dataset: h5py.Dataset) -> list[tuple[Any, ...]]:
    """Return numbers and parameters of a dataset's filters, as they stand in the file."""
    properties = dataset.id.get_create_plist()
    filters = map(properties.get_filter, range(properties.get_nfilters()))
    return [(filter_id, cd_values) for filter_id, _, cd_values, _ in filters]
