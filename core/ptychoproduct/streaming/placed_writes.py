"""Writes of chunks to the places that HDF5 has given them, by the threads that encode."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock


class PlacedWrites:
    """Writes that wait for a thread; the kernel lets one thread at a time write to a file.

    Parameters
    ----------
    most_waiting : int
        If there are more, the thread that adds one does them.
    """

    def __init__(self, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self._writes: deque[Callable[[], None]] = deque()
        self._writing = Lock()

    def add(self, write: Callable[[], None]) -> None:
        """Take a write, which any thread may do."""
        self._writes.append(write)
        if len(self._writes) > self._most_waiting:  # memory stays bounded
            self.finish()

    def help(self) -> None:
        """Do those that wait, unless another thread does."""
        if self._writes and self._writing.acquire(blocking=False):
            try:
                self._do()
            finally:
                self._writing.release()

    def finish(self) -> None:
        """Do all of them; those that another thread does have been done, too."""
        with self._writing:
            self._do()

    def _do(self) -> None:
        while self._writes:
            self._writes.popleft()()
