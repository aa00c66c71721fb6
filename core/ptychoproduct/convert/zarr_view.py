"""A product as Zarr reads it, without a copy: references to the bytes of its chunks, in kerchunk's JSON, version 1.

https://fsspec.github.io/kerchunk/spec.html, and Zarr's format 2, https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Progress
from ptychoproduct.compression.filters import filter_library, filters_of
from ptychoproduct.convert.importer import ImportSummary
from ptychoproduct.errors import ContractError, OutputError, warn
from ptychoproduct.hdf5.chunk_grid import not_stored, stored_chunks
from ptychoproduct.hdf5.dataset_reader import is_stored_as_in_memory
from ptychoproduct.hdf5.local_links import naming_damage, reading
from ptychoproduct.model import contract
from ptychoproduct.product.reader import open_product
from ptychoproduct.system.atomic import atomic_output, writing_errors
from ptychoproduct.validation.damage import require_same_metadata
from ptychoproduct_native import FilterError

JSON_SUFFIX = ".json"
CODEC_ID = "ptychoproduct_hdf5_filters"
_METADATA = (".zgroup", ".zarray", ".zattrs")
_MOST_ELEMENTS = 64  # of an attribute
# HDF5's filters that numcodecs has a codec of the same bytes for: its name, and those of the parameters that it takes.
_CODECS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: ("zlib", ("level",)),
    2: ("shuffle", ("elementsize",)),
    3: ("fletcher32", ()),
    307: ("bz2", ("level",)),
    32015: ("zstd", ("level",)),
}


def reference_product(
    path: str | PathLike[str],
    json_path: str | PathLike[str],
    *,
    url: str | None = None,
    overwrite: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> ImportSummary:
    """Write a small file by which Zarr, and xarray, read a product where it lies: on a disk, or over HTTP.

    Parameters
    ----------
    path : path
        A product, or any of its dialects.
    json_path : path
        ``*.json``, which fsspec ("reference"), kerchunk and VirtualiZarr open; appears when it is complete.
    url : str, optional
        Where readers find the product, such as ``https://host/scan.h5``; its absolute path by default.
    overwrite : bool
        Whether an existing file may be replaced.
    force : bool
        Whether that may be a read-only file.
    progress : callable, optional
        Called with the number of bytes of all frames, at the end: they are not read.

    Returns
    -------
    ImportSummary

    Raises
    ------
    SourceError
        There is no HDF5 file.
    ContractError
        The file is no product, is damaged, or has chunks that Zarr cannot be told of.
    OutputError
        The file cannot be written there.

    Warns
    -----
    ProductWarning
        Datasets have no type in Zarr, and are left out.
    """
    path, json_path = Path(path), Path(json_path)
    if json_path.suffix.lower() != JSON_SUFFIX:
        raise OutputError(json_path, found=f"suffix {json_path.suffix!r}", expected=JSON_SUFFIX)
    with naming_damage(path), open_product(path) as product, reading(product.file):
        require_same_metadata(product.file)
        if product.file.userblock_size:
            raise ContractError(path, "begins with a user block; write it without one: h5repack -u 0")
        references: dict[str, Any] = {".zgroup": '{"zarr_format": 2}', ".zattrs": json.dumps(_attributes(product.file))}
        members, left_out = [], []
        for name, found in _objects(product.file):
            if isinstance(found, h5py.Group):
                references[f"{name}/.zgroup"] = '{"zarr_format": 2}'
            elif found.shape is None or found.is_virtual or found.external or not is_stored_as_in_memory(found):
                left_out.append(name)
            else:
                members.append(name)
                array = _array(found, name, url or path.absolute().as_posix())
                references |= {f"{name}/{key}": value for key, value in array.items()}
        if left_out:
            warn(f"{json_path}: does not hold {', '.join(left_out)}")
        references |= _consolidated(references)
        content = {"version": 1, "refs": references}
        frames = product.frames
        stored = None if frames is None else frames.counts or frames
        with (
            atomic_output(json_path, overwrite=overwrite, force=force, sources=(path,)) as part,
            writing_errors(json_path),
        ):
            part.write_text(json.dumps(content), encoding="utf-8")
        if progress is not None and stored is not None:
            progress(stored.nbytes)
    return ImportSummary(
        archive=json_path,
        members=tuple(members),
        frames=0 if stored is None else len(stored),
        frame_shape=() if stored is None else stored.shape[1:],
        frame_dtype="" if stored is None else str(stored.dtype),
        axis_order="NHW",
        file_bytes=json_path.stat().st_size,
    )


def _objects(
    group: h5py.Group, path: str = "", above: tuple[h5py.Group, ...] = ()
) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Give everything in a file by each of its names; soft links are other ways to the same."""
    for name in group:
        found = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        if isinstance(found, h5py.Dataset | h5py.Group):
            yield f"{path}{name}", found
        if isinstance(found, h5py.Group) and found not in above:
            yield from _objects(found, f"{path}{name}/", (*above, found))


