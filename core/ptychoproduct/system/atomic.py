"""Outputs that are either complete or absent."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from ptychoproduct.errors import OutputError, warn
from ptychoproduct.system.part_files import folder_beside, held_part, new_name, remove_leftovers
from ptychoproduct.system.signals import held_signals

# The latest outputs that have got their names, for those who tell of an interruption.
completed: deque[Path] = deque(maxlen=16)

# Errors of fsync on file systems that do not support it.
_NOT_SUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class Place(NamedTuple):
    """Where an output is until it is complete, in place of a new file that is removed if there is an error.

    Parameters
    ----------
    part : Path
        On the same file system as the output; it may be there already. The caller holds it, and removes it.
    folder : Path, optional
        A folder that gets its name together with the output, see `folder_beside`.
    """

    part: Path
    folder: Path | None = None


class _Output(NamedTuple):
    """A file that is complete under another name."""

    path: Path
    target: Path
    part: Path
    overwrite: bool
    force: bool
    sources: tuple[Path, ...]
    is_kept: bool = False


class OutputGroup:
    """Outputs that appear together when all are complete, or not at all; see `output_group`."""

    def __init__(self) -> None:
        self._targets: set[Path] = set()
        self._outputs: list[_Output] = []
        self._folders: list[Path] = []
        self._holds = ExitStack()

    def claim(self, path: Path, target: Path) -> None:
        """Raise OutputError for a destination that another output of the group has."""
        if target in self._targets:
            raise OutputError(path, "is the name of another output, too; give each output its own name")
        self._targets.add(target)

    def make_part(self, part: Path) -> None:
        """Make a part file, which no other run takes for a leftover until the group is published or discarded."""
        self._holds.enter_context(held_part(part))

    def add(self, output: _Output) -> None:
        """Take over an output that is complete."""
        self._outputs.append(output)

    def make_folder(self, folder: Path) -> None:
        """Make a folder and those above it, which are removed again if nothing is published."""
        self._folders += [new for new in (folder, *folder.parents) if not new.exists()]  # innermost first
        folder.mkdir(parents=True, exist_ok=True)

    def publish(self) -> None:
        """Give all outputs their names; if one fails, restore what the names before it stood for.

        Signals wait until all have their names.
        """
        with ExitStack() as kept:
            old = [self._prepare(output, kept) for output in self._outputs]
            kept.callback(self._sync_folders)  # after an interruption, too
            with held_signals():
                self._rename(old)
                completed.extend(output.path for output in self._outputs)
                self._holds.close()

    def _sync_folders(self) -> None:
        for folder in {*(output.target.parent for output in self._outputs), *(new.parent for new in self._folders)}:
            with contextlib.suppress(OSError):  # not every file system can sync a folder; Windows cannot
                sync(folder)

    def _prepare(self, output: _Output, kept: ExitStack) -> Path | None:
        """Do what may take long or fail; return the second name of a file that may have to come back."""
        with writing_errors(output.path):
            _check_destination(output)
            _keep_permissions(output)
            if output is self._outputs[-1] or not output.target.exists():
                return None
            old = new_name(output.target, ".old")
            kept.callback(_remove, old)
            try:
                os.link(output.target, old)
            except OSError:  # not every file system has hard links; a file that is renamed would be gone after a kill
                shutil.copy2(output.target, old)
            return old

    def _rename(self, old: list[Path | None]) -> None:
        with ExitStack() as undo:
            for output, second in zip(self._outputs, old, strict=True):
                with writing_errors(output.path):
                    if output is not self._outputs[-1]:  # behind the last, nothing can fail
                        undo.callback(_put_back, second, output)
                    output.part.replace(output.target)
            undo.pop_all()

    def discard(self, error: BaseException) -> None:
        """Remove what has not been published, and say so in a note on the error."""
        for output in self._outputs:
            _give_up(output, error)
        self._holds.close()
        for folder in self._folders:
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()


@contextmanager
def output_group() -> Iterator[OutputGroup]:
    """Give a group for several `atomic_output`, which appear when the block ends without an error.

    Should the machine stop in between, some have appeared: in the order in which they were completed.

    Raises
    ------
    OutputError
        One of them cannot be written; then none is.
    """
    group = OutputGroup()
    try:
        yield group
        group.publish()
    except BaseException as error:
        group.discard(error)
        raise


@contextmanager
def atomic_output(
    path: Path,
    *,
    overwrite: bool = True,
    force: bool = False,
    sources: tuple[Path, ...] = (),
    group: OutputGroup | None = None,
    place: Place | None = None,
) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when the block ends without an error.

    Parameters
    ----------
    path : Path
        Where the complete file shall appear; missing folders are made. A symbolic link stays, its target is replaced.
    overwrite : bool
        Whether an existing file may be replaced.
    force : bool
        Whether that may be a read-only file.
    sources : tuple of Path
        Files that `path` must not be.
    group : OutputGroup, optional
        Outputs that this one appears with, when their block ends.
    place : Place, optional
        Where it is until then.

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
        part = new_name(target, ".part") if place is None else place.part
        output = _Output(path, target, part, overwrite, force, sources, is_kept=place is not None)
        _check_destination(output)
    except (OSError, RuntimeError, ValueError) as error:  # a loop of symbolic links, a name that is too long
        raise OutputError(path, f"cannot be written: {getattr(error, 'strerror', None) or error}") from error
    own = OutputGroup() if group is None else group
    own.claim(path, target)
    try:
        with writing_errors(path):
            own.make_folder(target.parent)
            remove_leftovers(target)
            if place is None:
                own.make_part(output.part)
            else:
                place.part.touch()
        yield output.part
        with writing_errors(path):
            _sync_if_possible(output.part, path)
        if place is not None and place.folder is not None:
            beside = folder_beside(target)
            own.add(_Output(beside, beside, place.folder, False, False, (), is_kept=True))
        own.add(output)
        if group is None:
            own.publish()
    except BaseException as error:
        _give_up(output, error)
        if group is None:
            own.discard(error)
        raise


@contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Turn errors of writing into an OutputError that names the destination."""
    try:
        yield
    except OSError as error:
        raise OutputError(path, f"cannot be written: {error.strerror or error}") from error


