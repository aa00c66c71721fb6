"""Which files a batch takes, and what its outputs are called."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from ptychoproduct.errors import OptionError, SourceError


def find_sources(
    words: Iterable[str | PathLike[str]],
    suffixes: Sequence[str],
    list_file: str | PathLike[str] | None = None,
    folder: str | PathLike[str] | None = None,
    output_suffix: str | None = None,
) -> list[Path]:
    """Return the files that are meant, each once, in order.

    Parameters
    ----------
    words : iterable of path
        Files; folders, of which the files with known suffixes are taken; patterns such as ``night/*.npz``.
    suffixes : sequence of str
        Of the files that are taken from folders, in lower case.
    list_file : path, optional
        A text file with one of these a line; empty lines and those that begin with # are left out. ``-`` is standard
        input.
    folder, output_suffix : optional
        Where outputs go, see `name_outputs`. A file that is an output itself is not taken from a folder or a pattern.

    Raises
    ------
    SourceError
        There is no file in a folder, none that fits a pattern, or the list cannot be read.
    """
    found: dict[str, Path] = {}
    for word in [*(fspath(word) for word in words), *([] if list_file is None else _listed(fspath(list_file)))]:
        files = _expanded(word, suffixes)
        if files != [Path(word)] and folder is not None:
            files = [file for file in files if _key(file) != _key(output_name(file, folder, output_suffix))]
        if not files:
            raise SourceError(word, f"there is no file {'in this folder' if Path(word).is_dir() else 'of this name'}")
        for file in files:
            found.setdefault(_key(file), file)
    if not found:
        raise SourceError(list_file or "the command line", "no file is named; give at least one")
    return list(found.values())


def output_name(source: Path, folder: str | PathLike[str], suffix: str | None) -> Path:
    """Return the output of a source: the source's name, in another folder and with another suffix if one is given."""
    return Path(folder) / (source.name if suffix is None else f"{source.stem}{suffix}")


def name_outputs(sources: Sequence[Path], folder: str | PathLike[str], suffix: str | None) -> list[Path]:
    """Return the names of all outputs.

    Raises
    ------
    OptionError
        Two sources have the same output, or an output is one of the sources.
    """
    owners: dict[str, Path] = {}
    taken = {_key(source): source for source in sources}
    outputs = [output_name(source, folder, suffix) for source in sources]
    for source, output in zip(sources, outputs, strict=True):
        owner = owners.setdefault(_key(output), source)
        if owner is not source:
            problem = f"{owner} and {source} would both become {output}; rename one of them, or use two folders"
            raise OptionError("output_dir", problem)
        if _key(output) in taken:
            raise OptionError(
                "output_dir", f"{output} is one of the inputs, and would be replaced; give another folder"
            )
    return outputs


def absolute_name(value: Any) -> Any:
    """Return the name of a file that is there, perhaps with a key behind it, from the root on: workers run elsewhere.

    What is no such name is returned as it is.
    """
    if isinstance(value, str | PathLike):
        name = fspath(value)
        if any(part and Path(part).exists() for part in (name, name.rpartition(":")[0])):
            return os.path.abspath(name)  # noqa: PTH100 - a key may stand behind it
    return value


def _listed(list_file: str) -> list[str]:
    try:
        text = sys.stdin.read() if list_file == "-" else Path(list_file).read_text(encoding="utf-8")
    except OSError as error:
        raise SourceError(list_file, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SourceError(list_file, "this is not a text file with the name of a scan in each line") from error
    return [line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#")]


def _expanded(word: str, suffixes: Sequence[str]) -> list[Path]:
    path = Path(word)
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in suffixes and file.is_file()]
    elif glob.has_magic(word) and not path.exists():
        files = [file for file in map(Path, glob.glob(word, recursive=True)) if file.is_file()]  # noqa: PTH207
    else:
        return [path]
    return sorted((file for file in files if not file.name.startswith(".")), key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Have scan9 before scan10."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"([0-9]+)", str(path))]


def _key(path: Path) -> str:
    return os.path.normcase(path.resolve())
