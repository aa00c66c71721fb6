"""Standard output and standard error, also where they are a pipe that ends, a full disk, or closed."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

_failures: dict[str, OSError] = {}


def prepare_streams() -> None:
    """Make the standard streams safe to print on, and keep their descriptors from being a file's."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file that is opened would get its number, and what others print
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        setattr(sys, name, _safe(getattr(sys, name), name))


def printing_failure() -> str | None:
    """Return why the result could not be printed; None where it was, or where nobody is there to read it."""
    sys.stdout.flush()
    failure = _failures.get("stdout")
    return None if failure is None or isinstance(failure, BrokenPipeError) else failure.strerror or str(failure)


def _safe(stream: Any, name: str) -> Any:
    """Return a stream that takes every character, and does not fail."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - open as long as the process
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # not a stream of the system
        return stream
    stream.flush()
    if sys.platform == "win32" and stream.isatty():  # which writes characters, not bytes
        stream.reconfigure(errors="backslashreplace")
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(descriptor, name)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering or name == "stderr",
    )


class _Descriptor(io.RawIOBase):
    """A descriptor to write to; after a failure, what is written is dropped."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        if self._name not in _failures:
            try:
                return os.write(self._descriptor, data)
            except OSError as error:
                _failures[self._name] = error
        return len(data)
