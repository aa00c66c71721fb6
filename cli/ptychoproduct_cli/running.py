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
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

EXIT_OK = 0
EXIT_COULD_NOT_RUN = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

EXIT_CODES = {
    EXIT_OK: "done",
    EXIT_BAD_INPUT: "the command line, an input or the output is at fault; one line on standard error says how, and no "
    "output was left behind",
    EXIT_INTERRUPTED: "interrupted (Ctrl-C); what was unfinished is removed, and named on standard error",
    EXIT_TERMINATED: "terminated; as above",
}


class HelpFormatter(argparse.HelpFormatter):
    """Wraps descriptions, as usual, and leaves examples and tables of exit codes as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(("examples:", "exit codes:")):
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)


@dataclass(frozen=True)
class Command:
    """A command: what it is called, what it says of itself, and what it does.

    Parameters
    ----------
    prog : str
        How it is called.
    summary : str
        For the list of commands.
    description : str
        For its own help.
    add_arguments : callable
        Adds its arguments to a parser.
    run : callable
        Does the work and returns the exit code.
    examples : tuple of str
        Command lines that work, for a scan ``scan.npz`` and its product ``scan.h5``.
    exit_codes : mapping of int to str
        What the codes mean.
    failure : int
        The code where it could not do its work.
    """

    prog: str
    summary: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    examples: tuple[str, ...] = ()
    exit_codes: Mapping[int, str] = field(default_factory=lambda: EXIT_CODES)
    failure: int = EXIT_BAD_INPUT

    def parser(self) -> argparse.ArgumentParser:
        """Build a parser of its own."""
        return self.configure(argparse.ArgumentParser(prog=self.prog))

    def configure(self, parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        """Give a parser the command's texts and arguments."""
        parser.description = self.description
        parser.epilog = _epilog(self.examples, self.exit_codes)
        parser.formatter_class = HelpFormatter
        self.add_arguments(parser)
        parser.set_defaults(command=self)
        return parser


def _epilog(examples: tuple[str, ...], exit_codes: Mapping[int, str]) -> str:
    lines = ["examples:", *(f"  {line}" for example in examples for line in example.splitlines()), ""] * bool(examples)
    lines.append("exit codes:")
    for code, meaning in exit_codes.items():
        lines += textwrap.wrap(f"{code:<4} {meaning}", 78, initial_indent="  ", subsequent_indent=" " * 7)
    return "\n".join(lines)


def add_memory_option(parser: argparse._ActionsContainer) -> None:
    """Add the option about memory, which `memory_bytes` reads."""
    parser.add_argument(
        "--memory",
        default="1GiB",
        metavar="SIZE",
        help="what may be held at once to reorder the axes of frames (default: %(default)s)",
    )


def memory_bytes(arguments: argparse.Namespace) -> int:
    """Read the option about memory; OptionError where it is no size."""
    from ptychoproduct import OptionError
    from ptychoproduct.sizes import parse_size

    try:
        return parse_size(arguments.memory)
    except ValueError:
        raise OptionError("--memory", found=repr(arguments.memory), expected="a size, such as 512MiB or 1GiB") from None


def add_chunk_options(parser: argparse._ActionsContainer, whole: str, tiles: str) -> None:
    """Add the options about the chunks of frames; `whole` and `tiles` say what the defaults are."""
    chunks = parser.add_mutually_exclusive_group()
    chunks.add_argument("--chunk-frames", type=int, metavar="N", help=f"whole frames of a chunk (default: {whole})")
    chunks.add_argument(
        "--chunk-shape",
        type=chunk_shape,
        metavar="N,H,W",
        help="frames, rows and columns of a chunk that is a tile of frames, such as 64,32,32: smaller files with "
        f"archival codecs; a single frame is slower to read (default: {tiles})",
    )


