"""What commands print: results, as a table or as JSON; warnings; errors."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_NEVER_WRAPPED = 100_000


def report(result: Mapping[str, Any], rows: Mapping[str, str], arguments: argparse.Namespace) -> None:
    """Print the result of a conversion, and the most memory it took: as JSON with ``--json``, else as a table."""
    peak = peak_memory_bytes()
    memory = {} if peak is None else {"memory": f"{megabytes(peak)} at most"}
    damage = {"damaged": "\n".join(arguments.damage)} if arguments.damage else {}
    result = {**result, "damage": arguments.damage, "peak_memory_bytes": peak}
    print_result(result, partial(print_rows, {**rows, **memory, **damage}), arguments)


def print_result(result: Mapping[str, Any], show: Callable[[], None], arguments: argparse.Namespace) -> None:
    """Print a result and the warnings as JSON with ``--json``; else call `show`, but not with ``--quiet``."""
    if arguments.json:
        print_json({**result, "warnings": arguments.warnings})
    elif not arguments.quiet:
        show()


def print_error(prog: str, message: str) -> None:
    """Print one line on standard error."""
    print(f"{prog}: error: {message}", file=sys.stderr)


def reason_of(error: Exception) -> str | None:
    """Say in one line what failed outside this package: HDF5, the system, or memory; None for any other error."""
    from ptychoproduct.hdf5.local_links import is_h5pys, last_words

    if isinstance(error, MemoryError):
        return "out of memory"
    if is_h5pys(error):
        return f"a file is damaged or not readable: {last_words(error)}"
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}"
    return None


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(result, default=_jsonable))


def new_console() -> Console:
    """Return where to print tables: as wide as the terminal, or so wide that a file or a pipe gets whole lines."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_NEVER_WRAPPED)


def print_rows(rows: Mapping[str, str]) -> None:
    """Print names and values in two columns; in a file or a pipe each in one line."""
    from ptychoproduct.errors import one_line

    console = new_console() if _may_be_terminal() else None
    if console is None or not console.is_terminal:
        width = max(map(len, rows), default=0)
        for name, value in rows.items():
            print(f"{name:{width}}  {'; '.join(map(one_line, value.splitlines()))}".rstrip())
        return
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text("\n".join(map(one_line, value.splitlines()))))
    console.print(table)


def _may_be_terminal() -> bool:
    """Whether rich may take standard output for a terminal; to import it in order to ask takes 30 ms."""
    return sys.stdout.isatty() or any(name in os.environ for name in ("FORCE_COLOR", "TTY_COMPATIBLE"))


@contextmanager
def collected_warnings(arguments: argparse.Namespace) -> Iterator[None]:
    """Print each warning on standard error as it comes, but not with ``--quiet``, and keep all for ``--json``."""
    arguments.warnings, arguments.damage = [], []
    from ptychoproduct import DamageWarning, ProductWarning
    from ptychoproduct.errors import one_line

    def show(message: Warning | str, category: type[Warning], *place: object, **kwargs: object) -> None:  # noqa: ARG001
        text = message.with_flags if isinstance(message, ProductWarning) else str(message)
        if issubclass(category, ProductWarning) and text not in arguments.warnings:
            arguments.warnings.append(text)
            if issubclass(category, DamageWarning):
                arguments.damage.append(text)
            if not arguments.quiet:
                print(f"warning: {one_line(text)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ProductWarning)
        warnings.showwarning = show
        yield


def peak_memory_bytes() -> int | None:
    """Return the most memory that this process has held; None where the system does not tell."""
    try:
        # Not getrusage: across exec it still counts the memory of the process that started this one.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def megabytes(nbytes: float) -> str:
    """Write a size in units of 10⁶ bytes."""
    return f"{nbytes / 1e6:,.1f} MB"


def _jsonable(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else list(value)
