"""The objects of one HDF5 file in another: groups, links, attributes and datasets, kept as they are.

HDF5 copies objects from file to file, but forgets that two groups share one, and clears references. So the groups are
walked here; HDF5 copies the datasets that are to stay as they are stored, without decoding them. No link is followed.
Types that have names of their own are copied under these; what is of such a type is of an equal one afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from h5py import h5, h5a, h5g, h5l, h5o, h5p, h5r, h5s, h5t

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.local_links import reading

Rewrite = Callable[[h5py.Dataset, h5py.Group, bytes], h5py.Dataset | None]
"""Makes a dataset of a group in its own way, without attributes; or returns None, for the dataset to be copied."""


def copy_objects(
    source: h5py.File,
    target: h5py.File,
    rewrite: Rewrite,
    left_out: Callable[[ContractError], None] | None = None,
) -> None:
    """Copy everything below the root, and the attributes of the root.

    Parameters
    ----------
    source, target : h5py.File
        The second one is empty.
    rewrite : callable
        See `Rewrite`.
    left_out : callable, optional
        Told of what cannot be read, which is then left out; by default that is an error.

    Raises
    ------
    ContractError
        Something in the source cannot be read, or is of a kind that cannot be copied.
    """
    copied: dict[Any, bytes] = {source["/"].id: b"/"}
    with_references: list[tuple[Any, bytes]] = []
    unvisited = [(source["/"], target["/"], b"/")]
    while unvisited:
        group, new_group, place = unvisited.pop()
        with reading(group):
            _copy_attributes(group, new_group)
            if _has_references(group.id):
                with_references.append((group.id, place))
            for name, info in _links(group.id):
                with _left_out(left_out, group, new_group, name):
                    if info.type != h5l.TYPE_HARD:
                        _copy_link(group, new_group, name, info)
                        continue
                    found = h5o.open(group.id, name)
                    path = place.rstrip(b"/") + b"/" + name
                    if found in copied:
                        new_group.id.links.create_hard(name, target["/"].id, copied[found], _creation(info))
                        continue
                    if isinstance(found, h5g.GroupID):
                        new = h5g.create(new_group.id, name, _creation(info), _group_creation(found))
                        unvisited.append((h5py.Group(found), h5py.Group(new), path))
                    elif isinstance(found, h5py.h5d.DatasetID):
                        dataset = h5py.Dataset(found)
                        with reading(dataset):
                            _copy_dataset(dataset, new_group, name, info, rewrite)
                    else:
                        h5o.copy(group.id, name, new_group.id, name, None, _creation(info))
                    copied[found] = path
                    if not isinstance(found, h5g.GroupID) and _has_references(found):
                        with_references.append((found, path))
    for found, path in with_references:
        _renew_references(found, h5o.open(target.id, path), target)


@contextmanager
def _left_out(
    left_out: Callable[[ContractError], None] | None, group: h5py.Group, new_group: h5py.Group, name: bytes
) -> Iterator[None]:
    """Tell of what cannot be copied, and take away what there is of it."""
    try:
        with reading(group):
            yield
    except ContractError as error:
        if left_out is None:
            raise
        if name in new_group:
            new_group.id.unlink(name)
        place = f"{group.name.rstrip('/')}/{name.decode('utf-8', 'replace')}"
        key = place if error.key in (None, group.name) else error.key
        left_out(ContractError(group.file.filename, error.sentence, key=key))


def elements_of(stored: h5py.h5a.AttrID | h5py.h5d.DatasetID) -> tuple[Array, Any]:
    """Read all elements of an attribute or a dataset as they are stored.

    Returns
    -------
    elements : array
        Of bytes, as in the file; of Python's objects where there are texts or lists of variable length, or references.
    type : h5py.h5t.TypeID or None
        In which the elements can be written again; None for what h5py makes of the array's own type.

    Raises
    ------
    ContractError
        The type is one that h5py does not know.
    """
    stored_type = stored.get_type()
    try:
        dtype = stored_type.dtype
    except TypeError as error:
        if stored_type.get_class() in (h5t.COMPOUND, h5t.ARRAY, h5t.VLEN):  # may hold pointers
            raise ContractError("", "h5py does not know the type") from error
        dtype = np.dtype(np.void)
    memory_type = None if dtype.hasobject else stored_type.copy()
    if memory_type is not None:
        dtype = np.dtype((np.void, stored_type.get_size()))
    elements = np.empty(stored.shape, dtype)
    if elements.size:
        if isinstance(stored, h5a.AttrID):
            stored.read(elements, memory_type)
        else:
            stored.read(h5s.ALL, h5s.ALL, elements, memory_type)
    return elements, memory_type


def _links(group: Any) -> list[tuple[bytes, Any]]:
    """Give names and kinds of all links of a group, in the order in which they were made, where that is recorded."""
    names: list[bytes] = []
    tracked = group.get_create_plist().get_link_creation_order() & h5p.CRT_ORDER_TRACKED
    index = h5.INDEX_CRT_ORDER if tracked else h5.INDEX_NAME
    group.links.iterate(names.append, idx_type=index)
    return [(name, group.links.get_info(name)) for name in names]


def _creation(info: Any) -> Any:
    """Return properties that keep the character set of a link's name."""
    properties = h5p.create(h5p.LINK_CREATE)
    properties.set_char_encoding(info.cset)
    return properties


