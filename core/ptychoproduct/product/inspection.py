"""What is in a product, as data: every group, dataset, attribute and link of the file, and how each is stored."""

from __future__ import annotations

import math
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychoproduct.compression.codecs import codec_of
from ptychoproduct.compression.filters import missing_filters
from ptychoproduct.errors import ContractError, SourceError
from ptychoproduct.hdf5.chunk_grid import shape_of
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import DAMAGE, last_words, local_dataset, open_hdf5, reading
from ptychoproduct.hdf5.sharded_chunks import stored_as, stored_bytes
from ptychoproduct.model import contract
from ptychoproduct.model.plausibility import stands_for_unknown
from ptychoproduct.product.reader import Product, open_product
from ptychoproduct.validation.damage import damage_beside_frames
from ptychoproduct.validation.metadata_digest import metadata_damage
from ptychoproduct.validation.mixed_pairs import mixed_pair, patterns_beside

Element = str | bool | int | float
Value = Element | tuple[Element, ...] | None

_DEEPEST = 32
MOST_ELEMENTS = 6
_MOST_BYTES = 16 * 1024**2  # of a chunk that is decoded to see whether it can be


@dataclass(frozen=True)
class AttributeEntry:
    """An attribute.

    Parameters
    ----------
    name : str
    dtype : str
        "str" for text.
    shape : tuple of int
    value : str, bool, int, float, tuple of these, or None
        The first `MOST_ELEMENTS` of an array; None where it has none, or is missing (the type is "" then).
    unit : str
        The contract's, "" for none.
    is_given : bool
        False where the value is the zero that stands for one that was not given.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    value: Value
    unit: str = ""
    is_given: bool = True


@dataclass(frozen=True)
class DatasetEntry:
    """A dataset.

    Parameters
    ----------
    path : str
    dtype : str
        "str" for text.
    shape : tuple of int
    unit : str
        The contract's, "" for none.
    chunk_shape : tuple of int or None
    codec : str
        See `codec_of`.
    nbytes, stored_bytes : int
        Size in memory and in the file.
    ratio : float or None
        Their ratio; None where nothing is compressed.
    attributes : tuple of AttributeEntry
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    unit: str
    chunk_shape: tuple[int, ...] | None
    codec: str
    nbytes: int
    stored_bytes: int
    ratio: float | None
    attributes: tuple[AttributeEntry, ...]


@dataclass(frozen=True)
class LinkEntry:
    """A name that leads to something else; it is not followed.

    Parameters
    ----------
    path : str
    target : str
        A path in the file, or the name of another file and a path in it.
    kind : {"hard link", "soft link", "external link", "other"}
        A hard link is another name of what is listed elsewhere; what is neither group nor dataset is "other".
    """

    path: str
    target: str
    kind: str


@dataclass(frozen=True)
class GroupEntry:
    """A group.

    Parameters
    ----------
    path : str
    attributes : tuple of AttributeEntry
    members : tuple of GroupEntry, DatasetEntry or LinkEntry
        The contract's in its order, then the others by name, then groups.
    """

    path: str
    attributes: tuple[AttributeEntry, ...]
    members: tuple[GroupEntry | DatasetEntry | LinkEntry, ...]


@dataclass(frozen=True)
class Inspection:
    """A file, and whether it is a product.

    Parameters
    ----------
    product : Path
    file_bytes : int
    root : GroupEntry
    problem : str or None
        Why it cannot be opened as a product.
    mixed_pair : str or None
        Says that the patterns file beside it is from another conversion.
    changed : str or None
        Says that attributes, names or texts have changed since their digest was made.
    """

    product: Path
    file_bytes: int
    root: GroupEntry
    problem: str | None
    mixed_pair: str | None = None
    changed: str | None = None


