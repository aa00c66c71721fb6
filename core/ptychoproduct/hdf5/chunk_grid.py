"""Whether all elements of a dataset are stored: HDF5 reads those that it does not find as fill values."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import h5py
import numpy as np

from ptychoproduct.aliases import Array

# A scan that ended early may have room for ten thousand times its frames, but for no more than that.
_LEAST_HOLLOW_BYTES = 2**30
_MOST_TIMES_THE_FILE = 10_000
_UNREADABLE = (OSError, RuntimeError, LookupError, ValueError, TypeError)


class StoredChunks(NamedTuple):
    """All stored chunks of a dataset, in the order of the index.

    Parameters
    ----------
    origins : array, [C, ndim], uint64
        Index of the first element of each.
    masks, byte_offsets, sizes : array, [C], uint64
        See `StoredChunk`.
    """

    origins: Array
    masks: Array
    byte_offsets: Array
    sizes: Array


def stored_chunks(dataset: h5py.h5d.DatasetID) -> StoredChunks:
    """Walk through the index of a chunked dataset once."""
    columns = array("Q")

    def note(info: Any) -> None:
        columns.extend((info.filter_mask, info.byte_offset, info.size, *info.chunk_offset))

    dataset.chunk_iter(note)
    table = np.frombuffer(columns, np.uint64).reshape(-1, 3 + dataset.rank)
    return StoredChunks(table[:, 3:], table[:, 0], table[:, 1], table[:, 2])


def datasets_of(file: h5py.File) -> Iterator[h5py.h5d.DatasetID]:
    """Give every dataset of a file once, as far as it can be walked through; no link to elsewhere is followed."""
    for _, found in _walk(file):
        if isinstance(found, h5py.h5d.DatasetID):
            yield found


def object_addresses(file: h5py.File) -> Iterator[int]:
    """Give the places of all objects' headers in the same way, counted from the file's first superblock."""
    with suppress(*_UNREADABLE):
        yield h5py.h5o.get_info(file.id).addr
    for address, _ in _walk(file):
        yield address


def dataset_addresses(file: h5py.File) -> Iterator[int]:
    """Give the places of the headers of all datasets in the same way; none is opened, so that no layout is decoded."""
    for address, found in _walk(file, _group_or_type):
        if found is h5py.Dataset:
            yield address


def _group_or_type(group: h5py.h5g.GroupID, name: bytes) -> Any:
    """Return a group opened, and of any other object only what it is."""
    kind = h5py.h5o.get_info(group, name).type
    if kind == h5py.h5o.TYPE_GROUP:
        return h5py.h5g.open(group, name)
    return h5py.Dataset if kind == h5py.h5o.TYPE_DATASET else None


def _walk(file: h5py.File, look: Callable[..., Any] = h5py.h5o.open) -> Iterator[tuple[int, Any]]:
    """Give address and identifier of each object below the root; or what `look` makes of its group and name.

    HDF5's own walk gives up at the first object whose notes are damaged, also where its data can be read.
    """
    met: set[int] = set()
    unvisited: list[Any] = []
    with suppress(*_UNREADABLE):
        unvisited.append(h5py.h5g.open(file.id, b"/"))
    while unvisited:
        group = unvisited.pop()
        names: list[bytes] = []
        with suppress(*_UNREADABLE):
            group.links.iterate(names.append)
        for name in names:
            with suppress(*_UNREADABLE):
                link = group.links.get_info(name)
                if link.type != h5py.h5l.TYPE_HARD or link.u in met:
                    continue
                met.add(link.u)
                found = look(group, name)
                yield link.u, found
                if isinstance(found, h5py.h5g.GroupID):
                    unvisited.append(found)


def shape_of(dataset: h5py.h5d.DatasetID) -> tuple[int, ...] | None:
    """Return the shape of a dataset; of a virtual one that can grow, HDF5 would open all files to find it out."""
    properties = dataset.get_create_plist()
    is_virtual = properties.get_layout() == h5py.h5d.VIRTUAL and properties.get_virtual_count()
    shape: tuple[int, ...] | None = properties.get_virtual_vspace(0).shape if is_virtual else dataset.shape
    return shape


def not_stored(
    dataset: h5py.h5d.DatasetID, named: str = "rows", *, most_chunks: int | None = None, allow_gaps: bool = False
) -> str:
    """Say which chunk is not in its place, or which elements are not stored; nothing where all of them are.

    Parameters
    ----------
    dataset : h5py.h5d.DatasetID
    named : str
        What its rows are called.
    most_chunks : int, optional
        Where there are more, they are counted only; `ChunkIndex` looks at each.
    allow_gaps : bool
        Whether elements may never have been written; within reason, see `is_hollow`.
    """
    properties, shape = dataset.get_create_plist(), shape_of(dataset)
    layout = properties.get_layout()
    if shape is None:
        return ""
    if allow_gaps and is_hollow(dataset, max(_LEAST_HOLLOW_BYTES, _MOST_TIMES_THE_FILE * _file_bytes(dataset))):
        return f"damaged: hardly anything of its shape {shape} is stored"
    if layout == h5py.h5d.CONTIGUOUS and math.prod(shape) and not properties.get_external_count():
        offset = dataset.get_offset()
        if offset is None:
            return "" if allow_gaps else "damaged: its values are not stored"
        if offset + dataset.get_storage_size() > _file_bytes(dataset):
            return "damaged: its values end behind the file"
        length = _greatest_length(dataset, offset)
        return f"damaged: it cannot have {length} elements in a text or list" if length > _file_bytes(dataset) else ""
    if layout != h5py.h5d.CHUNKED:
        return ""
    step = properties.get_chunk()
    grid = [-(-length // n) for length, n in zip(shape, step, strict=True)]
    if most_chunks is not None and math.prod(grid) > most_chunks and dataset.get_num_chunks() == math.prod(grid):
        return ""
    try:
        chunks = stored_chunks(dataset)
        problem = misplaced(chunks, dataset)
    except (OSError, RuntimeError, ValueError) as error:
        return f"damaged: {error}"
    count = math.prod(grid) - len(chunks.sizes)
    if problem or allow_gaps or not count:
        return problem
    strides = np.array([math.prod(grid[axis + 1 :]) for axis in range(len(grid))], np.uint64)
    numbers = np.sort((chunks.origins // np.array(step, np.uint64) * strides).sum(1, dtype=np.uint64))
    is_late = numbers != np.arange(len(numbers), dtype=np.uint64)
    number = int(np.argmax(is_late)) if is_late.any() else len(numbers)
    origin = tuple(number // int(stride) % n * length for stride, n, length in zip(strides, grid, step, strict=True))
    rows = f"{named} {origin[0]} to {min(origin[0] + step[0], shape[0]) - 1}"
    return f"damaged: {rows}: chunk {origin} is not stored{f', and {count - 1} more' if count > 1 else ''}"


def is_almost_empty(dataset: h5py.h5d.DatasetID) -> bool:
    """Whether fewer than one in a hundred chunks are stored: no damage of data, but of what says how many there are."""
    properties = dataset.get_create_plist()
    if properties.get_layout() != h5py.h5d.CHUNKED or not dataset.shape:
        return False
    grid = [-(-length // n) for length, n in zip(dataset.shape, properties.get_chunk(), strict=True)]
    return bool(dataset.get_num_chunks() * 100 < math.prod(grid))


def is_hollow(dataset: h5py.h5d.DatasetID, most_bytes: int) -> bool:
    """Whether a dataset has more bytes than these by its shape, but hardly any of them, or none, by what is stored."""
    properties = dataset.get_create_plist()
    if math.prod(shape_of(dataset) or (0,)) * dataset.get_type().get_size() <= most_bytes:
        return False
    if properties.get_layout() == h5py.h5d.CONTIGUOUS and not properties.get_external_count():
        return dataset.get_offset() is None
    return is_almost_empty(dataset)


def misplaced(chunks: StoredChunks, dataset: h5py.h5d.DatasetID) -> str:
    """Say which chunk is stored twice, over another one, outside the file, or off the grid; nothing where none is."""
    file_bytes, properties = _file_bytes(dataset), dataset.get_create_plist()
    chunk_bytes = math.prod(properties.get_chunk()) * dataset.get_type().get_size()
    first, stops = chunks.byte_offsets, chunks.byte_offsets + chunks.sizes
    order = np.argsort(first)
    covered = np.zeros(len(order), bool)
    covered[order[1:]] = first[order][1:] < stops[order][:-1]
    by_origin = np.lexsort(chunks.origins.T)
    doubled = np.zeros(len(order), bool)
    doubled[by_origin[1:]] = (np.diff(chunks.origins[by_origin].astype(np.int64), axis=0) == 0).all(1)
    for is_wrong, problem in (
        ((chunks.origins >= np.array(dataset.shape, np.uint64)).any(1), "lies outside the dataset"),
        ((chunks.origins % np.array(properties.get_chunk(), np.uint64)).any(1), "lies across others"),
        (doubled, "is stored twice"),
        ((stops > file_bytes) | (stops < first) | (chunks.sizes == 0), "is stored outside the file"),
        (covered, "is stored over another one"),
        (~np.bool_(properties.get_nfilters()) & (chunks.sizes != chunk_bytes), f"is not of {chunk_bytes} bytes"),
    ):
        if is_wrong.any():
            return f"damaged: chunk {tuple(chunks.origins[np.argmax(is_wrong)].tolist())} {problem}"
    return ""


def _file_bytes(dataset: h5py.h5d.DatasetID) -> int:
    nbytes: int = h5py.h5i.get_file_id(dataset).get_filesize()
    return nbytes


def _greatest_length(dataset: h5py.h5d.DatasetID, offset: int) -> int:
    """Return the length of the longest text or list of a dataset of such, before HDF5 makes room for it."""
    kind = dataset.get_type()
    is_text = kind.get_class() == h5py.h5t.STRING and kind.is_variable_str()
    nbytes = dataset.get_storage_size()
    if nbytes != 16 * math.prod(dataset.shape) or not (is_text or kind.get_class() == h5py.h5t.VLEN):
        return 0
    path = h5py.h5i.get_file_id(dataset).name
    lengths = np.fromfile(path, "<u4", count=nbytes // 4, offset=offset)[::4]
    return int(lengths.max(initial=0))