def _array(dataset: h5py.Dataset, name: str, url: str) -> dict[str, Any]:
    """Return metadata of an array, and where its chunks are."""
    lost = not_stored(dataset.id)
    if lost:
        raise ContractError(dataset.file.filename, lost, key=name)
    shape, chunks = dataset.shape, dataset.chunks or dataset.shape
    dimensions = _dimensions(name, shape)
    metadata = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": [max(1, length) for length in chunks],
        "dtype": dataset.dtype.str,
        "order": "C",
        "fill_value": None,
        "compressor": None,
        "filters": _codecs(dataset) or None,
    }
    attributes = {**_attributes(dataset), "_ARRAY_DIMENSIONS": dimensions}
    return {".zarray": json.dumps(metadata), ".zattrs": json.dumps(attributes)} | dict(_chunks(dataset, name, url))


def _consolidated(references: dict[str, Any]) -> dict[str, str]:
    """Return for each group the metadata of all below it, as zarr 3.1 cannot list it."""
    groups = [key.removesuffix(".zgroup") for key in references if key.endswith(".zgroup")]
    texts = {key: json.loads(text) for key, text in references.items() if key.endswith(_METADATA)}
    below = {
        group: {key[len(group) :]: text for key, text in texts.items() if key.startswith(group)} for group in groups
    }
    return {
        f"{group}.zmetadata": json.dumps({"zarr_consolidated_format": 1, "metadata": found})
        for group, found in below.items()
    }


def _chunks(dataset: h5py.Dataset, name: str, url: str) -> Iterator[tuple[str, Any]]:
    """Give the key of each chunk, and its place in the file; or its bytes, where it is in a header."""
    if dataset.chunks:
        chunks = stored_chunks(dataset.id)
        if chunks.masks.any():
            origin = tuple(map(int, chunks.origins[np.argmax(chunks.masks != 0)]))
            problem = f"chunk {origin} was stored without all filters, which Zarr cannot know; repack the product"
            raise ContractError(dataset.file.filename, problem, key=name)
        numbers = chunks.origins // np.array(dataset.chunks, np.uint64)
        for number, offset, size in zip(numbers, chunks.byte_offsets, chunks.sizes, strict=True):
            yield ".".join(map(str, number)), [url, int(offset), int(size)]
    elif dataset.size:
        offset = dataset.id.get_offset()
        encoded = None if offset is not None else base64.b64encode(dataset[()].tobytes()).decode()
        key = ".".join("0" * len(dataset.shape)) or "0"
        yield key, f"base64:{encoded}" if offset is None else [url, offset, dataset.id.get_storage_size()]


def _codecs(dataset: h5py.Dataset) -> list[dict[str, Any]]:
    """Return the codecs of a dataset's filters, in the order in which they encode; ours, where there is another."""
    filters = filters_of(dataset) if dataset.chunks else []
    if all(number in _CODECS for number, *_ in filters):
        named = [(*_CODECS[number], values) for number, _, values, _ in filters]
        return [{"id": codec, **dict(zip(parameters, values, strict=False))} for codec, parameters, values in named]
    try:
        for number, _, _, stored_name in filters:
            filter_library(number, stored_name)
    except FilterError as error:
        raise ContractError(dataset.file.filename, str(error), key=dataset.name) from error
    nbytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
    return [{"id": CODEC_ID, "filters": [filters_[:3] for filters_ in filters], "nbytes": nbytes}]


def _dimensions(name: str, shape: tuple[int, ...]) -> list[str]:
    """Name the axes: positions are the same axis for all, other axes are a dataset's own."""
    known = {dataset.name: dataset for dataset in contract.DATASETS}.get(name)
    letters = next((axes for axes in known.shapes if len(axes) == len(shape)), None) if known else None
    base = name.rpartition("/")[2]
    axes = letters or tuple(map(str, range(len(shape))))
    return ["position" if axis == "N" else f"{base}_{axis}" for axis in axes]


def _attributes(target: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Return attributes that JSON can hold, without long arrays."""
    found = {name: np.asarray(value) for name, value in target.attrs.items()}
    return {
        name: array.astype(object).tolist() if array.dtype.kind != "f" or np.isfinite(array).all() else str(array)
        for name, array in found.items()
        if array.size <= _MOST_ELEMENTS and array.dtype.kind in "biufU"
    }