def inspect_product(path: str | PathLike[str]) -> Inspection:
    """List what is in a product, or in any other HDF5 file; of its data, one frame and the small datasets are read.

    Parameters
    ----------
    path : path

    Raises
    ------
    SourceError
        There is no HDF5 file, or its structure is damaged.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        try:
            root = _group(file, "/", _preferred_paths(file))
        except DAMAGE as error:
            raise SourceError(path, f"damaged or not readable: {last_words(error)}") from error
    problem, changed = None, None
    try:
        with open_product(path) as product:
            root = _with_missing(root)
            changed = metadata_damage(product.file)
            _require_sound(product)
    except ContractError as error:
        problem = error.with_flags
    patterns = patterns_beside(path)
    mixed = None if patterns is None else mixed_pair(path, patterns)
    return Inspection(path, path.stat().st_size, root, problem, None if mixed is None else mixed.message, changed)


def _require_sound(product: Product) -> None:
    """See that what is shown of a product is what was written; ContractError where it is not."""
    with reading(product.file):
        for name, words in damage_beside_frames(product.file):
            raise ContractError(product.path, f"damaged: {words}", key=name)
    frames = local_dataset(product.file, contract.DIFFRACTION.name)
    if frames is None or not frames.chunks or not frames.size or missing_filters(frames):
        return
    if math.prod(frames.chunks) * frames.dtype.itemsize <= _MOST_BYTES:
        with closing(DatasetReader(frames, 1)) as reader:
            reader.read(slice(0, 1))


_ATTRIBUTES = {
    "/": contract.ROOT_ATTRIBUTES,
    **{f"/{dataset.name}": dataset.attributes for dataset in contract.DATASETS},
}
_DATASETS = {f"/{name}": dataset for dataset in contract.DATASETS for name in (dataset.name, *dataset.aliases)}


def _with_missing(root: GroupEntry) -> GroupEntry:
    """Add the attributes that a product must have and this one lacks: they have no type, and the value None."""

    def with_missing(entry: GroupEntry | DatasetEntry) -> tuple[AttributeEntry, ...]:
        there = {attribute.name for attribute in entry.attributes}
        return entry.attributes + tuple(
            AttributeEntry(expected.name, "", (), None, expected.unit)
            for expected in _ATTRIBUTES.get(entry.path, ())
            if expected.presence == "required"
            and expected.default is None
            and there.isdisjoint((expected.name, *expected.aliases))
        )

    members = (
        replace(member, attributes=with_missing(member)) if isinstance(member, DatasetEntry) else member
        for member in root.members
    )
    return replace(root, attributes=with_missing(root), members=tuple(members))


def _preferred_paths(file: h5py.File) -> dict[Any, str]:
    """Return the name under which each of the contract's datasets is listed, by its identity."""
    paths: dict[Any, str] = {}
    for path in _DATASETS:
        name = path.removeprefix("/")
        with suppress(ContractError):  # a name that leads elsewhere
            dataset = local_dataset(file, name)
            if dataset is not None and _has_hard_links(file, name):
                paths.setdefault(_identity(dataset), path)
    return paths


def _has_hard_links(file: h5py.File, name: str) -> bool:
    """Whether no part of a path is a soft link, which is listed as such."""
    parts = name.split("/")
    prefixes = ("/".join(parts[: count + 1]) for count in range(len(parts)))
    return all(isinstance(file.get(prefix, getlink=True), h5py.HardLink) for prefix in prefixes)


def _group(group: h5py.Group, path: str, paths: dict[Any, str]) -> GroupEntry:
    """List a group; `paths` has the name under which each member is listed, by its identity."""
    if path.count("/") > _DEEPEST:
        raise RuntimeError(f"(more than {_DEEPEST} groups inside each other)")
    paths[_identity(group)] = path
    attributes = _attributes(group, path)
    order = [name for name in _DATASETS if name.rpartition("/")[0] == path.rstrip("/")]
    children = sorted(
        (f"{path.rstrip('/')}/{name}" for name in group),
        key=lambda member: (order.index(member) if member in order else len(order), member),
    )
    members = [_member(group, child, paths) for child in children]
    return GroupEntry(path, attributes, tuple(sorted(members, key=_rank)))


