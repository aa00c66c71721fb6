"""A temporary file without a name, read and written at offsets from any thread."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

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
        """Give the space back."""
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
