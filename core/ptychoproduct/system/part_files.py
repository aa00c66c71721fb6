"""Unfinished outputs: what they are called, how a run holds them, and those that a killed run has left."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which removes no file that a process has open
    fcntl = None  # type: ignore[assignment]

# In the folder of an unfinished output that may be continued, see `Place`.
UNFINISHED_FILE = "product.h5"
HAS_FOLDER = "with a folder"
# Part files of this process.
unfinished: set[Path] = set()


def new_name(target: Path, suffix: str) -> Path:
    """Return a new name beside a file; `remove_leftovers` finds it by the file's own name.

    Parameters
    ----------
    target : Path
    suffix : str
        ``.part`` for an unfinished output, ``.old`` for a file that is being replaced.
    """
    return target.with_name(f"{_stem(target)}{secrets.token_hex(8)}{suffix}")


def folder_beside(target: Path) -> Path:
    """Return the folder of an output whose data is in several files."""
    return target.with_name(f"{target.stem}.frames")


@contextlib.contextmanager
def held_folder(folder: Path) -> Iterator[bool]:
    """Make the folder of an unfinished output, or take an existing one, and hold it while the block runs.

    Yields
    ------
    bool
        False where another run holds it.
    """
    folder.mkdir(exist_ok=True)
    if fcntl is None:
        yield True
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        is_free = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_free = False
        except OSError:  # not every file system has locks
            pass
        yield is_free and folder.exists()
    finally:
        os.close(descriptor)


def remove_folder(folder: Path, target: Path) -> None:
    """Remove the folder of an unfinished output, and its data where this has its name already, but the output has not.

    OSError where something is written in it meanwhile.
    """
    beside = folder_beside(target)
    is_named = not (folder / beside.name).exists()
    if (folder / HAS_FOLDER).exists() and (folder / UNFINISHED_FILE).exists() and is_named and beside.exists():
        shutil.rmtree(beside)
    (folder / HAS_FOLDER).unlink(missing_ok=True)  # first: the rest says nothing without it
    shutil.rmtree(folder)


@contextlib.contextmanager
def held_part(part: Path) -> Iterator[None]:
    """Make an empty part file, and hold it while the block runs, so that no other run takes it for a leftover.

    Raises
    ------
    OSError
        The folder cannot be written to.
    """
    unfinished.add(part)
    try:
        yield from _held(part)
    finally:
        unfinished.discard(part)


def _held(part: Path) -> Iterator[None]:
    while True:
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if fcntl is None:  # what is open could not be renamed
            os.close(descriptor)
            yield
            return
        try:
            # Shared, because HDF5 locks what it reads back. Not every file system has locks.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            if part.exists():  # otherwise another run has removed it as a leftover before it was held
                yield
                return
        finally:
            os.close(descriptor)


def remove_leftovers(target: Path) -> list[Path]:
    """Remove what killed runs have left of an output, and return what was removed.

    Parameters
    ----------
    target : Path
        The output. What a run still holds, on this machine or on another, stays.
    """
    removed = []
    for path in parts_of(target):
        with contextlib.suppress(OSError):
            if _remove_if_free(path, target):
                removed.append(path)
    return removed


def parts_of(target: Path) -> list[Path]:
    """Return the unfinished files of an output, whoever holds them."""
    stem = _stem(target)
    with contextlib.suppress(OSError):  # a folder that cannot be listed, or is not there yet
        return [
            path for path in target.parent.iterdir() if path.name.startswith(stem) and path.suffix in (".part", ".old")
        ]
    return []


def _stem(target: Path) -> str:
    """Return how the names of a file's parts begin: with a hash, as the file's name may be too long for more."""
    return f".ptychoproduct-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


def _remove(path: Path, target: Path) -> None:
    if path.is_dir():
        remove_folder(path, target)
    else:
        path.unlink(missing_ok=True)


def _remove_if_free(path: Path, target: Path) -> bool:
    """Remove a file or folder that no process holds; false where one does, or the file system cannot tell."""
    if fcntl is None:
        _remove(path, target)
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path, target)  # while it is locked: who has just made it finds it gone when it has the lock
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
