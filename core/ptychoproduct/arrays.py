"""Any NumPy array as an HDF5 dataset, and back without losing a bit.

HDF5 has no type for some of NumPy's: text of fixed width in UTF-32, dates, records with padding. Text becomes UTF-8
where that can be undone; the others become their bytes, with one more axis. The attribute `source_dtype` then says
what they were, in the words of an NPY header.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import h5py
import numpy as np
from numpy.lib import format as npy

from ptychoproduct.contract import SOURCE_DTYPE
from ptychoproduct.errors import ContractError
from ptychoproduct.links import reading

Array = np.ndarray[Any, Any]

OBJECT_TEXT = "object"
"""`source_dtype` of a string that was a 0-d object array."""
MEMBER_BYTES = "member"
"""`source_dtype` of the bytes of a member that was no array."""


def has_hdf5_type(dtype: np.dtype[Any]) -> bool:
    """Whether HDF5 holds arrays of this type as they are."""
    widest = {"b": 1, "i": 8, "u": 8, "f": 8, "c": 16}
    if dtype.kind == "S":
        return dtype.itemsize > 0
    return dtype.itemsize <= widest.get(dtype.kind, 0)


def write_array(group: h5py.Group, name: str, array: Array) -> h5py.Dataset:
    """Store a small array whole.

    Parameters
    ----------
    group : h5py.Group
    name : str
    array : numpy.ndarray
        Any type but object.
    """
    native = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    if has_hdf5_type(native.dtype):
        return group.create_dataset(name, data=native)
    encoded = _encode_text(native)
    dataset = group.create_dataset(name, data=_as_bytes(native) if encoded is None else encoded)
    dataset.attrs[SOURCE_DTYPE.name] = dtype_text(native.dtype)
    return dataset


def write_text(group: h5py.Group, name: str, text: str) -> h5py.Dataset:
    """Store a string as a scalar of variable-length UTF-8."""
    return group.create_dataset(name, data=text, dtype=h5py.string_dtype())


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
    with reading(dataset):
        if source_dtype == OBJECT_TEXT:
            return np.array(dataset.asstr()[()], dtype=object)
        if (string := h5py.check_string_dtype(dataset.dtype)) and string.length is None:
            return np.array(dataset.asstr()[()], dtype=np.str_)
        if dataset.dtype.hasobject:
            raise ContractError(
                dataset.file.filename, key=dataset.name, found="HDF5 references or lists", expected="plain data"
            )
        stored = np.empty(dataset.shape, dataset.dtype)
        if dataset.size:
            dataset.read_direct(stored)
    if source_dtype is None or source_dtype == MEMBER_BYTES:
        return stored
    try:
        dtype = parse_dtype(str(source_dtype))
        if stored.dtype.kind == "S":
            return np.asarray(np.char.decode(stored, "utf-8"), dtype)
        return from_bytes(stored, dtype)
    except (ValueError, TypeError) as error:
        raise ContractError(
            dataset.file.filename,
            key=dataset.name,
            found=f"{dataset.dtype} {dataset.shape}",
            expected=f"data of {source_dtype}",
        ) from error


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
        return np.empty(stored.shape[:-1], dtype)
    return np.frombuffer(stored.tobytes(), dtype).reshape(stored.shape[:-1])


def dtype_text(dtype: np.dtype[Any]) -> str:
    """Spell a type as `source_dtype` does: as an NPY header would."""
    return repr(npy.dtype_to_descr(dtype))


def parse_dtype(text: str) -> np.dtype[Any]:
    """Read what `dtype_text` wrote, with NumPy's own reader of NPY headers.

    Raises
    ------
    ValueError
        The text describes no type, or one with Python objects in it.
    """
    header = f"{{'descr': {text}, 'fortran_order': False, 'shape': ()}}\n".encode("latin1")
    _, _, dtype = npy.read_array_header_2_0(io.BytesIO(struct.pack("<I", len(header)) + header))
    if dtype.hasobject:
        raise ValueError(f"{text!r} holds Python objects")
    return dtype


def _encode_text(array: Array) -> Array | None:
    """Return the text as UTF-8, or None where it could not be decoded to the same again."""
    if array.dtype.kind != "U" or array.dtype.itemsize == 0:
        return None
    try:
        encoded = np.char.encode(array, "utf-8")
        same = bool(encoded.dtype.itemsize and np.array_equal(np.char.decode(encoded, "utf-8"), array))
    except (UnicodeError, ValueError, SystemError):  # code points that are none
        return None
    return encoded.astype(h5py.string_dtype("utf-8", encoded.dtype.itemsize)) if same else None


def _as_bytes(array: Array) -> Array:
    return np.frombuffer(array.tobytes(), np.uint8).reshape((*array.shape, array.dtype.itemsize))
