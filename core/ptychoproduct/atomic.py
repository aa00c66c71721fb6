"""Outputs that are either complete or absent."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ptychoproduct.errors import OutputError


@contextmanager
def atomic_output(path: Path, *, overwrite: bool = True, sources: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when the block ends without an error.

    Parameters
    ----------
    path : Path
        Where the complete file shall appear; missing folders are made. A symbolic link stays, its target is replaced.
    overwrite : bool
        Whether an existing file may be replaced.
    sources : tuple of Path
        Files that `path` must not be.

    Yields
    ------
    Path
        A new name in the same folder. It is removed if there is an error, and the error gets a note that says so.

    Raises
    ------
    OutputError
        The destination is one of the sources, a folder, cannot be written, or exists and may not be replaced.
    """
    try:
        target = path.resolve()
        _check_destination(path, target, overwrite=overwrite, sources=sources)
    except (OSError, RuntimeError, ValueError) as error:  # a loop of symbolic links, a name that is too long
        raise OutputError(path, f"cannot be written: {getattr(error, 'strerror', None) or error}") from error
    part = target.with_name(f".ptychoproduct-{secrets.token_hex(8)}.part")
    with writing_errors(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
    try:
        yield part
        with writing_errors(path):
            flush_to_disk(part)
            _check_destination(path, target, overwrite=overwrite, sources=sources)
            part.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
            error.add_note(f"removed {part}, the unfinished {path.name}")
        raise
    with contextlib.suppress(OSError):  # the folder's own entry; not every file system can, and Windows cannot
        flush_to_disk(target.parent)


@contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong with writing into an OutputError that names the destination."""
    try:
        yield
    except OSError as error:
        raise OutputError(path, f"cannot be written: {error.strerror or error}") from error


def _check_destination(path: Path, target: Path, *, overwrite: bool, sources: tuple[Path, ...]) -> None:
    if target.is_dir():
        raise OutputError(path, found="a directory", expected="a file name")
    if not target.exists():
        return
    if not target.is_file():
        raise OutputError(path, found="a device or the like", expected="a file name")
    if any(source.exists() and target.samefile(source) for source in sources):
        raise OutputError(path, found="the input itself", expected="another file")
    if not overwrite:
        raise OutputError(path, "exists already, and is not to be replaced")


def flush_to_disk(path: Path) -> None:
    """Wait until what was written to a file, or to a folder's list of files, is on the disk."""
    # Windows flushes only what is open for writing; a folder cannot be opened so.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
