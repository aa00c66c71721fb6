"""One digest of everything in a file that is not the content of a dataset: names, types, attributes and links.

``specs/data_contracts.md`` defines what is digested.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from ptychoproduct.hdf5.arrays import has_hdf5_type
from ptychoproduct.hdf5.chunk_grid import shape_of
from ptychoproduct.hdf5.local_links import reading
from ptychoproduct.model.contract import METADATA_DIGEST
from ptychoproduct.validation.digests import add_elements, add_texts, is_text, new_digest


def metadata_digest(file: h5py.File) -> str:
    """Compute the digest of a file's metadata, 64 hexadecimal digits.

    Raises
    ------
    ContractError
        Something cannot be read.
    """
    digest = new_digest()
    with reading(file):
        for entry in _entries(file["/"], "/", {}):
            digest.update(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def metadata_damage(file: h5py.File) -> str | None:
    """Say that the metadata have changed since their digest was written; None where they have not.

    Raises
    ------
    ContractError
        Something cannot be read.
    """
    expected = file.attrs.get(METADATA_DIGEST.name)
    if expected is None or metadata_digest(file) == expected:
        return None
    return f"a name, type, link, attribute or text in the file has changed since {METADATA_DIGEST.name} was written"


def _entries(found: Any, path: str, met: dict[Any, str]) -> Iterator[list[Any]]:
    """Give what is digested of an object, and of all that is met from it for the first time."""
    met[found] = path
    if isinstance(found, h5py.Dataset):
        yield ["dataset", path, _type_name(found.dtype), shape_of(found.id)]
    else:
        yield ["group" if isinstance(found, h5py.Group) else "type", path]
    for name in sorted(found.attrs):
        if (path, name) != ("/", METADATA_DIGEST.name):
            yield ["attribute", path, name, *_attribute(found, name)]
    for name in sorted(found) if isinstance(found, h5py.Group) else ():
        link, place = found.get(name, getlink=True), f"{path.rstrip('/')}/{name}"
        if isinstance(link, h5py.ExternalLink):
            yield ["external", place, link.filename, link.path]
        elif isinstance(link, h5py.SoftLink):
            yield ["soft", place, link.path]
        elif (item := found[name]) in met:
            yield ["hard", place, met[item]]
        else:
            yield from _entries(item, place, met)


def _attribute(owner: Any, name: str) -> tuple[str, Any, str | None]:
    """Return the type's name, the shape, and the digest of the value; None for types that have none."""
    stored = owner.attrs.get_id(name)
    type_name = _type_name(stored.dtype)
    if stored.shape is None or not type_name:
        return type_name, stored.shape, None
    digest, value = new_digest(), np.empty(stored.shape, stored.dtype)
    if value.size:
        stored.read(value)
    (add_texts if type_name == "str" else add_elements)(digest, value)
    return type_name, stored.shape, digest.hexdigest()


def _type_name(dtype: np.dtype[Any]) -> str:
    """Name a type as NumPy does, "str" for texts of variable length; "" where a value of it is not digested."""
    if is_text(dtype):
        return "str"
    return dtype.str.lstrip("|") if dtype.kind == "S" else dtype.name if has_hdf5_type(dtype) else ""
