"""Heaps of strings and lists, looked at before HDF5 reads them.

HDF5 loops for ever on a wrong size in them, deaf to signals, and allocates whatever length a string is said to have.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.chunk_grid import datasets_of, stored_chunks

_SIGNATURE = b"GCOL\x01\0\0\0"
_HEADER_BYTES = 16  # of a heap, of each object in it, and of what refers to an object: length, heap, object
_VIRTUAL = (b"\x04\x03", b"\x05\x03")  # version and class of a layout, which refers to a heap without a length
_BLOCK_BYTES = 1024**2
_SEARCHED_BYTES = 64 * _BLOCK_BYTES  # for each block; a file of so many strings has few attributes
# Smaller files are searched whole, which is as quick as to find out where their chunks are.
_SMALL_BYTES = 4 * 1024**2


def require_sound_heaps(file: h5py.File) -> None:
    """Look for heaps wherever in a file no data is stored, and walk through each as HDF5 would.

    Raises
    ------
    ContractError
        An object in a heap has no size, or one that leads out of the heap; or something refers to a longer one.
    """
    address_bytes, size_bytes = file.id.get_create_plist().get_sizes()
    with Path(file.filename).open("rb") as stream:
        file_bytes = stream.seek(0, 2)
        gaps = list(_gaps(file, file_bytes))
        heaps = {}
        for start, block in _blocks(stream, gaps):
            place = block.find(_SIGNATURE)
            while place >= 0:
                offset = start + place
                heaps[offset - file.userblock_size], problem = _objects(stream, offset, size_bytes, file_bytes)
                if problem:
                    raise ContractError(file.filename, f"damaged: the heap of strings at byte {offset} {problem}")
                place = block.find(_SIGNATURE, place + 1)
        if not heaps or address_bytes != 8:
            return
        for start, block in _blocks(stream, gaps):
            for place, length in _longer_than_stored(block, heaps, file_bytes):
                problem = f"the string or list at byte {start + place} cannot have {length} elements"
                raise ContractError(file.filename, f"damaged: {problem}")


def _gaps(file: h5py.File, file_bytes: int) -> Iterator[tuple[int, int]]:
    """Give the ranges of bytes that hold no elements of datasets, but those that refer to heaps."""
    if file_bytes <= _SMALL_BYTES or file.userblock_size:
        yield 0, file_bytes
        return
    extents = [np.array([(file_bytes, 0)], np.uint64)]
    for dataset in datasets_of(file):
        try:
            if dataset.dtype.hasobject:
                continue
            if dataset.get_create_plist().get_layout() == h5py.h5d.CHUNKED:
                chunks = stored_chunks(dataset)
                extents.append(np.stack([chunks.byte_offsets, chunks.sizes], 1))
            elif (offset := dataset.get_offset()) is not None:
                extents.append(np.array([(offset, dataset.get_storage_size())], np.uint64))
        except (OSError, RuntimeError, ValueError, TypeError, OverflowError):  # what reads it, tells
            continue
    every = np.concatenate(extents)
    every = every[(every[:, 0] <= file_bytes) & (every[:, 1] <= file_bytes)]
    every = every[np.argsort(every[:, 0])]
    stops = np.maximum.accumulate(np.concatenate([np.zeros(1, np.uint64), every.sum(1)]))[:-1]
    wide = every[:, 0] >= stops + np.uint64(_HEADER_BYTES)
    yield from zip(stops[wide].tolist(), every[wide, 0].tolist(), strict=True)


def _blocks(stream: BinaryIO, gaps: list[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    """Read ranges of bytes in blocks that overlap."""
    for first, stop in gaps:
        for start in range(first, stop, _BLOCK_BYTES):
            stream.seek(start)
            yield start, stream.read(min(_BLOCK_BYTES + _HEADER_BYTES, stop - start))


def _objects(stream: BinaryIO, offset: int, size_bytes: int, file_bytes: int) -> tuple[dict[int, int], str]:
    """Return the sizes of the objects in a heap, by number, and what is wrong with it."""
    sizes: dict[int, int] = {}
    stream.seek(offset + 8)
    heap_bytes = int.from_bytes(stream.read(size_bytes), "little")
    if not _HEADER_BYTES <= heap_bytes <= file_bytes - offset:
        return sizes, f"is said to be of {heap_bytes} bytes"
    stream.seek(offset)
    heap = stream.read(heap_bytes)
    place = _HEADER_BYTES
    while place + _HEADER_BYTES <= heap_bytes:
        index = int.from_bytes(heap[place : place + 2], "little")
        size = int.from_bytes(heap[place + 8 : place + 8 + size_bytes], "little")
        # The size of the free space, which has number 0, includes its header; the others' is filled up to 8 bytes.
        length = _HEADER_BYTES + (size + 7) // 8 * 8 if index else size
        if not 0 < length <= heap_bytes - place:
            return sizes, f"has an object of {size} bytes in {heap_bytes - place} bytes"
        sizes[index] = size
        place += length
    return sizes, ""


def _longer_than_stored(block: bytes, heaps: dict[int, dict[int, int]], least: int) -> Iterator[tuple[int, int]]:
    """Give the places of what refers to an object in a heap and says that it is far longer, and the length."""
    for address, sizes in itertools.islice(heaps.items(), _SEARCHED_BYTES // len(block)):
        word = address.to_bytes(8, "little")
        place = block.find(word, 4) - 4
        while place >= 0:
            length, index = (int.from_bytes(block[at : at + 4], "little") for at in (place, place + 12))
            # No length stands before references to regions, but the number of an object.
            if length > max(sizes.get(index, length), least) and block[place + 2 : place + 4] not in _VIRTUAL:
                yield place, length
            place = block.find(word, place + 5) - 4
