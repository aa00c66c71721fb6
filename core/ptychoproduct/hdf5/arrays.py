"""Any NumPy array as an HDF5 dataset, and back without losing a bit.

HDF5 has no type for some of NumPy's: text of fixed width in UTF-32, dates, records with padding. Text becomes UTF-8
where that can be undone; the others become their bytes, with one more axis. The attribute `source_dtype` then says
what they were, in the words of an NPY header.
"""

from __future__ import annotations

import io
import math
import struct
from typing import Any

import h5py
import numpy as np
from numpy.lib import format as npy

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError
from ptychoproduct.hdf5.local_links import reading
from ptychoproduct.model.contract import SOURCE_DTYPE
from ptychoproduct.system.byteorder import native

OBJECT_TEXT = "object"
"""`source_dtype` of a string that was a 0-d object array."""
MEMBER_BYTES = "member"
"""`source_dtype` of the bytes of a member that was no array."""

_MOST_HEADER_BYTES = 64 * 1024


def has_hdf5_type(dtype: np.dtype[Any]) -> bool:
    """Whether HDF5 holds arrays of this type as they are."""
    if not dtype.itemsize:
        return False
    widest = {"b": 1, "i": 8, "u": 8, "f": 8, "c": 16}
    return dtype.kind == "S" or dtype.itemsize <= widest.get(dtype.kind, 0)


def write_array(group: h5py.Group, name: str, array: Array) -> h5py.Dataset:
    """Store a small array whole.

    Parameters
    ----------
    group : h5py.Group
    name : str
    array : numpy.ndarray
        Any type but object.

    Raises
    ------
    ContractError
        NPY files could not hold the type either.
    """
    array = native(array)
    if has_hdf5_type(array.dtype):
        return group.create_dataset(name, data=array)
    try:
        source_dtype = dtype_text(array.dtype)
    except ValueError as error:  # fields that overlap, or are out of order
        raise ContractError(
            group.file.filename, f"type {array.dtype} cannot be stored; use one that NPY files can describe", key=name
        ) from error
    encoded = _encode_text(array)
    dataset = group.create_dataset(name, data=_as_bytes(array) if encoded is None else encoded)
    dataset.attrs[SOURCE_DTYPE.name] = source_dtype
    return dataset


def write_text(group: h5py.Group, name: str, text: str) -> h5py.Dataset:
    """Store a string that was a 0-d object array.

    As a scalar of variable-length UTF-8; as bytes, where such cannot hold the text.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    if b"\0" in encoded or encoded.decode("utf-8", "replace") != text:
        dataset = group.create_dataset(name, data=np.frombuffer(encoded, np.uint8))
    else:
        dataset = group.create_dataset(name, data=text, dtype=h5py.string_dtype())
    dataset.attrs[SOURCE_DTYPE.name] = OBJECT_TEXT
    return dataset


def plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a type without h5py's notes on it; records are returned as they are."""
    return dtype if dtype.names else np.dtype((dtype.str, dtype.shape) if dtype.shape else dtype.str)


def read_array(dataset: h5py.Dataset) -> Array:
    """Read what `write_array` stored, or any other dataset.

    Parameters
    ----------
    dataset : h5py.Dataset

    Raises
    ------
    ContractError
        The dataset cannot be decoded, holds HDF5 references, or does not fit its `source_dtype`.
    """
    source_dtype = dataset.attrs.get(SOURCE_DTYPE.name)
    try:
        with reading(dataset):
            return _decoded(_stored(dataset), source_dtype)
    except (ValueError, TypeError) as error:  # UnicodeError is a ValueError
        kind = "a NumPy array" if source_dtype is None else f"of source_dtype {source_dtype!r}"
        problem = f"{dataset.dtype} {dataset.shape} cannot be read: it is not {kind}"
        raise ContractError(dataset.file.filename, problem, key=dataset.name) from error