def _check_destination(output: _Output) -> None:
    target = output.target
    if target.is_dir():
        raise OutputError(output.path, "is a folder; give the name of a file")
    if not target.exists():
        return
    if not target.is_file():
        raise OutputError(output.path, "is not a regular file; give the name of a file")
    if any(source.exists() and target.samefile(source) for source in output.sources):
        raise OutputError(output.path, "is the input itself; give the name of another file")
    if not output.overwrite:
        raise OutputError(output.path, "exists already, and must not be replaced")
    is_writable = target.stat().st_mode & 0o222 and os.access(target, os.W_OK)  # the administrator may write to all
    if not is_writable and not output.force:
        raise OutputError(output.path, "exists and is read-only; --force replaces it")


def _put_back(old: Path | None, output: _Output) -> None:
    with contextlib.suppress(OSError):
        if old is not None:
            old.replace(output.target)
        elif not output.part.exists():  # else it has not got its name, and whatever has it stays
            if output.is_kept:
                output.target.rename(output.part)
            else:
                output.target.unlink(missing_ok=True)


def _give_up(output: _Output, error: BaseException) -> None:
    if output.is_kept:
        return
    with contextlib.suppress(OSError):  # it has its name, or was never made
        output.part.unlink()
        error.add_note(f"removed {output.part}, the unfinished {output.path.name}")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _keep_permissions(output: _Output) -> None:
    """Give a file the permissions, owner and attributes of the one that it replaces, as far as that is allowed."""
    if not output.target.exists():
        return
    old = output.target.stat()
    with contextlib.suppress(OSError):
        output.part.chmod(old.st_mode & 0o7777)
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(output.part, old.st_uid, old.st_gid)
    for name in os.listxattr(output.target) if hasattr(os, "listxattr") else ():  # access control lists among them
        with contextlib.suppress(OSError):
            os.setxattr(output.part, name, os.getxattr(output.target, name))


def _sync_if_possible(part: Path, path: Path) -> None:
    """Write a file to the disk; warn where the file system cannot confirm that."""
    try:
        sync(part)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        warn(f"{path}: this file system cannot confirm that the file is on the disk (fsync: {error.strerror})")


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk; OSError where that fails."""
    # Windows flushes only files that are open for writing; elsewhere a file may be read-only.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" and path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
