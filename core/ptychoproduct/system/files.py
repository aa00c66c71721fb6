"""Reading and writing files at given offsets, from any number of threads at once."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ptychoproduct.errors import counted
from ptychoproduct_native import read_segments

# Threads that read parts of a file in turn hide from the kernel that all of it will be read.
_AHEAD_BYTES = 32 * 1024**2
_LEAST_READ_BYTES = 64 * 1024  # smaller ones are of headers


class PositionalFile:
    """A file opened for reading that has no current position.

    Parameters
    ----------
    path : Path
        The file to read.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size
        self._announced = 0  # the kernel has been told to read up to here

    @property
    def descriptor(self) -> int:
        """The file's descriptor."""
        return self._file.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill a writable view of bytes from `offset` on.

        Raises
        ------
        EOFError
            The file ends before the view is full.
        ValueError
            The offset is before the file.
        """
        if offset < 0:
            raise ValueError(f"offset {offset} is before the file")
        self._announce(offset, len(view))
        while len(view):
            count = self._read_some(offset, view)
            if count == 0:
                raise EOFError(f"file ends {counted(len(view), 'byte')} early")
            view = view[count:]
            offset += count

    def read(self, offset: int, nbytes: int) -> bytes:
        """Return exactly `nbytes` bytes from `offset` on; EOFError where the file ends before."""
        data = bytearray(nbytes)
        self.read_into(offset, memoryview(data))
        return bytes(data)

    def _announce(self, offset: int, nbytes: int) -> None:
        """Tell the kernel what will be read next, where one read follows another."""
        announced, end = self._announced, offset + nbytes
        if nbytes < _LEAST_READ_BYTES or not hasattr(os, "posix_fadvise"):
            return
        if not end - _AHEAD_BYTES <= announced <= end + 2 * _AHEAD_BYTES:  # another part of the file
            self._announced = end
        elif announced < min(end + _AHEAD_BYTES // 2, self.size):
            self._announced = end + _AHEAD_BYTES
            os.posix_fadvise(self.descriptor, announced, self._announced - announced, os.POSIX_FADV_WILLNEED)

    def _read_some(self, offset: int, view: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [view], offset)
        # Windows: to seek and to read would be two steps, and another thread's read would come between them.
        read_segments(self._file.fileno(), offset, len(view), len(view), view)
        return len(view)


class PositionalOutput:
    """A file opened for writing that has no current position; an existing one is emptied.

    Parameters
    ----------
    path : Path
        The file to write.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of a buffer of bytes from `offset` on.

        Raises
        ------
        OSError
            The disk is full, for example.
        """
        view = memoryview(data)
        while len(view):
            count = self._write_some(offset, view)
            view = view[count:]
            offset += count

    def _write_some(self, offset: int, view: memoryview) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._file.fileno(), view, offset)
        with self._lock:  # Windows: the position is shared
            self._file.seek(offset)
            return self._file.write(view) or 0


_MOST_BUFFERS = 1024  # in one call; IOV_MAX of Linux and macOS


class SpillFile:
    """A file that vanishes when it is closed, or with the process.

    Parameters
    ----------
    folder : Path
        On the disk that it takes space from.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, prefix=".ptychoproduct-", buffering=0)  # noqa: SIM115
        self._lock = threading.Lock()

    def close(self) -> None:
        """Free the space."""
        self._file.close()

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of the data from `offset` on.

        Raises
        ------
        OSError
            The disk is full, or fails.
        """
        while len(data):
            if hasattr(os, "pwrite"):
                count = os.pwrite(self._file.fileno(), data, offset)
            else:  # Windows: the position is shared
                with self._lock:
                    self._file.seek(offset)
                    count = self._file.write(data) or 0
            data = data[count:]
            offset += count

    def read(self, pieces: Sequence[memoryview], offset: int) -> None:
        """Fill views, one after the other, from `offset` on.

        Raises
        ------
        OSError
            The disk fails.
        """
        for start in range(0, len(pieces), _MOST_BUFFERS):
            some = pieces[start : start + _MOST_BUFFERS]
            nbytes = sum(map(len, some))
            if not hasattr(os, "preadv") or os.preadv(self._file.fileno(), some, offset) < nbytes:
                self._read_each(some, offset)
            offset += nbytes

    def _read_each(self, pieces: Sequence[memoryview], offset: int) -> None:
        with self._lock:
            self._file.seek(offset)
            for piece in pieces:
                filled = 0
                while filled < len(piece):
                    filled += self._file.readinto(piece[filled:]) or 0
