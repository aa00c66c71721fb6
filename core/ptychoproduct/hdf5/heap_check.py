"""Heaps of strings and lists, looked at before HDF5 reads them: one wrong size in them, and HDF5 loops for ever.

What virtual datasets take from where is in such heaps, too. HDF5 decodes that before it looks at its checksum, and
crashes on some of what it then meets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.chunk_grid import dataset_addresses, datasets_of, stored_chunks
from ptychoproduct_native import metadata_checksum

_SIGNATURE = b"GCOL\x01\0\0\0"
_HEADER_BYTES = 16  # of a heap, and of each object in it
_BLOCK_BYTES = 1024**2
# Smaller files are searched whole, which is as quick as to find out where their chunks are.
_SMALL_BYTES = 4 * 1024**2
# Of an object's header, in which the message about the layout is among the first.
_SEARCHED_BYTES = 4096
# That message for a virtual dataset: version, class, where its heap is, which object of it.
_VIRTUAL = re.compile(rb"(?=[\x04\x05]\x03(.{8})(.{4}))", re.DOTALL)


def require_sound_heaps(file: h5py.File) -> None:
    """Look for heaps wherever in a file no data is stored, and walk through each as HDF5 would.

    Raises
    ------
    ContractError
        An object in a heap has no size, or one that leads out of the heap.
    """
    _, size_bytes = file.id.get_create_plist().get_sizes()
    with Path(file.filename).open("rb") as stream:
        file_bytes = stream.seek(0, 2)
        for offset, index in _mappings(stream, file):  # before the datasets are opened
            problem = _damage(stream, offset, size_bytes, file_bytes, index)
            if problem:
                raise ContractError(file.filename, f"damaged: the heap of strings at byte {offset} {problem}")
        for start, block in _blocks(stream, _gaps(file, file_bytes)):
            place = block.find(_SIGNATURE)
            while place >= 0:
                offset = start + place
                problem = _damage(stream, offset, size_bytes, file_bytes)
                if problem:
                    raise ContractError(file.filename, f"damaged: the heap of strings at byte {offset} {problem}")
                place = block.find(_SIGNATURE, place + 1)


def _gaps(file: h5py.File, file_bytes: int) -> Iterator[tuple[int, int]]:
    """Give the ranges of bytes that hold no elements of datasets."""
    if file_bytes <= _SMALL_BYTES or file.userblock_size:
        yield 0, file_bytes
        return
    extents = [np.array([(file_bytes, 0)], np.uint64)]
    for dataset in datasets_of(file):
        try:
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


def _blocks(stream: BinaryIO, gaps: Iterator[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    """Read ranges of bytes in blocks that overlap."""
    for first, stop in gaps:
        for start in range(first, stop, _BLOCK_BYTES):
            stream.seek(start)
            yield start, stream.read(min(_BLOCK_BYTES + _HEADER_BYTES, stop - start))


def _mappings(stream: BinaryIO, file: h5py.File) -> Iterator[tuple[int, int]]:
    """Give where the heaps are in which virtual datasets have their mappings, and which objects in them."""
    for address in dataset_addresses(file):
        header = _read(stream, file.userblock_size + address, _SEARCHED_BYTES)
        for found in _VIRTUAL.finditer(header):
            offset = file.userblock_size + int.from_bytes(found[1], "little")
            if _read(stream, offset, len(_SIGNATURE)) == _SIGNATURE:
                yield offset, int.from_bytes(found[2], "little")


def _read(stream: BinaryIO, offset: int, nbytes: int) -> bytes:
    """Return bytes of a file; none where no file can have them."""
    with suppress(OverflowError, OSError, ValueError):
        stream.seek(offset)
        return stream.read(nbytes)
    return b""


def _damage(stream: BinaryIO, offset: int, size_bytes: int, file_bytes: int, mappings: int | None = None) -> str:
    """Say what is wrong with a heap, nothing where it is sound.

    Parameters
    ----------
    stream : file
    offset, size_bytes, file_bytes : int
        Where it begins; the length of a size in this file; the size of the file.
    mappings : int, optional
        The number of the object that holds the mappings of a virtual dataset, with a checksum behind them.
    """
    stream.seek(offset + 8)
    heap_bytes = int.from_bytes(stream.read(size_bytes), "little")
    if not _HEADER_BYTES <= heap_bytes <= file_bytes - offset:
        return f"is said to be of {heap_bytes} bytes"
    stream.seek(offset)
    heap = stream.read(heap_bytes)
    place = _HEADER_BYTES
    while place + _HEADER_BYTES <= heap_bytes:
        index = int.from_bytes(heap[place : place + 2], "little")
        size = int.from_bytes(heap[place + 8 : place + 8 + size_bytes], "little")
        # The size of the free space, which has number 0, includes its header; the others' is filled up to 8 bytes.
        length = _HEADER_BYTES + (size + 7) // 8 * 8 if index else size
        if not 0 < length <= heap_bytes - place:
            return f"has an object of {size} bytes in {heap_bytes - place} bytes"
        if index and index == mappings:
            stored = heap[place + _HEADER_BYTES : place + _HEADER_BYTES + size]
            if metadata_checksum(stored[:-4]) != int.from_bytes(stored[-4:], "little"):
                return "has mappings of a virtual dataset that do not fit their checksum"
        place += length
    return ""
