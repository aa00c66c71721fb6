"""Reading back what was just written, from the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py

from ptychoproduct.errors import ContractError, OutputError
from ptychoproduct.hdf5.local_links import last_words
from ptychoproduct.system.atomic import sync
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.digests import content_digest


@contextmanager
def read_back(part: Path, path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file that was just written; the system's copy of it in memory is dropped first, if possible.

    Parameters
    ----------
    part : Path
        The file.
    path : Path
        The name for messages.

    Raises
    ------
    OutputError
        The file, or what the block reads of it, cannot be read.
    """
    try:
        _forget(part)
        with h5py.File(part, "r") as file:
            yield file
    except ContractError as error:
        raise OutputError(path, f"cannot be read back from the disk: {error.sentence}", key=error.key) from error
    except (OSError, RuntimeError) as error:
        raise OutputError(path, f"cannot be read back from the disk: {last_words(error)}") from error


def verify_digests(
    part: Path, path: Path, digests: Mapping[str, str], progress: Callable[[int], None] | None = None
) -> None:
    """Compare the content of a file that was just written with what was to be written.

    Parameters
    ----------
    part, path : Path
        See `read_back`.
    digests : mapping of str to str
        By the names of datasets.
    progress : callable, optional
        Called with a number of bytes whenever so many have been read.

    Raises
    ------
    OutputError
        Something differs.
    """
    resources = Resources() if progress is None else Resources(progress=progress)
    with read_back(part, path) as file:
        for name, digest in digests.items():
            if name not in file or content_digest(file[name], resources) != digest:
                raise OutputError(path, "its content differs when it is read back from the disk", key=name)


def _forget(path: Path) -> None:
    """Make the next reads come from the disk, unless the file system is in memory."""
    sync(path)
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
