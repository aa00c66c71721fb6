"""Texts and lists in attributes, looked at before HDF5 reads them: it makes room for the length that is said.

Object headers of the first version only: those of the second have checksums. See "IV.A. Disk Format: Level 2A" of the
HDF5 File Format Specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import h5py

from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.chunk_grid import object_addresses

_CONTINUATION, _ATTRIBUTE = 0x10, 0x0C
_VARIABLE_LENGTH = 9  # class of a type
_DESCRIPTOR_BYTES = 16  # length, heap, number in the heap
_MOST_BYTES = 64 * 1024  # of a header, or of a part of it
_MOST_PARTS = 1000


def require_short_texts(file: h5py.File) -> None:
    """Look for texts and lists in attributes that say to be longer than the whole file.

    Raises
    ------
    ContractError
        There is one.
    """
    with Path(file.filename).open("rb") as stream:
        file_bytes = stream.seek(0, 2)
        for address in object_addresses(file):
            for kind, message in _messages(stream, address + file.userblock_size, file.userblock_size):
                length = _greatest_length(message) if kind == _ATTRIBUTE else 0
                if length > file_bytes:
                    problem = f"damaged: an attribute cannot have {length} elements in a text or list"
                    raise ContractError(file.filename, problem)


def _messages(stream: BinaryIO, place: int, base: int) -> Iterator[tuple[int, bytes]]:
    """Give type and content of all messages of an object's header; none where it is not of the first version."""
    stream.seek(place)
    start = stream.read(16)
    if start[:2] != b"\x01\0":
        return
    parts = [(place + 16, int.from_bytes(start[8:12], "little"))]
    for number, (part, nbytes) in enumerate(parts):  # which grows
        stream.seek(part)
        data = stream.read(min(nbytes, _MOST_BYTES))
        at = 0
        while at + 8 <= len(data):
            kind, size = (int.from_bytes(data[i : i + 2], "little") for i in (at, at + 2))
            message = data[at + 8 : at + 8 + size]
            if kind == _CONTINUATION and len(message) >= 16 and number < _MOST_PARTS:
                parts.append((base + int.from_bytes(message[:8], "little"), int.from_bytes(message[8:16], "little")))
            yield kind, message
            at += 8 + size


def _greatest_length(message: bytes) -> int:
    """Return the greatest length that the descriptors of an attribute say; 0 where it has none."""
    if len(message) < 9 or message[0] not in (1, 2, 3):
        return 0
    pad = 8 if message[0] == 1 else 1
    sizes = [int.from_bytes(message[i : i + 2], "little") for i in (2, 4, 6)]  # of name, type and dataspace
    kind_at = 8 + (message[0] == 3) + -(-sizes[0] // pad) * pad
    data_at = kind_at + sum(-(-size // pad) * pad for size in sizes[1:])
    if kind_at >= len(message) or message[kind_at] & 0x0F != _VARIABLE_LENGTH:
        return 0
    places = range(data_at, len(message) - _DESCRIPTOR_BYTES + 1, _DESCRIPTOR_BYTES)
    return max((int.from_bytes(message[place : place + 4], "little") for place in places), default=0)
