"""NPY files: their headers, and bare ones as a source of rows.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.lib import format as npy

from ptychoproduct.errors import SourceError
from ptychoproduct.system.byteorder import native
from ptychoproduct.system.files import PositionalFile
from ptychoproduct_native import read_segments

NPY_MAGIC: bytes = npy.MAGIC_PREFIX
# NPY headers are padded to 64 bytes; NumPy itself refuses to evaluate more than 10,000 characters.
MAX_HEADER_BYTES = 16 * 1024
_MOST_DIMENSIONS = 32


@dataclass(frozen=True)
class Member:
    """An array in a file: one member of an archive, or all there is in an NPY file.

    Parameters
    ----------
    key : str
        The name under which `numpy.load` gives it.
    member : str
        Its file name in the archive.
    dtype : numpy.dtype
        As stored, byte order included.
    shape : tuple of int
    fortran_order : bool
        Whether the first axis varies fastest in the file.
    is_array : bool
        False where the member is no NPY file that can be read here; its bytes are then a 1-D array of uint8.
    data_start : int
        Offset of the array's data within the member, behind the NPY header.
    nbytes : int
        Size of the array's data.
    """

    key: str
    member: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    is_array: bool
    data_start: int
    nbytes: int

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape in file order: last axis varies fastest."""
        return self.shape[::-1] if self.fortran_order else self.shape


class ByteStream(Protocol):
    """The bytes of a member, in order."""

    def readinto(self, view: memoryview) -> None:
        """Fill the view with the next bytes."""

    def finish(self) -> None:
        """Read what is left, and compare with the checksum, where there is one."""


class ByteParts(Protocol):
    """The bytes of a member's data, at any offset, from any thread."""

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill the view from `offset` of the data on."""

    def finish(self) -> None:
        """Compare with the checksum, where there is one, once every part has been read."""


SegmentReader = Callable[[int, int, int, memoryview], None]
"""Fills memory with segments of an array's bytes: offset of the first, distance, length, memory. From any thread."""


class MemberFile(Protocol):
    """A file with members: an NPZ archive, or an NPY file."""

    def is_stored(self, member: Member) -> bool:
        """Whether the member's bytes lie uncompressed in the file."""

    def stream(self, member: Member) -> ByteStream:
        """Open the array's data as a stream of bytes."""

    def parts(self, member: Member) -> ByteParts:
        """Open a stored member for reading at offsets."""

    def segment_reader(self, member: Member) -> SegmentReader | None:
        """Return a function that reads strided parts of a stored member's data; None where it is deflated."""


@dataclass(frozen=True)
class NpyHeader:
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
        None where the bytes are no NPY file of version 1 or 2.

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


def open_source(path: Path, expected: str) -> PositionalFile:
    """Open a file of arrays.

    Parameters
    ----------
    path : Path
    expected : str
        What messages call it.

    Raises
    ------
    SourceError
        There is none, or it cannot be read.
    """
    if path.is_dir():
        raise SourceError(path, found="a directory", expected=expected)
    try:
        return PositionalFile(path)
    except FileNotFoundError:
        raise SourceError(path, "no such file") from None
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error


def read_member(file: MemberFile, member: Member, path: Path) -> np.ndarray[Any, Any]:
    """Read an array whole, in native byte order and C order, its checksum verified.

    Parameters
    ----------
    file : MemberFile
    member : Member
    path : Path
        Name for the messages.

    Raises
    ------
    SourceError
        The data is damaged, or an array of Python objects.
    """
    if member.dtype.hasobject:
        raise SourceError(
            path, key=member.key, found="an array of Python objects", expected="plain data; pickles are not opened"
        )
    array = np.empty(member.stored_shape, member.dtype)
    stream = file.stream(member)
    stream.readinto(memoryview(array.reshape(-1).view(np.uint8)) if member.nbytes else memoryview(bytearray()))
    stream.finish()
    if member.fortran_order:
        array = array.T
    return native(array)


class NpyFile:
    """An NPY file opened for reading.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    member : Member
        The array.

    Raises
    ------
    SourceError
        The file is missing, no NPY file, of another size than its header says, or an array of Python objects.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_source(path, "an NPY file")
        try:
            self.member = self._read_header()
        except BaseException:
            self._file.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def read(self) -> np.ndarray[Any, Any]:
        """Read the array whole, in native byte order and C order."""
        return read_member(self, self.member, self.path)

    def is_stored(self, member: Member) -> bool:  # noqa: ARG002 - there is one only, as it is in memory
        """See `MemberFile`."""
        return True

    def stream(self, member: Member) -> ByteStream:
        """See `MemberFile`."""
        return _NpyStream(self, member)

    def parts(self, member: Member) -> ByteParts:
        """See `MemberFile`."""
        return _NpyParts(self, member)

    def segment_reader(self, member: Member) -> SegmentReader:
        """See `MemberFile`."""

        def read(offset: int, stride: int, segment_bytes: int, destination: memoryview) -> None:
            try:
                read_segments(self._file.descriptor, member.data_start + offset, stride, segment_bytes, destination)
            except (OSError, EOFError) as error:
                raise SourceError(self.path, f"cannot be read: {error}") from error

        return read

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill a view of bytes from an offset in the file on; from any thread.

        Raises
        ------
        SourceError
            The file cannot be read, or has become shorter.
        """
        try:
            self._file.read_into(offset, view)
        except (OSError, EOFError) as error:
            raise SourceError(self.path, f"cannot be read: {error}") from error

    def _read_header(self) -> Member:
        start = bytearray(min(self._file.size, MAX_HEADER_BYTES))
        self.read_into(0, memoryview(start))
        header = read_header(start, self.path)
        if header is None:
            raise SourceError(self.path, found="no NPY file of version 1 or 2", expected="an array that NumPy saved")
        if header.dtype.hasobject:
            raise SourceError(
                self.path, found="an array of Python objects", expected="plain data; pickles are not opened"
            )
        nbytes = self._file.size - header.data_start
        check_size(header, nbytes, self.path)
        return Member(
            key=self.path.stem,
            member=self.path.name,
            dtype=header.dtype,
            shape=header.shape,
            fortran_order=header.fortran_order,
            is_array=True,
            data_start=header.data_start,
            nbytes=nbytes,
        )


class _NpyStream:
    def __init__(self, file: NpyFile, member: Member) -> None:
        self._file = file
        self._next = member.data_start

    def readinto(self, view: memoryview) -> None:
        self._file.read_into(self._next, view)
        self._next += len(view)

    def finish(self) -> None:
        """NPY files have no checksum."""


class _NpyParts:
    def __init__(self, file: NpyFile, member: Member) -> None:
        self._file = file
        self._start = member.data_start

    def read_into(self, offset: int, view: memoryview) -> None:
        self._file.read_into(self._start + offset, view)

    def finish(self) -> None:
        """NPY files have no checksum."""


def _check_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse shapes that NumPy cannot make: ValueError."""
    lengths = [length for length in shape if type(length) is int and length >= 0]
    if len(lengths) < len(shape) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"shape {shape} is none")
    if math.prod(max(1, length) for length in lengths) * max(1, dtype.itemsize) > sys.maxsize:
        raise ValueError(f"shape {shape} is too large")


NPY_SUFFIX = ".npy"
