"""Whether one HDF5 file holds what another one holds, however it is stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5l, h5o, h5r, h5s

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OutputError
from ptychoproduct.hdf5.dataset_reader import DatasetReader, is_stored_as_in_memory
from ptychoproduct.hdf5.local_links import reading
from ptychoproduct.hdf5.object_copy import attribute_names, elements_of
from ptychoproduct.model.contract import CONTENT_DIGEST, METADATA_DIGEST

_DIGEST = CONTENT_DIGEST.name.encode()
_METADATA_DIGEST = METADATA_DIGEST.name.encode()  # changes with any digest that is added


def require_same_content(
    source: h5py.File, copy: h5py.File, name: str, progress: Callable[[int], None] | None = None
) -> None:
    """Compare all groups, links, attributes and datasets; the copy may have more digests.

    Parameters
    ----------
    source, copy : h5py.File
    name : str
        What messages call the copy.
    progress : callable, optional
        Called with a number of bytes whenever so many of a large dataset have been compared.

    Raises
    ------
    OutputError
        The copy differs; the first object, attribute or rows in which it does.
    ContractError
        One of the files cannot be read.
    """
    compared: dict[Any, Any] = {}
    unvisited: deque[tuple[str, Any, Any]] = deque([("/", source["/"].id, copy["/"].id)])
    while unvisited:
        path, found, copied = unvisited.popleft()
        if found in compared:  # several links lead to it
            _require(compared[found] == copied, name, path, "is another object")
            continue
        compared[found] = copied
        _require(type(found) is type(copied), name, path, "is another kind of object")
        _compare_attributes(found, copied, name, path)
        if isinstance(found, h5py.h5g.GroupID):
            links, copied_links = _links(found), _links(copied)
            _require(links == copied_links, name, path, "has other links")
            unvisited += [
                (f"{path.rstrip('/')}/{link.decode('utf-8', 'replace')}", h5o.open(found, link), h5o.open(copied, link))
                for link, (kind, _) in links.items()
                if kind == h5l.TYPE_HARD
            ]
        elif isinstance(found, h5py.h5d.DatasetID):
            dataset, copied_dataset = h5py.Dataset(found), h5py.Dataset(copied)
            with reading(dataset):
                _compare_datasets(dataset, copied_dataset, name, path, progress)


def _compare_attributes(found: Any, copied: Any, name: str, path: str) -> None:
    names, copied_names = ([n for n in attribute_names(owner) if n != _METADATA_DIGEST] for owner in (found, copied))
    if _DIGEST not in names and _DIGEST in copied_names:
        copied_names.remove(_DIGEST)
    _require(names == copied_names, name, path, "has other attributes")
    for attribute in names:
        place = f"{path}@{attribute.decode('utf-8', 'replace')}"
        _compare_elements(h5a.open(found, attribute), h5a.open(copied, attribute), name, place)


def _compare_datasets(
    dataset: h5py.Dataset, copied: h5py.Dataset, name: str, path: str, progress: Callable[[int], None] | None
) -> None:
    _require((dataset.shape, dataset.maxshape) == (copied.shape, copied.maxshape), name, path, "has another shape")
    _require(dataset.id.get_type() == copied.id.get_type(), name, path, "has another type")
    if dataset.is_virtual or dataset.external:  # in other files, which are not followed
        same = dataset.external == copied.external and dataset.is_virtual == copied.is_virtual
        _require(same and _virtual(dataset) == _virtual(copied), name, path, "has its data in other files")
    elif dataset.shape and is_stored_as_in_memory(dataset):
        _compare_rows(dataset, copied, name, path, progress)
    else:
        _compare_elements(dataset.id, copied.id, name, path)


def _compare_rows(
    dataset: h5py.Dataset, copied: h5py.Dataset, name: str, path: str, progress: Callable[[int], None] | None
) -> None:
    with closing(DatasetReader(dataset)) as reader, closing(DatasetReader(copied)) as copied_reader:
        for rows, future in reader.blocks(lambda _, block: block):
            expected = future.result()
            found = copied_reader.read(slice(rows.start, rows.stop))
            same = np.array_equal(_bytes(expected), _bytes(found))
            _require(same, name, path, f"has other content in rows {rows.start} to {rows.stop - 1}")
            if progress is not None:
                progress(expected.nbytes)


def _compare_elements(stored: Any, copied: Any, name: str, path: str) -> None:
    same = stored.get_type() == copied.get_type() and stored.shape == copied.shape
    if same and stored.get_space().get_simple_extent_type() != h5s.NULL:
        ours, theirs = elements_of(stored)[0], elements_of(copied)[0]
        same = _plain(ours, stored) == _plain(theirs, copied)
    _require(same, name, path, "has another value")


def _plain(elements: Any, owner: Any) -> Any:
    """Return elements as what can be compared: bytes, lists and names."""
    if isinstance(elements, np.ndarray):
        if elements.dtype.hasobject:
            return [_plain(element, owner) for element in elements.reshape(-1).tolist()]
        return elements.tobytes()
    if isinstance(elements, tuple):  # a record
        return [_plain(element, owner) for element in elements]
    if isinstance(elements, h5r.Reference):
        if not elements:
            return None
        region: Any = h5r.get_region(elements, owner) if isinstance(elements, h5r.RegionReference) else None
        where = None if region is None else (region.get_select_bounds(), region.get_select_npoints())
        return h5r.get_name(elements, owner), where
    return elements


def _links(group: Any) -> dict[bytes, tuple[int, Any]]:
    """Give kinds and values of a group's links, by their names."""
    links: dict[bytes, tuple[int, Any]] = {}
    names: list[bytes] = []
    group.links.iterate(names.append)
    for name in names:
        kind = group.links.get_info(name).type
        links[name] = (kind, None if kind == h5l.TYPE_HARD else group.links.get_val(name))
    return links


def _virtual(dataset: h5py.Dataset) -> list[tuple[str, str]]:
    return [(part.file_name, part.dset_name) for part in dataset.virtual_sources()] if dataset.is_virtual else []


def _bytes(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _require(same: bool, name: str, path: str, difference: str) -> None:
    if not same:
        raise OutputError(name, f"{difference} than in the input", key=path)
