"""Reading what the contract names, from a file of any dialect."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError, OptionError, warn
from ptychoproduct.hdf5.chunk_grid import datasets_of, not_stored
from ptychoproduct.hdf5.local_links import local_dataset, local_group, local_object, reading
from ptychoproduct.hdf5.shard_layout import is_sharded
from ptychoproduct.hdf5.sharded_chunks import shard_problems
from ptychoproduct.model import contract
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.model.metadata import ExportMeta

_LONGEST_VALUE = 60
_MOST_NAMED = 8
# Of any object in a product, ptychodus's and PtychoPINN's included.
_ATTRIBUTES = {
    *(name for known in contract.ROOT_ATTRIBUTES for name in (known.name, *known.aliases)),
    *(known.name for dataset in contract.DATASETS for known in dataset.attributes),
    *(contract.UNITS.name, contract.CONTENT_DIGEST.name, contract.ROW_CHECKSUMS, contract.LOST_ROWS),
    *(contract.OPR_WEIGHTS, "bundle_version", "contains_raw_data"),
}
_PIXEL_SIZES = (contract.OBJECT_PIXEL_WIDTH.name, contract.OBJECT_PIXEL_HEIGHT.name)


def find_dataset(file: h5py.File, expected: contract.Dataset) -> h5py.Dataset | None:
    """Return a dataset of the contract by the first of its names that is there; None where none is.

    Raises
    ------
    ContractError
        A name leads to another file, or to something that is not a dataset.
    """
    for name in (expected.name, *expected.aliases):
        found = local_dataset(file, name)
        if found is not None:
            return found
    return None


def storage_problems(file: h5py.File, most_chunks: int | None = None) -> Iterator[tuple[str, str]]:
    """Tell of the datasets whose elements are not all in the file; gaps are allowed in what the contract does not name.

    Parameters
    ----------
    file : h5py.File
    most_chunks : int, optional
        See `not_stored`.

    Yields
    ------
    name, problem : str
    """
    names: dict[h5py.h5d.DatasetID, str] = {}
    for found in datasets_of(file):
        if not not_stored(found, most_chunks=most_chunks):
            continue
        names = names or names_of_ours(file)
        name = names.get(found, h5py.h5i.get_name(found).decode("utf-8", "replace"))
        rows = "frames" if name == f"/{contract.DIFFRACTION.name}" else "rows"
        problem = not_stored(found, rows, allow_gaps=found not in names)
        if problem:
            yield name, problem
    with suppress(ContractError):  # who looks for the frames is told
        frames = local_dataset(file, contract.DIFFRACTION.name)
        if frames is not None and is_sharded(frames) and most_chunks is None:
            yield from ((f"/{contract.DIFFRACTION.name}", problem) for problem in shard_problems(frames))


def names_of_ours(file: h5py.File) -> dict[h5py.h5d.DatasetID, str]:
    """Return the names of the datasets that products consist of."""
    names = [name for expected in contract.DATASETS for name in (expected.name, *expected.aliases)]
    with suppress(ContractError):
        names += [f"{contract.RAW_DATA}/{name}" for name in local_group(file, contract.RAW_DATA) or ()]
    ours: dict[h5py.h5d.DatasetID, str] = {}
    for name in names:
        with suppress(ContractError):
            dataset = local_dataset(file, name)
            if dataset is not None:
                ours.setdefault(dataset.id, f"/{name}")
    return ours


def tell_of_others(file: h5py.File, path: Path) -> None:
    """Warn of what somebody has added to a product, and what is made of the product does not get.

    Groups and datasets that the contract does not know, and attributes of the root and of datasets there.

    Parameters
    ----------
    file : h5py.File
    path : Path
        What the warning calls it.
    """
    datasets = [name for expected in contract.ROOT_DATASETS for name in (expected.name, *expected.aliases)]
    ours = {*datasets, contract.OLD_LAYER_DISTANCE.name, contract.RAW_DATA, contract.ENTRY}
    found = [f"/{name}" for name in file if name not in ours]
    found += [f"/@{name}" for name in file.attrs if name not in _ATTRIBUTES]
    for name in datasets:
        with suppress(ContractError):
            dataset = local_dataset(file, name)
            found += [f"/{name}@{key}" for key in (() if dataset is None else dataset.attrs) if key not in _ATTRIBUTES]
    with suppress(ContractError):
        raw = local_group(file, contract.RAW_DATA)
        if raw is not None:
            own = [name for name in raw if isinstance(raw.get(name, getlink=True), h5py.HardLink)]
            found += [f"{raw.name}/{name}" for name in own if isinstance(local_object(raw, name), h5py.Group)]
    if found:
        others = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        named = ", ".join(sorted(found)[:_MOST_NAMED])
        warn(f"{path}: not taken over, as products have no such parts: {named}{others}")


def _checked(dataset: h5py.Dataset, expected: contract.Dataset) -> h5py.Dataset:
    """Return the dataset.

    Raises
    ------
    ContractError
        It does not have the contract's kind of numbers and dimensions.
    """
    if not fits_contract(dataset, expected):
        shapes = " or ".join(f"[{', '.join(shape)}]" for shape in expected.shapes)
        raise ContractError(
            dataset.file.filename,
            key=dataset.name,
            found=f"{dataset.dtype} {dataset.shape}",
            expected=f"{' or '.join(expected.dtypes)} with shape {shapes}",
        )
    return dataset


def fits_contract(dataset: h5py.Dataset, expected: contract.Dataset) -> bool:
    """Whether a dataset has the contract's kind of numbers and dimensions."""
    if dataset.shape is None or dataset.ndim not in map(len, expected.shapes):
        return False
    return dataset.dtype.kind in {np.dtype(name).kind for name in expected.dtypes} or _is_empty_list(dataset)


