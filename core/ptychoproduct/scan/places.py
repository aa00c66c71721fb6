"""Looking up the places of `field_layouts` in a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError, warn
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.scan.field_layouts import LAYOUTS
from ptychoproduct.scan.layout import Layout


def layouts_of(source: Hdf5Source) -> Iterator[Layout]:
    """Give the layouts that a file may have: all but those whose mark it does not have."""
    for layout in LAYOUTS:
        if layout.mark is None or source.exists(layout.mark):
            yield layout


def places(source: Hdf5Source, part: str) -> Iterator[str]:
    """Give the paths that may hold a part of a scan, such as "frames", without ``*``."""
    yield from dict.fromkeys(name for path in paths_of(source, part) for name in named(source, path))


def paths_of(source: Hdf5Source, part: str) -> Iterator[str]:
    """Give the paths of the layouts that may hold a part of a scan."""
    yield from dict.fromkeys(path for layout in layouts_of(source) for path in getattr(layout, part))


def named(source: Hdf5Source, path: str) -> Iterator[str]:
    """Give a path with the names that the file has in place of ``*``: of groups, or at its end of anything."""
    group, star, rest = path.partition("/*")
    if not star:
        yield path
        return
    for name in source.groups(group or "/") if rest else source.names(group or "/"):
        yield from named(source, f"{group}/{name}{rest}")


def first_named(source: Hdf5Source, paths: Iterable[str]) -> h5py.Dataset | None:
    """Return the first dataset that is there; None where none is.

    Warns
    -----
    ProductWarning
        There are others under other names in place of the same ``*``.
    """
    for path in paths:
        found = [dataset for name in named(source, path) if (dataset := source.find(name)) is not None]
        if len(found) > 1:
            names = ", ".join(dataset.name for dataset in found)
            warn(f"{source.path}: the first of {names} is taken; give FILE:KEY for another")
        if found:
            return found[0]
    return None


def find_place(source: Hdf5Source, path: str) -> h5py.Dataset | None:
    """Return a dataset, or several that a path with ``#`` names, joined; None where there is none.

    Raises
    ------
    SourceError
        They do not go together, or one cannot be read.
    """
    parts = parts_at(source, path)
    if len(parts) < 2:
        return parts[0] if parts else None
    if len({(part.shape[1:], part.dtype) for part in parts}) > 1 or not parts[0].ndim:
        found = ", ".join(f"{part.dtype} {part.shape}" for part in parts)
        raise SourceError(source.path, f"the parts do not go together: {found}", key=path)
    return source.joined(joined_name(path), parts)


def joined_name(path: str) -> str:
    """Return what the datasets of a path with ``#`` are called together."""
    return re.sub("[/_]#", "", path)


def parts_at(source: Hdf5Source, path: str) -> list[h5py.Dataset]:
    """Return the datasets of a path, in the order of their numbers; of several, those that are not empty."""
    before, number, after = path.partition("#")
    if not number:
        found = source.find(path)
        return [] if found is None else [found]
    group, _, stem = before.rpartition("/")
    numbers = (name.removeprefix(stem) for name in source.names(group) if name.startswith(stem))
    paths = [f"{before}{digits}{after}" for digits in sorted(filter(str.isdecimal, numbers), key=int)]
    return [part for part in map(source.find, paths) if part is not None and part.shape and part.size]


def read_place(source: Hdf5Source, path: str) -> Array | None:
    """Read the numbers at a path whole, those of several parts one after the other; None where there are none."""
    place, at, attribute = path.partition("@")
    if at:
        value = np.asarray(source.attributes(place).get(attribute, ""))
        return value if value.dtype.kind in "iuf" else None
    parts = (part for part in parts_at(source, path) if part.dtype.kind in "iuf" and part.shape is not None)
    tables = list(map(source.read, parts))
    if len({table.shape[1:] for table in tables}) > 1:
        return None
    return tables[0] if len(tables) == 1 else np.concatenate(tables) if tables else None


def text_at(source: Hdf5Source, path: str) -> str:
    """Read a text at a path, such as a unit; "" where there is none."""
    place, at, attribute = path.partition("@")
    if at:
        return as_text(source.attributes(place).get(attribute))
    dataset = source.find(place)
    if dataset is None or dataset.shape != () or h5py.check_string_dtype(dataset.dtype) is None:
        return ""
    with source.reading(place):
        return as_text(dataset[()])


def as_text(value: Any) -> str:
    """Return a text of HDF5's as str; "" where it is something else."""
    value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.replace("\0", "").strip() if isinstance(value, str) else ""
