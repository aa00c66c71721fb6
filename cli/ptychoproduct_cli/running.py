"""What all commands share: how they report, and how they end.

Nothing outside the standard library is imported until a command runs, so that ``--help`` is quick and man pages can be
made without the packages that do the work.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

EXIT_OK = 0
EXIT_COULD_NOT_RUN = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

EXIT_CODES = """\
exit codes:
  0    done
  2    the command line, an input or the output is at fault; one line on
       standard error says how, and no output was left behind
  130  interrupted (Ctrl-C), 143 terminated; no output was left behind
"""


class HelpFormatter(argparse.HelpFormatter):
    """Wraps descriptions, as usual, and leaves tables of exit codes as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("exit codes:"):
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)


Command = Callable[[argparse.Namespace], int]


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about what is printed."""
    group = parser.add_argument_group("what is printed")
    group.add_argument("--quiet", action="store_true", help="print errors only")
    group.add_argument("--json", action="store_true", help="print the result as one JSON object on standard output")


def run(command: Command, arguments: argparse.Namespace, prog: str, failure: int = EXIT_BAD_INPUT) -> int:
    """Run a command to its exit code; errors become one line, warnings one line each.

    Parameters
    ----------
    command : callable
        Does the work and returns the exit code.
    arguments : argparse.Namespace
        With `quiet` and `json`.
    prog : str
        Name for the messages.
    failure : int
        Exit code where the command could not do its work.
    """
    from ptychoproduct import ProductError, ProductWarning

    signal.signal(signal.SIGTERM, _terminate)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", ProductWarning)
            return command(arguments)
    except ProductError as error:
        _fail(prog, str(error), arguments)
        return failure
    except KeyboardInterrupt:
        _fail(prog, "interrupted; nothing was left behind", arguments)
        return EXIT_INTERRUPTED
    except _Terminated:
        _fail(prog, "terminated; nothing was left behind", arguments)
        return EXIT_TERMINATED
    except MemoryError:
        _fail(prog, "out of memory; nothing was left behind", arguments)
        return failure


@contextmanager
def collected_warnings(arguments: argparse.Namespace) -> Iterator[list[str]]:
    """Collect warnings in a list, and print each on standard error when the block ends."""
    from ptychoproduct import ProductWarning

    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ProductWarning)
        yield messages
        messages += [str(warning.message) for warning in caught if issubclass(warning.category, ProductWarning)]
    if not arguments.quiet:
        for message in messages:
            print(f"warning: {message}", file=sys.stderr)


@contextmanager
def progress_bar(title: str, total_bytes: int, arguments: argparse.Namespace) -> Iterator[Callable[[int], None] | None]:
    """Show a bar with MB/s and the time left, where standard error is a terminal."""
    if arguments.quiet or not total_bytes or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total_bytes)
        yield lambda nbytes: progress.update(task, advance=nbytes)


def report(result: Mapping[str, Any], rows: Mapping[str, str], arguments: argparse.Namespace) -> None:
    """Print a result: `result` as JSON where that was asked for, else `rows` as a table."""
    if arguments.json:
        print_json(result)
    elif not arguments.quiet:
        print_rows(rows)


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(result, default=_jsonable))


def print_rows(rows: Mapping[str, str]) -> None:
    """Print names and values in two columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(value))
    Console().print(table)


def peak_memory_bytes() -> int | None:
    """Return the most memory that this process has held, None where the system does not tell."""
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
    """Spell a size, in 10⁶ bytes."""
    return f"{nbytes / 1e6:,.1f} MB"


def exit_with(code: int) -> NoReturn:
    """End the process; without the interpreter's traceback where nobody reads the output any more."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that outputs in the making are removed."""


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of handlers
    raise _Terminated


def _fail(prog: str, message: str, arguments: argparse.Namespace) -> None:
    print(f"{prog}: error: {message}", file=sys.stderr)
    if arguments.json:
        print_json({"error": message})


def _jsonable(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else list(value)