def _rank(member: GroupEntry | DatasetEntry | LinkEntry) -> int:
    """Return a key to sort by: datasets before groups, the scan before other groups."""
    return 0 if not isinstance(member, GroupEntry) else 1 if member.path == f"/{contract.RAW_DATA}" else 2


def _member(group: h5py.Group, path: str, paths: dict[Any, str]) -> GroupEntry | DatasetEntry | LinkEntry:
    name = path.rpartition("/")[2]
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        return LinkEntry(path, f"{link.filename}:{link.path}", "external link")
    if isinstance(link, h5py.SoftLink):
        return LinkEntry(path, link.path, "soft link")
    found = group[name]
    listed = paths.setdefault(_identity(found), path)
    if listed != path:
        return LinkEntry(path, listed, "hard link")
    if isinstance(found, h5py.Group):
        return _group(found, path, paths)
    if isinstance(found, h5py.Dataset):
        return _dataset(found, path)
    return LinkEntry(path, "a named type", "other")


def _identity(found: h5py.HLObject) -> Any:
    return h5py.h5o.get_info(found.id).addr


def _dataset(dataset: h5py.Dataset, path: str) -> DatasetEntry:
    known = _DATASETS.get(path)
    stored_shape = shape_of(dataset.id)
    shape = stored_shape or ()
    with stored_as(dataset) as stored:
        codec, chunk_shape = str(codec_of(stored)), stored.chunks
    nbytes = 0 if stored_shape is None else math.prod(shape) * dataset.dtype.itemsize
    nbytes_stored = stored_bytes(dataset)
    return DatasetEntry(
        path,
        dtype=_dtype_name(dataset.dtype),
        shape=shape,
        unit=known.unit if known else "",
        chunk_shape=chunk_shape,
        codec=codec,
        nbytes=nbytes,
        stored_bytes=nbytes_stored,
        ratio=nbytes / nbytes_stored if codec != "none" and nbytes_stored else None,
        attributes=_attributes(dataset, path),
    )


def _attributes(target: h5py.Group | h5py.Dataset, path: str) -> tuple[AttributeEntry, ...]:
    known = {
        name: attribute for attribute in _ATTRIBUTES.get(path, ()) for name in (attribute.name, *attribute.aliases)
    }
    order = list(known)
    names = sorted(target.attrs, key=lambda name: (order.index(name) if name in known else len(order), name))
    return tuple(_attribute(target, name, known.get(name)) for name in names)


def _attribute(target: h5py.Group | h5py.Dataset, name: str, known: contract.Attribute | None) -> AttributeEntry:
    stored = target.attrs.get_id(name)
    shape = stored.shape or ()
    value: Value = None
    if stored.shape is not None and math.prod(shape):
        try:
            elements = np.asarray(target.attrs[name]).reshape(-1)
            first = tuple(_plain(element) for element in elements[:MOST_ELEMENTS])
            value = first if len(elements) > 1 else first[0]
        except (OSError, RuntimeError, TypeError, ValueError) as error:  # a type that h5py cannot read
            value = f"cannot be read: {last_words(error)}"
    unit, field = ("", None) if known is None else (known.unit, known.field)
    return AttributeEntry(name, _dtype_name(stored.dtype), shape, value, unit, not stands_for_unknown(field, value))


def _plain(item: Any) -> Element:
    """Return an element as a Python object; as text, where JSON has no such type."""
    if isinstance(item, np.generic):
        item = item.item()
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace")
    if isinstance(item, str | bool | int) or (isinstance(item, float) and math.isfinite(item)):
        return item
    return str(item)


def _dtype_name(dtype: np.dtype[Any]) -> str:
    if h5py.check_string_dtype(dtype) is not None:
        return "str"
    return "reference" if h5py.check_ref_dtype(dtype) is not None else str(dtype)