def _stored(dataset: h5py.Dataset) -> Array:
    """Read a dataset as it is stored; text of variable length as NumPy text."""
    string = h5py.check_string_dtype(dataset.dtype)
    if dataset.shape is None:
        raise TypeError("an empty dataset is not an array")
    if string and string.length is None:
        return np.array(dataset.asstr()[()], dtype=np.str_)
    if dataset.dtype.hasobject:
        raise TypeError("HDF5 references and lists are not arrays")
    stored = np.empty(dataset.shape, dataset.dtype)
    if dataset.size:
        dataset.read_direct(stored)
    return stored.view(plain_dtype(stored.dtype))


def _decoded(stored: Array, source_dtype: object) -> Array:
    """Give a stored array the type that it had."""
    if source_dtype is None or source_dtype == MEMBER_BYTES:
        return stored
    if source_dtype == OBJECT_TEXT:
        text = stored.tobytes().decode("utf-8", "surrogatepass") if stored.dtype == np.uint8 else stored.item()
        if not isinstance(text, str):
            raise TypeError(f"{stored.dtype} is not text")
        return np.array(text, dtype=object)
    if not isinstance(source_dtype, str):
        raise TypeError("source_dtype is not text")
    dtype = parse_dtype(source_dtype)
    if stored.dtype.kind == "S":
        return np.asarray(np.char.decode(stored, "utf-8") if stored.size else stored.astype(dtype), dtype)
    return from_bytes(stored, dtype)


def from_bytes(stored: Array, dtype: np.dtype[Any]) -> Array:
    """Undo the extra axis of bytes.

    Raises
    ------
    ValueError
        The last axis is not as long as an element.
    """
    if stored.dtype != np.uint8 or stored.shape[-1:] != (dtype.itemsize,):
        raise ValueError(f"{stored.dtype} {stored.shape} is not {dtype} in bytes")
    if dtype.itemsize == 0:
        return np.ndarray(stored.shape[:-1], dtype, buffer=b"")  # np.empty would give them a byte
    return np.frombuffer(stored.tobytes(), dtype).reshape(stored.shape[:-1])


def dtype_text(dtype: np.dtype[Any]) -> str:
    """Spell a type as `source_dtype` does: as an NPY header would."""
    return ascii(npy.dtype_to_descr(dtype))


def parse_dtype(text: str) -> np.dtype[Any]:
    """Read what `dtype_text` wrote, with NumPy's own reader of NPY headers.

    Raises
    ------
    ValueError
        The text describes no type, or one with Python objects in it.
    """
    header = f"{{'descr': {text}, 'fortran_order': False, 'shape': ()}}\n".encode()
    file = io.BytesIO(struct.pack("<I", len(header)) + header)
    try:
        _, _, dtype = npy.read_array_header_2_0(file, max_header_size=_MOST_HEADER_BYTES)
    except Exception as error:  # NumPy's parser fails in many ways on other text
        raise ValueError(f"{text!r} describes no type") from error
    if dtype.hasobject:
        raise ValueError(f"{text!r} holds Python objects")
    return dtype


def _encode_text(array: Array) -> Array | None:
    """Return the text as UTF-8, or None where it could not be decoded to the same again."""
    if array.dtype.kind != "U" or array.dtype.itemsize == 0:
        return None
    if not array.size:  # of which NumPy before 2 makes numbers
        return array.astype(h5py.string_dtype("utf-8", 1))
    try:
        # Not np.char, which takes 2 ms to import.
        encoded = np.array([text.encode() for text in array.ravel().tolist()]).reshape(array.shape)
        decoded = np.array([text.decode() for text in encoded.ravel().tolist()]).reshape(array.shape)
        same = np.array_equal(decoded, array)
    except (UnicodeError, ValueError, SystemError):  # code points that do not exist
        return None
    return encoded.astype(h5py.string_dtype("utf-8", encoded.dtype.itemsize)) if same else None


def _as_bytes(array: Array) -> Array:
    return np.frombuffer(array.tobytes(), np.uint8).reshape((*array.shape, array.dtype.itemsize))


def could_be_frames(dataset: h5py.Dataset) -> bool:
    """Whether a dataset has more than one frame of more than one pixel, real numbers."""
    shape: tuple[int, ...] = dataset.shape or ()
    is_stack = len(shape) in (3, 4) and dataset.dtype.kind in "iuf"
    return is_stack and min(math.prod(shape[:-2]), math.prod(shape[-2:])) > 1
