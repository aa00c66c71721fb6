"""In what two products differ: names, attributes, how datasets are stored, and their content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import counted
from ptychoproduct.hdf5.dataset_reader import DatasetReader, is_stored_as_in_memory
from ptychoproduct.hdf5.local_links import naming_damage, open_hdf5, reading
from ptychoproduct.hdf5.object_copy import elements_of
from ptychoproduct.model import contract
from ptychoproduct.product.inspection import (
    AttributeEntry,
    DatasetEntry,
    GroupEntry,
    Inspection,
    LinkEntry,
    inspect_product,
)

# They follow from what is compared here.
_DIGESTS = (contract.CONTENT_DIGEST.name, contract.METADATA_DIGEST.name, contract.ROW_CHECKSUMS)


@dataclass(frozen=True)
class Difference:
    """One difference.

    Parameters
    ----------
    where : str
        The path of a group or dataset, and behind @ the name of an attribute.
    first, second : str
        What is there in each product; empty where nothing is.
    content : str
        How the content of two datasets of one type and shape differs.
    """

    where: str
    first: str
    second: str
    content: str = ""


def compare_products(first: str | PathLike[str], second: str | PathLike[str]) -> list[Difference]:
    """List the differences of two products, or of any two HDF5 files; digests are not compared, all content is.

    Parameters
    ----------
    first, second : path

    Raises
    ------
    SourceError
        There is no HDF5 file.
    ContractError
        Something in a file cannot be read.
    """
    paths = Path(first), Path(second)
    inspections = [inspect_product(path) for path in paths]
    found = [_entries(inspection) for inspection in inspections]
    differences = []
    with open_hdf5(paths[0]) as one, naming_damage(paths[0]), open_hdf5(paths[1]) as two, naming_damage(paths[1]):
        for where in dict.fromkeys([*found[0], *found[1]]):
            (here, first_text), (there, second_text) = (entries.get(where, (None, "")) for entries in found)
            content = ""
            if isinstance(here, DatasetEntry) and isinstance(there, DatasetEntry):
                if (here.shape, here.dtype) == (there.shape, there.dtype):
                    content = _content(one[where], two[where])
            elif isinstance(here, AttributeEntry) and isinstance(there, AttributeEntry) and first_text == second_text:
                owner, _, name = where.rpartition("@")
                if _stored(one[owner].attrs.get_id(name)) != _stored(two[owner].attrs.get_id(name)):
                    content = "other elements behind these"
            if first_text != second_text:
                differences.append(Difference(where, first_text, second_text))
            if content:
                differences.append(Difference(where, first_text, second_text, content))
    return differences


def _entries(inspection: Inspection) -> dict[str, tuple[Any, str]]:
    """Return all that is in a file with a text that says what it is, by its place."""
    return dict(_walk(inspection.root))


def _walk(entry: GroupEntry | DatasetEntry | LinkEntry) -> Iterator[tuple[str, tuple[Any, str]]]:
    if isinstance(entry, LinkEntry):
        yield entry.path, (entry, f"{entry.kind} to {entry.target}")
        return
    yield entry.path, (entry, _storage(entry) if isinstance(entry, DatasetEntry) else "a group")
    for attribute in entry.attributes:
        if attribute.name not in _DIGESTS and attribute.dtype:
            yield f"{entry.path}@{attribute.name}", (attribute, _value(attribute))
    for member in entry.members if isinstance(entry, GroupEntry) else ():
        yield from _walk(member)


def _storage(dataset: DatasetEntry) -> str:
    chunks = f", chunks of {_shape(dataset.chunk_shape)}" if dataset.chunk_shape else ""
    return f"{_shape(dataset.shape)} {dataset.dtype}, {dataset.codec}{chunks}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one"


def _value(attribute: AttributeEntry) -> str:
    value, unit = attribute.value, f" {attribute.unit}" if attribute.unit not in ("", "1") else ""
    if isinstance(value, tuple):
        return f"{_shape(attribute.shape)} {attribute.dtype}: {', '.join(map(str, value))}"
    return f"{attribute.dtype} {list(attribute.shape)}" if value is None else f"{value}{unit}"


def _stored(attribute: Any) -> Any:
    """Return an attribute as what can be compared to the last bit."""
    if attribute.shape is None:
        return None
    elements = elements_of(attribute)[0]
    return elements.tolist() if elements.dtype.hasobject else (str(elements.dtype), elements.tobytes())


def _content(first: h5py.Dataset, second: h5py.Dataset) -> str:
    """Say how many elements of two datasets of one shape and type differ; empty where none does."""
    if not first.shape or not is_stored_as_in_memory(first) or first.dtype.kind not in "biufc":
        with reading(first), reading(second):
            same = first.shape is None or _plain(first[()]) == _plain(second[()])
        return "" if same else "other content"
    differing, largest = 0, 0.0
    with closing(DatasetReader(first)) as reader, closing(DatasetReader(second)) as other:
        for rows, future in reader.blocks(lambda _, block: block):
            ours, theirs = future.result(), other.read(slice(rows.start, rows.stop))
            unequal = (ours != theirs) & ~(_is_nan(ours) & _is_nan(theirs))
            if unequal.any():
                differing += int(unequal.sum())
                wide = np.complex128 if ours.dtype.kind == "c" else np.float64
                distances = np.abs(ours[unequal].astype(wide) - theirs[unequal].astype(wide))
                largest = max(largest, float(np.nanmax(distances, initial=0.0)))
    if not differing:
        return ""
    return f"{differing:,} of {counted(first.size, 'element')} differ, by {largest:.4g} at most"


def _is_nan(values: Array) -> Array:
    return np.isnan(values) if values.dtype.kind in "fc" else np.zeros(values.shape, bool)


def _plain(value: Any) -> Any:
    array = np.asarray(value)
    return array.tolist() if array.dtype.hasobject else array.tobytes()
