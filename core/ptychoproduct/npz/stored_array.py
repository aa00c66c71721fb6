"""An array as it lies in its file: a member of an NPZ archive, or all of an NPY file."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError
from ptychoproduct.system.byteorder import native
from ptychoproduct.system.checksums import crc32_of_parts, crc32_of_whole
from ptychoproduct.system.file_kinds import require_file
from ptychoproduct.system.files import PositionalFile
from ptychoproduct_native import read_segments

_INFLATE_STEP_BYTES = 256 * 1024
_VERIFY_BYTES = 1024**2


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array as it lies in its file, which must stay open.

    Parameters
    ----------
    file : PositionalFile
    path : Path
        Of the file, for the messages.
    member : str
        Its file name in the archive; empty for an NPY file.
    key : str
        The name under which `numpy.load` gives it.
    dtype : numpy.dtype
        As stored, byte order included.
    shape : tuple of int
    nbytes : int
        Size of the array's data.
    start : int
        Where the array's NPY header begins in the file.
    header_bytes : int
        Size of the NPY header.
    fortran_order : bool
        Whether the first axis varies fastest in the file.
    is_array : bool
        False where the member is not an NPY file that can be read here; its bytes are then a 1-D array of uint8.
    deflated_bytes : int or None
        Size in the file of what is deflated; None where the bytes are stored as they are.
    crc32 : int or None
        Of header and data; None where the file has no checksum.
    """

    file: PositionalFile
    path: Path
    member: str
    key: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    nbytes: int
    start: int = 0
    header_bytes: int = 0
    fortran_order: bool = False
    is_array: bool = False
    deflated_bytes: int | None = None
    crc32: int | None = None

    @property
    def is_deflated(self) -> bool:
        """Whether the data has to be inflated, and so is read in order."""
        return self.deflated_bytes is not None

    @property
    def file_axes(self) -> tuple[int, ...]:
        """The axes in file order, the slowest first."""
        return tuple(range(len(self.shape)))[:: -1 if self.fortran_order else 1]

    @property
    def file_shape(self) -> tuple[int, ...]:
        """The shape in file order."""
        return tuple(self.shape[axis] for axis in self.file_axes)

    def reading(self) -> Reading:
        """Begin to read the data, each byte once."""
        return Reading(self)

    def read(self) -> Array:
        """Read the array whole, in native byte order and C order, and verify its checksum.

        Raises
        ------
        SourceError
            The data is damaged, or an array of Python objects.
        """
        if self.dtype.hasobject:
            expected = "plain data; pickles are not opened"
            raise SourceError(self.path, key=self.key, found="an array of Python objects", expected=expected)
        array = np.empty(self.file_shape, self.dtype)
        reading = self.reading()
        if self.nbytes:
            reading.read_into(0, memoryview(array.reshape(-1).view(np.uint8)))
        reading.finish()
        return native(array.T if self.fortran_order else array)

    def as_bytes(self) -> StoredArray:
        """Return the bytes of header and data as an array."""
        nbytes = self.header_bytes + self.nbytes
        return replace(
            self,
            dtype=np.dtype(np.uint8),
            shape=(nbytes,),
            nbytes=nbytes,
            header_bytes=0,
            fortran_order=False,
            is_array=False,
        )

    def verify(self) -> None:
        """Read the data from one end to the other for its checksum."""
        if self.crc32 is None:
            return
        reading = self.reading()
        scratch = memoryview(bytearray(_VERIFY_BYTES))
        for offset in range(0, self.nbytes, _VERIFY_BYTES):
            reading.read_into(offset, scratch[: self.nbytes - offset])
        reading.finish()

    def read_segments(self, offset: int, stride: int, segment_bytes: int, view: memoryview) -> None:
        """Fill memory with segments of data that is not deflated; from any thread, no checksum is verified.

        Parameters
        ----------
        offset : int
            Of the first segment in the data.
        stride : int
            Distance between the beginnings of segments, in bytes.
        segment_bytes : int
        view : memoryview
        """
        try:
            start = self.start + self.header_bytes + offset
            read_segments(self.file.descriptor, start, stride, segment_bytes, view)
        except (OSError, EOFError) as error:
            raise SourceError(self.path, f"cannot be read: {error}", key=self.member or None) from error


