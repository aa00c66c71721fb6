"""What all commands share: how they report, and how they end.

Nothing outside the standard library is imported until a command runs, so that ``--help`` is quick and man pages can be
made without the packages that do the work.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from ptychoproduct_cli.command import EXIT_INTERRUPTED, EXIT_TERMINATED, Command
from ptychoproduct_cli.output import print_error, print_json
from ptychoproduct_cli.signals import SIGNALS, Terminated, answer_signal, tell_of_dropped


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
    from ptychoproduct.system.process import prepare_process

    prepare_process()
    from ptychoproduct import ProductError

    for number in SIGNALS:
        signal.signal(number, answer_signal)
    sys.unraisablehook = tell_of_dropped
    try:
        return command.run(arguments)
    except ProductError as error:
        _fail(command.prog, str(error), arguments)
        return command.failure
    except KeyboardInterrupt as error:
        _fail(command.prog, f"interrupted; {_what_was_removed(error)}", arguments)
        return EXIT_INTERRUPTED
    except Terminated as error:
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
