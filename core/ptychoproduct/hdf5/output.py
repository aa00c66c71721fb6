"""A new HDF5 file on a disk that may fill up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

from ptychoproduct.errors import OutputError
from ptychoproduct_native import OutputFile

# 1.8 stores attributes over 64 KiB, such as OPR weights; 1.10 is the newest that every reader knows.
_LIBVER = ("v108", "v110")
_SUFFIXES = (".h5", ".hdf5")
# The files that are being written, by what h5py takes for their names.
_written: dict[str, Path] = {}


def require_hdf5_suffix(path: Path) -> None:
    """Check that a file's name ends as that of an HDF5 file.

    Raises
    ------
    OutputError
        Its name ends in something else than ``.h5`` or ``.hdf5``.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(path, f"the name of an HDF5 output must end in {' or '.join(_SUFFIXES)}")


@contextmanager
def new_hdf5_file(
    part: Path, path: Path, *, track_order: bool = False, userblock_bytes: int = 0
) -> Iterator[tuple[h5py.File, OutputFile]]:
    """Open a new HDF5 file, and close it when the block ends.

    Parameters
    ----------
    part : Path
        The file; it exists. What it holds, of a run that was killed, stays as long as `OutputFile.keep_rest` says.
    path : Path
        The name for messages.
    track_order : bool
        Whether the root knows in which order its links and attributes were made.
    userblock_bytes : int
        What is left free at the beginning of the file: 0, or a power of two from 512 on.

    Yields
    ------
    h5py.File
    OutputFile
        Where it is written. Writes do not fail, see there; `hdf5_errors` tells.

    Raises
    ------
    OutputError
        A write has failed.
    """
    with part.open("r+b", buffering=0) as raw:
        output = OutputFile(raw.fileno())
        output.keep_rest(part.stat().st_size > 0)
        with hdf5_errors(path, output):
            file = h5py.File(
                output, "w", libver=_LIBVER, track_order=track_order, userblock_size=userblock_bytes or None
            )
        name = file.filename
        _written[name] = part
        try:
            yield file, output
        except BaseException:
            output.give_up()
            with suppress(OSError, RuntimeError):
                file.close()
            raise
        finally:
            del _written[name]
        with hdf5_errors(path, output):
            output.keep_rest(False)
            file.close()


def path_of(file: h5py.File) -> Path:
    """Return where a file is, also one of `new_hdf5_file`."""
    return _written.get(file.filename) or Path(file.filename)


@contextmanager
def hdf5_errors(path: Path, output: OutputFile) -> Iterator[None]:
    """Turn h5py's errors, and writes that have failed, into an OutputError.

    Raises
    ------
    OutputError
        At the end of the block.
    """
    try:
        yield
        output.check()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(path, f"cannot be written: {reason}") from error