class Reading:
    """One pass over the data of an array: each byte is read once, and the checksum verified in the end.

    Parameters
    ----------
    array : StoredArray
        Where it is deflated, it is read in order, from one thread.
    """

    def __init__(self, array: StoredArray) -> None:
        self._array = array
        self._inflater = _Inflater(array) if array.is_deflated else None
        self._crcs: dict[int, tuple[int, int]] = {}
        self._lock = threading.Lock()
        if array.header_bytes and array.crc32 is not None:
            self._fill(0, memoryview(bytearray(array.header_bytes)))

    def read_into(self, offset: int, view: memoryview, part_checksums: Array | None = None) -> None:
        """Fill a view of bytes from `offset` of the array's data on.

        Parameters
        ----------
        offset : int
        view : memoryview
        part_checksums : array, [n], uint32, optional
            Filled with the CRC-32 of each of n equal parts of these bytes; the array has a checksum.

        Raises
        ------
        SourceError
            The data is damaged, or ends before.
        ValueError
            It is deflated, and the bytes are not the next ones.
        """
        array = self._array
        if offset + len(view) > array.nbytes:
            raise SourceError(array.path, "the data ends early", key=array.member or None)
        self._fill(array.header_bytes + offset, view, part_checksums)

    def take_checksums(self) -> dict[int, tuple[int, int]]:
        """Return offset, and length and CRC-32, of what was read since the last call."""
        with self._lock:
            taken, self._crcs = self._crcs, {}
        return taken

    def add_checksums(self, checksums: dict[int, tuple[int, int]]) -> None:
        """Take as read what another `Reading` of the same array has read."""
        with self._lock:
            self._crcs |= checksums

    def finish(self) -> None:
        """Compare the checksum with the file's, where it has one.

        Raises
        ------
        SourceError
            They differ.
        ValueError
            Some bytes were not read, or more than once.
        """
        array = self._array
        if array.crc32 is None:
            return
        end, total = 0, 0
        for offset, (length, crc) in sorted(self._crcs.items()):
            if offset != end:
                raise ValueError(f"bytes {end} to {offset} of {array.key} were not read once")
            total = isal_zlib.crc32_combine(total, crc, length)
            end += length
        nbytes = array.header_bytes + array.nbytes
        if end != nbytes:
            raise ValueError(f"{array.key} was read up to byte {end} of {nbytes}")
        if total != array.crc32:
            found, expected = f"CRC-32 {total:08x}", f"{array.crc32:08x} by the archive's directory"
            raise SourceError(array.path, key=array.member, found=found, expected=expected)

    def _fill(self, offset: int, view: memoryview, part_checksums: Array | None = None) -> None:
        array = self._array
        if self._inflater is not None:
            self._inflater.read_into(offset, view)
        else:
            fill(array.file, array.start + offset, view, array.path, array.member or None)
        if array.crc32 is not None and len(view):
            part_bytes = len(view) if part_checksums is None else len(view) // len(part_checksums)
            parts = crc32_of_parts(view, part_bytes)
            if part_checksums is not None:
                part_checksums[:] = parts
            crc = crc32_of_whole(parts, part_bytes)
            with self._lock:
                self._crcs[offset] = (len(view), crc)


class _Inflater:
    """Inflates the bytes of a member, in order."""

    def __init__(self, array: StoredArray) -> None:
        self._array = array
        self._next = array.start
        self._end = array.start + (array.deflated_bytes or 0)
        self._inflater = isal_zlib.decompressobj(wbits=-15)
        self._pending = b""
        self._done = 0

    def read_into(self, offset: int, view: memoryview) -> None:
        if offset != self._done:
            raise ValueError(f"{self._array.key} is deflated, and has to be read in order")
        filled = 0
        while filled < len(view):
            piece = self._inflate(len(view) - filled)
            view[filled : filled + len(piece)] = piece
            filled += len(piece)

    def _inflate(self, most: int) -> bytes:
        """Return the next inflated bytes, at least one and at most `most`."""
        array = self._array
        while True:
            if not self._pending and not self._inflater.eof:
                self._pending = self._read_deflated()
            try:
                piece = self._inflater.decompress(self._pending, most)
            except isal_zlib.IsalError as error:  # type: ignore[misc]  # a class, whatever its stub says
                raise SourceError(array.path, f"the deflated data is damaged: {error}", key=array.member) from error
            self._pending = self._inflater.unconsumed_tail
            if piece:
                self._done += len(piece)
                return piece
            if self._inflater.eof or (not self._pending and self._next == self._end):
                expected = str(array.header_bytes + array.nbytes)
                raise SourceError(
                    array.path,
                    "the deflated data ends early",
                    key=array.member,
                    found=f"{self._done} bytes",
                    expected=expected,
                )

    def _read_deflated(self) -> bytes:
        data = bytearray(min(_INFLATE_STEP_BYTES, self._end - self._next))
        fill(self._array.file, self._next, memoryview(data), self._array.path, self._array.member)
        self._next += len(data)
        return bytes(data)


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
    require_file(path)
    try:
        return PositionalFile(path)
    except FileNotFoundError:
        raise SourceError(path, "no such file") from None
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error


def fill(file: PositionalFile, offset: int, view: memoryview, path: Path, key: str | None) -> None:
    """Fill a view of bytes from an offset in a file on; SourceError where it cannot be read, or ends before."""
    try:
        file.read_into(offset, view)
    except EOFError as error:
        raise SourceError(path, f"truncated: {error}", key=key) from error
    except (OSError, ValueError, OverflowError) as error:
        raise SourceError(path, f"cannot be read: {error}", key=key) from error