def chunk_shape(text: str) -> tuple[int, int, int]:
    """Read frames, rows and columns of a chunk; ValueError where it is no shape."""
    frames, rows, columns = map(int, text.split(","))
    return frames, rows, columns


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about what is printed."""
    group = parser.add_argument_group("what is printed")
    group.add_argument("--quiet", action="store_true", help="print errors only")
    group.add_argument("--json", action="store_true", help="print the result as one JSON object on standard output")


def run(parser: argparse.ArgumentParser) -> NoReturn:
    """Run the command that the command line asks for, and end the process with its exit code."""
    arguments = parser.parse_args()
    code = _run_to_exit_code(arguments.command, arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads any more; let the interpreter not complain of it at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run_to_exit_code(command: Command, arguments: argparse.Namespace) -> int:
    """Run a command; an error becomes one line."""
    from ptychoproduct.ownprocess import prepare_process

    prepare_process()
    from ptychoproduct import ProductError

    for number in _SIGNALS:
        signal.signal(number, _answer_signal)
    sys.unraisablehook = _tell_of_dropped
    try:
        return command.run(arguments)
    except ProductError as error:
        _fail(command.prog, str(error), arguments)
        return command.failure
    except KeyboardInterrupt as error:
        _fail(command.prog, f"interrupted; {_what_was_removed(error)}", arguments)
        return EXIT_INTERRUPTED
    except _Terminated as error:
        _fail(command.prog, f"terminated; {_what_was_removed(error)}", arguments)
        return EXIT_TERMINATED
    except MemoryError as error:
        _fail(command.prog, f"out of memory; {_what_was_removed(error)}", arguments)
        return command.failure


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
def progress_bar(
    title: str, total_bytes: Callable[[], int], arguments: argparse.Namespace
) -> Iterator[Callable[[int], None]]:
    """Show a bar with MB/s and the time left, where standard error is a terminal; the total is asked for only there."""
    with progress_bars(lambda: {title: total_bytes()}, 1, arguments) as (advance,):
        yield advance


@contextmanager
def progress_bars(
    totals_bytes: Callable[[], Mapping[str, int]], count: int, arguments: argparse.Namespace
) -> Iterator[list[Callable[[int], None]]]:
    """Show a bar for each of `count` titles, from when there is something to show; see `progress_bar`."""
    is_shown = not arguments.quiet and sys.stderr.isatty()
    totals = totals_bytes() if is_shown else {}
    if not any(totals.values()):
        yield [lambda _: _raise_signal()] * count
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

        def bar(title: str, total_bytes: int) -> Callable[[int], None]:
            task = progress.add_task(title, total=total_bytes, visible=False)

            def advance(nbytes: int) -> None:
                _raise_signal()
                progress.update(task, advance=nbytes, visible=True)

            return advance

        yield [bar(title, total_bytes) for title, total_bytes in totals.items()]


@contextmanager
def step_progress(arguments: argparse.Namespace) -> Iterator[Callable[[str, int, int], None] | None]:
    """Show which step of how many is being done, where standard error is a terminal."""
    if arguments.quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda text, done, total: progress.update(task, description=text, completed=done, total=total or None)


def report(result: Mapping[str, Any], rows: Mapping[str, str], arguments: argparse.Namespace) -> None:
    """Print a result: `result` as JSON where that was asked for, else `rows` as a table."""
    if arguments.json:
        print_json(result)
    elif not arguments.quiet:
        print_rows(rows)


def print_error(prog: str, message: str) -> None:
    """Print one line on standard error."""
    print(f"{prog}: error: {message}", file=sys.stderr)


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


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that outputs in the making are removed."""


_SIGNALS: dict[int, type[BaseException]] = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: _Terminated}
_received: list[int] = []


def _answer_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of handlers
    _received.append(number)
    _raise_signal()


def _raise_signal() -> None:
    """Raise what a signal asks for; again, in case it came where Python drops exceptions, in a weak reference's end."""
    if _received:
        raise _SIGNALS[_received[0]]


def _tell_of_dropped(dropped: Any) -> None:
    """Print an exception that Python drops, as it does; but not a signal's, which is raised again."""
    if not isinstance(dropped.exc_value, tuple(_SIGNALS.values())):
        sys.__unraisablehook__(dropped)


def _what_was_removed(error: BaseException | None) -> str:
    """Return what was noted where outputs were given up, on the way of an error or of those that it interrupted."""
    notes: list[str] = []
    while error is not None:
        notes += getattr(error, "__notes__", ())
        error = error.__context__
    return "; ".join([*notes, "nothing was left behind"])


def _fail(prog: str, message: str, arguments: argparse.Namespace) -> None:
    print_error(prog, message)
    if arguments.json:
        print_json({"error": message})


def _jsonable(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else list(value)
