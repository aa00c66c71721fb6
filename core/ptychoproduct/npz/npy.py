"""NPY files: their headers, and files of their own.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import io
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.lib import format as npy

from ptychoproduct.errors import SourceError
from ptychoproduct.npz.stored_array import StoredArray, open_source
from ptychoproduct.system.file_kinds import not_a

NPY_MAGIC: bytes = npy.MAGIC_PREFIX
# NPY headers are padded to 64 bytes; NumPy itself refuses to evaluate more than 10,000 characters.
MAX_HEADER_BYTES = 16 * 1024
_MOST_DIMENSIONS = 32


class NpyHeader(NamedTuple):
    """What the header of an NPY file says.

    Parameters
    ----------
    dtype : numpy.dtype
    shape : tuple of int
    fortran_order : bool
        Whether the first axis varies fastest; false where there is one axis only.
    data_start : int
        Size of the header.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    data_start: int

    @property
    def nbytes(self) -> int:
        """Size of the array's data."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(start: bytes | bytearray, path: Path, key: str | None = None) -> NpyHeader | None:
    """Read the header of an NPY file.

    Parameters
    ----------
    start : bytes
        The first `MAX_HEADER_BYTES` of the file, or all of it.
    path, key
        Names for the messages.

    Returns
    -------
    NpyHeader or None
        None where the bytes are not an NPY file of version 1 or 2.

    Raises
    ------
    SourceError
        The header is damaged, or describes an array that NumPy cannot make.
    """
    if not start.startswith(NPY_MAGIC):
        return None
    header = io.BytesIO(start)
    try:
        version = npy.read_magic(header)
        if version == (1, 0):
            shape, fortran_order, dtype = npy.read_array_header_1_0(header)
        elif version == (2, 0):
            shape, fortran_order, dtype = npy.read_array_header_2_0(header)
        else:
            return None
        _check_shape(shape, dtype)
    except Exception as error:  # NumPy's parser fails in many ways on damaged text
        reason = str(error).split("\n")[0]
        raise SourceError(path, f"NPY header cannot be read: {reason}", key=key) from error
    return NpyHeader(dtype, shape, fortran_order and len(shape) > 1, header.tell())


def check_size(header: NpyHeader, found: int, path: Path, key: str | None = None) -> None:
    """Refuse data of another size than the header describes: SourceError."""
    if header.nbytes != found:
        raise SourceError(
            path, key=key, found=f"{found} bytes of data", expected=f"{header.nbytes} for {header.dtype} {header.shape}"
        )


def as_array(file: StoredArray, key: str) -> StoredArray:
    """Return the array in bytes that are an NPY file; the bytes where they are not one that can be read here.

    Parameters
    ----------
    file : StoredArray
        The bytes.
    key : str
        Of the array.

    Raises
    ------
    SourceError
        The header is damaged, or does not fit the size of the data.
    """
    start = bytearray(min(file.nbytes, MAX_HEADER_BYTES))
    file.reading().read_into(0, memoryview(start))
    name = key if file.member else None
    header = read_header(start, file.path, name)
    if header is None or not header.dtype.itemsize:  # NumPy itself cannot make arrays of empty elements again
        return file
    nbytes = file.nbytes - header.data_start
    if not header.dtype.hasobject:
        check_size(header, nbytes, file.path, name)
    return replace(
        file,
        key=key,
        dtype=header.dtype,
        shape=header.shape,
        nbytes=nbytes,
        header_bytes=header.data_start,
        fortran_order=header.fortran_order,
        is_array=True,
    )


class NpyFile:
    """An NPY file opened for reading.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    array : StoredArray

    Raises
    ------
    SourceError
        The file is missing, is not an NPY file, has another size than its header says, or is an array of Python
        objects.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_source(path, "an NPY file")
        try:
            self.array = self._read_header()
        except BaseException:
            self._file.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def _read_header(self) -> StoredArray:
        size = self._file.size
        data = StoredArray(self._file, self.path, "", self.path.stem, np.dtype(np.uint8), (size,), size)
        array = as_array(data, self.path.stem)
        if not array.is_array:
            another = not_a(self.path, "an NPY file")
            raise SourceError(self.path, another or "this is not an NPY file of version 1 or 2, as NumPy saves arrays")
        if array.dtype.hasobject:
            raise SourceError(
                self.path, found="an array of Python objects", expected="plain data; pickles are not opened"
            )
        return array


def _check_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse shapes that NumPy cannot make: ValueError."""
    lengths = [length for length in shape if type(length) is int and length >= 0]
    if len(lengths) < len(shape) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"shape {shape} is none")
    if math.prod(max(1, length) for length in lengths) * max(1, dtype.itemsize) > sys.maxsize:
        raise ValueError(f"shape {shape} is too large")


NPY_SUFFIX = ".npy"
