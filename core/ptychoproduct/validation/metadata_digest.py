"""One digest of everything in a file that is not the content of a dataset: names, types, attributes and links.

``specs/data_contracts.md`` defines what is digested.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import h5py
import numpy as np

from ptychoproduct.hdf5.arrays import has_hdf5_type
from ptychoproduct.hdf5.chunk_grid import shape_of
from ptychoproduct.hdf5.local_links import reading
from ptychoproduct.model.contract import METADATA_DIGEST
from ptychoproduct.validation.digests import add_elements, add_texts, is_text, new_digest

# One for all lines: `json.dumps` would make another each time.
_AS_JSON = json.JSONEncoder(separators=(",", ":")).encode


def metadata_digest(file: h5py.File) -> str:
    """Compute the digest of a file's metadata, 64 hexadecimal digits.

    Raises
    ------
    ContractError
        Something cannot be read.
    """
    digest = new_digest()
    with reading(file):
        root = h5py.h5g.open(file.id, b"/")
        for entry in _entries(root, "/", {h5py.h5o.get_info(root).addr: "/"}):
            digest.update(_AS_JSON(entry).encode() + b"\n")
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


# Below, objects are HDF5's own: h5py's take twice as long, and there are some hundred of them.


def _entries(found: Any, path: str, met: dict[Any, str]) -> Iterator[list[Any]]:
    """Give what is digested of an object, and of all that is met from it for the first time; `met`: by addresses."""
    if isinstance(found, h5py.h5d.DatasetID):
        yield ["dataset", path, _type_name(found.dtype), shape_of(found)]
    else:
        yield ["group" if isinstance(found, h5py.h5g.GroupID) else "type", path]
    for name in _sorted_names(partial(h5py.h5a.iterate, found)):
        if (path, name) != ("/", METADATA_DIGEST.name):
            yield ["attribute", path, name, *_attribute(h5py.h5a.open(found, _encoded(name)))]
    for name in _sorted_names(found.links.iterate) if isinstance(found, h5py.h5g.GroupID) else ():
        link, place = found.links.get_info(_encoded(name)), f"{path.rstrip('/')}/{name}"
        if link.type != h5py.h5l.TYPE_HARD:
            to = h5py.Group(found).get(name, getlink=True)
            is_external = isinstance(to, h5py.ExternalLink)
            yield ["external", place, to.filename, to.path] if is_external else ["soft", place, to.path]
        elif link.u in met:
            yield ["hard", place, met[link.u]]
        else:
            met[link.u] = place
            yield from _entries(h5py.h5o.open(found, _encoded(name)), place, met)


def _sorted_names(iterate: Callable[[Callable[..., None]], object]) -> list[str]:
    names: list[str] = []
    iterate(lambda name, *_: names.append(name.decode("utf-8", "surrogateescape")))
    return sorted(names)


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _attribute(stored: h5py.h5a.AttrID) -> tuple[str, Any, str | None]:
    """Return the type's name, the shape, and the digest of the value; None for types that have none."""
    dtype, shape = stored.dtype, stored.shape
    type_name = _type_name(dtype)
    if shape is None or not type_name:
        return type_name, shape, None
    digest, value = new_digest(), np.empty(shape, dtype)
    if value.size:
        stored.read(value)
    (add_texts if type_name == "str" else add_elements)(digest, value)
    return type_name, shape, digest.hexdigest()


def _type_name(dtype: np.dtype[Any]) -> str:
    """Name a type as NumPy does, "str" for texts of variable length; "" where a value of it is not digested."""
    if is_text(dtype):
        return "str"
    return dtype.str.lstrip("|") if dtype.kind == "S" else dtype.name if has_hdf5_type(dtype) else ""