def _group_creation(group: h5g.GroupID) -> Any:
    """Return properties by which a copy of a group records the same orders and times.

    The group's own properties cannot be used: with them HDF5 2.0 fails at the first object copied into the new one.
    """
    found, properties = group.get_create_plist(), h5p.create(h5p.GROUP_CREATE)
    properties.set_link_creation_order(found.get_link_creation_order())
    properties.set_attr_creation_order(found.get_attr_creation_order())
    properties.set_obj_track_times(found.get_obj_track_times())
    return properties


def _copy_link(group: h5py.Group, new_group: h5py.Group, name: bytes, info: Any) -> None:
    value: Any = group.id.links.get_val(name) if info.type in (h5l.TYPE_SOFT, h5l.TYPE_EXTERNAL) else None
    if info.type == h5l.TYPE_SOFT:
        new_group.id.links.create_soft(name, value, _creation(info))
    elif info.type == h5l.TYPE_EXTERNAL:
        new_group.id.links.create_external(name, *value, _creation(info))
    else:
        key = f"{group.name.rstrip('/')}/{name.decode('utf-8', 'replace')}"
        raise ContractError(group.file.filename, key=key, problem="is a user-defined link, which cannot be copied")


def _copy_dataset(dataset: h5py.Dataset, new_group: h5py.Group, name: bytes, info: Any, rewrite: Rewrite) -> None:
    new = rewrite(dataset, new_group, name)
    if new is not None:
        _copy_attributes(dataset, new)
        return
    h5o.copy(dataset.id, b".", new_group.id, name, None, _creation(info))


def _copy_attributes(owner: h5py.Group | h5py.Dataset, new: h5py.Group | h5py.Dataset) -> None:
    for name in attribute_names(owner.id):
        attribute = h5a.open(owner.id, name)
        space = attribute.get_space()
        copy = h5a.create(new.id, name, attribute.get_type().copy(), space)
        if space.get_simple_extent_type() != h5s.NULL and not _holds_references(attribute):
            copy.write(*elements_of(attribute))


def attribute_names(owner: Any) -> list[bytes]:
    """Give the names of all attributes, in the order in which they were made, where that is recorded."""
    tracked = isinstance(owner, (h5g.GroupID, h5py.h5d.DatasetID)) and (
        owner.get_create_plist().get_attr_creation_order() & h5p.CRT_ORDER_TRACKED
    )
    names: list[bytes] = []
    h5a.iterate(owner, names.append, index_type=h5.INDEX_CRT_ORDER if tracked else h5.INDEX_NAME)
    return names


def _has_references(owner: Any) -> bool:
    """Whether an object, or an attribute of it, holds references."""
    if isinstance(owner, h5py.h5d.DatasetID) and _holds_references(owner):
        return True
    return any(_holds_references(h5a.open(owner, name)) for name in attribute_names(owner))


def _holds_references(stored: Any) -> bool:
    return bool(stored.get_type().detect_class(h5t.REFERENCE))


def _renew_references(owner: Any, new: Any, target: h5py.File) -> None:
    """Make references to objects of the source refer to those of the same name in the target."""

    def renewed(reference: Any) -> Any:
        if not reference:
            return reference
        name = h5r.get_name(reference, owner)
        if isinstance(reference, h5r.RegionReference):
            return h5r.create(target.id, name, h5r.DATASET_REGION, h5r.get_region(reference, owner))
        return h5r.create(target.id, name, h5r.OBJECT)

    if isinstance(owner, h5py.h5d.DatasetID) and _holds_references(owner):
        elements, memory_type = elements_of(owner)
        if elements.size:
            new.write(h5s.ALL, h5s.ALL, _changed(elements, renewed), memory_type)
    for name in attribute_names(owner):
        attribute = h5a.open(owner, name)
        if _holds_references(attribute) and attribute.get_space().get_simple_extent_type() != h5s.NULL:
            elements, memory_type = elements_of(attribute)
            h5a.open(new, name).write(_changed(elements, renewed), memory_type)


def _changed(elements: Array, renewed: Callable[[Any], Any]) -> Array:
    """Replace the references in an array, also those in its records and lists."""
    if elements.dtype.names:
        for field in elements.dtype.names:
            elements[field] = _changed(elements[field], renewed)
    elif elements.dtype.hasobject:
        for index in np.ndindex(elements.shape):
            value = elements[index]
            if isinstance(value, h5r.Reference):
                elements[index] = renewed(value)
            elif isinstance(value, np.ndarray):
                elements[index] = _changed(value, renewed)
    return elements