def type_fits(dataset: h5py.Dataset, expected: contract.Dataset) -> bool:
    """Whether a dataset has one of the contract's types; an empty list may have any."""
    return dataset.dtype.newbyteorder("=").name in expected.dtypes or _is_empty_list(dataset)


def _is_empty_list(dataset: h5py.Dataset) -> bool:
    """Whether there are no numbers, as ptychodus stores a history without epochs: NumPy takes [] for floats."""
    return dataset.shape == (0,) and dataset.dtype.kind in "iuf"


def _read_values(dataset: h5py.Dataset, expected: contract.Dataset) -> Array:
    """Read a dataset whole.

    Raises
    ------
    ContractError
        It does not fit the contract, or cannot be decoded.
    """
    with reading(_checked(dataset, expected)):
        values: Array = dataset[()]
    return values if values.size else values.astype(expected.dtypes[0])


def read_attribute(target: h5py.File | h5py.Dataset, attribute: contract.Attribute) -> Any:
    """Return an attribute's value by the first of its names that is there; None where none is.

    Raises
    ------
    ContractError
        The value has another type.
    """
    for name in (attribute.name, *attribute.aliases):
        if name not in target.attrs:
            continue
        with reading(target):
            value = target.attrs[name]
        try:
            return _as_type(value, attribute.dtype)
        except (TypeError, ValueError) as error:
            found = repr(value)
            raise ContractError(
                target.file.filename,
                key=f"{target.name}@{name}",
                found=found if len(found) <= _LONGEST_VALUE else f"{found[:_LONGEST_VALUE]}...",
                expected=f"one value of {attribute.dtype}",
            ) from error
    return None


def read_recipe(frames: h5py.Dataset) -> CountsRecipe | None:
    """Return how amplitudes are computed from the counts of a dataset; None where it holds the frames themselves.

    Raises
    ------
    ContractError
        The attributes are not understood, or do not fit the dataset.
    """
    if read_attribute(frames, contract.QUANTITY) is None:
        return None
    values: dict[str, Any] = {}
    for attribute in contract.RECIPE:
        values[attribute.name] = read_attribute(frames, attribute)
        if values[attribute.name] is None:
            problem = f"is missing; frames with the attribute {contract.QUANTITY.name} need it"
            raise ContractError(frames.file.filename, problem, key=f"{frames.name}@{attribute.name}")
    try:
        return CountsRecipe(count_dtype=frames.dtype.newbyteorder("=").name, **values)
    except OptionError as error:
        key = frames.name if error.option == "count_dtype" else f"{frames.name}@{error.option}"
        raise ContractError(frames.file.filename, error.sentence, key=key) from error


def read_metadata(root: h5py.File | h5py.Group, probe: h5py.Dataset, object_: h5py.Dataset) -> ExportMeta:
    """Read the metadata of a product; None for what it does not say.

    Raises
    ------
    ContractError
        A value has another type, or is out of range.
    """
    values: dict[str, Any] = {}
    for target, attributes in (
        (root, contract.ROOT_ATTRIBUTES),
        (object_, contract.OBJECT.attributes),
        (probe, contract.PROBE.attributes),
    ):
        for attribute in attributes:
            value = read_attribute(target, attribute) if attribute.field else None
            if stands_for_nothing(attribute, value):
                warn(
                    f"{root.file.filename}: {target.name}@{attribute.name}: is {value}; the value is taken as not known"
                )
            elif value is not None:
                values[attribute.field] = value
    # ptychodus takes a probe without pixel size to be sampled like the object.
    for side in ("width", "height"):
        if f"object_pixel_{side}_m" in values:
            values.setdefault(f"probe_pixel_{side}_m", values[f"object_pixel_{side}_m"])
    try:
        return ExportMeta(**values)
    except OptionError as error:
        raise ContractError(root.file.filename, error.sentence, key=error.option) from error


def stands_for_nothing(attribute: contract.Attribute, value: Any) -> bool:
    """Whether a number is what ptychodus writes where it does not know one: not finite, or a pixel of size zero."""
    return isinstance(value, float) and (not np.isfinite(value) or (value == 0 and attribute.name in _PIXEL_SIZES))


def read_layer_spacing(file: h5py.File, object_: h5py.Dataset) -> Array | None:
    """Read the distances between an object's layers, also under their old name; None where there are none.

    Raises
    ------
    ContractError
        They cannot be read.
    """
    found = find_dataset(file, contract.OBJECT_LAYER_SPACING)
    if found is not None:
        return _read_values(found, contract.OBJECT_LAYER_SPACING)
    found = find_dataset(file, contract.OLD_LAYER_DISTANCE)
    layers = object_.shape[0] if object_.ndim == 3 else 1
    return None if found is None else _read_values(found, contract.OLD_LAYER_DISTANCE)[: layers - 1]


def _as_type(value: Any, dtype: str) -> str | bool | float:
    """Convert a single value, also one in an array, to a Python object."""
    if dtype == "str":
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, str):
            return value
        raise TypeError
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise TypeError
    return bool(array.item()) if dtype == "bool" else float(array.item())


def not_a_product(path: Path, name: str) -> str:
    """Say of an HDF5 file without a dataset that it is not a product, and how to make one."""
    command = shlex.join(["ptychoproduct", "convert", path.name, "NEW.h5"])
    return f"is not a ptychodus product (there is no dataset {name!r}); to make one: {command}"
