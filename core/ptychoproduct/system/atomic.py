"""Outputs that are either complete or absent."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ptychoproduct.errors import OutputError


@dataclass(frozen=True)
class _Output:
    """A file that is complete under another name."""

    path: Path
    target: Path
    part: Path
    overwrite: bool
    sources: tuple[Path, ...]


class OutputGroup:
    """Outputs that appear together when all are complete, or not at all; see `output_group`."""

    def __init__(self) -> None:
        self._targets: set[Path] = set()
        self._outputs: list[_Output] = []

    def claim(self, path: Path, target: Path) -> None:
        """Refuse a destination that another output of the group has: OutputError."""
        if target in self._targets:
            raise OutputError(path, found="the name of another output", expected="another file")
        self._targets.add(target)

    def add(self, output: _Output) -> None:
        """Take over an output that is complete."""
        self._outputs.append(output)

    def publish(self) -> None:
        """Give all outputs their names; where one fails, those before it become what they were."""
        for output in self._outputs:
            with writing_errors(output.path):
                _check_destination(output)
        with ExitStack() as kept, ExitStack() as undo:
            for output in self._outputs:
                with writing_errors(output.path):
                    if output is not self._outputs[-1]:  # the last has nothing behind it that could fail
                        old = _second_name(output.target)
                        if old is not None:
                            kept.callback(_remove, old)
                        undo.callback(_put_back, old, output.target)
                    output.part.replace(output.target)
            undo.pop_all()
        for folder in {output.target.parent for output in self._outputs}:
            with contextlib.suppress(OSError):  # the folder's own entry; not every file system can, and Windows cannot
                _sync(folder)

    def discard(self, error: BaseException) -> None:
        """Remove what has not been published, and note it on the error that is the reason."""
        for output in self._outputs:
            _give_up(output, error)


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
    path: Path, *, overwrite: bool = True, sources: tuple[Path, ...] = (), group: OutputGroup | None = None
) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when the block ends without an error.

    Parameters
    ----------
    path : Path
        Where the complete file shall appear; missing folders are made. A symbolic link stays, its target is replaced.
    overwrite : bool
        Whether an existing file may be replaced.
    sources : tuple of Path
        Files that `path` must not be.
    group : OutputGroup, optional
        Outputs that this one appears with, when their block ends.

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
        part = target.with_name(f".ptychoproduct-{secrets.token_hex(8)}.part")
        output = _Output(path, target, part, overwrite, sources)
        _check_destination(output)
    except (OSError, RuntimeError, ValueError) as error:  # a loop of symbolic links, a name that is too long
        raise OutputError(path, f"cannot be written: {getattr(error, 'strerror', None) or error}") from error
    own = OutputGroup() if group is None else group
    own.claim(path, target)
    with writing_errors(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
    try:
        yield part
        with writing_errors(path):
            _sync(part)
    except BaseException as error:
        _give_up(output, error)
        raise
    own.add(output)
    if group is None:
        try:
            own.publish()
        except BaseException as error:
            own.discard(error)
            raise


@contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong with writing into an OutputError that names the destination."""
    try:
        yield
    except OSError as error:
        raise OutputError(path, f"cannot be written: {error.strerror or error}") from error


def _check_destination(output: _Output) -> None:
    path, target = output.path, output.target
    if target.is_dir():
        raise OutputError(path, found="a directory", expected="a file name")
    if not target.exists():
        return
    if not target.is_file():
        raise OutputError(path, found="a device or the like", expected="a file name")
    if any(source.exists() and target.samefile(source) for source in output.sources):
        raise OutputError(path, found="the input itself", expected="another file")
    if not output.overwrite:
        raise OutputError(path, "exists already, and is not to be replaced")


def _second_name(target: Path) -> Path | None:
    """Give a file that is about to be replaced a name to come back from; None where there is no file."""
    if not target.exists():
        return None
    name = target.with_name(f".ptychoproduct-{secrets.token_hex(8)}.old")
    try:
        os.link(target, name)
    except OSError:  # not every file system has hard links
        target.rename(name)
    return name


def _put_back(old: Path | None, target: Path) -> None:
    with contextlib.suppress(OSError):
        if old is None:
            target.unlink(missing_ok=True)
        else:
            old.replace(target)


def _give_up(output: _Output, error: BaseException) -> None:
    with contextlib.suppress(OSError):  # it has its name, or was never made
        output.part.unlink()
        error.add_note(f"removed {output.part}, the unfinished {output.path.name}")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    # Windows flushes only what is open for writing; a folder cannot be opened so.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
