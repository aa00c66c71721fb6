"""Running a command to its exit code; every error becomes one line.

Nothing outside the standard library is imported until a command runs, so that ``--help`` is quick and man pages can be
built without NumPy and h5py.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from ptychoproduct_cli.batch import check_cluster, run_batch
from ptychoproduct_cli.batch_options import is_batch, take_more
from ptychoproduct_cli.command import (
    EXIT_BAD_INPUT,
    EXIT_COULD_NOT_RUN,
    EXIT_DAMAGED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    Command,
)
from ptychoproduct_cli.output import collected_warnings, print_error, print_json, reason_of
from ptychoproduct_cli.signals import (
    Terminated,
    answer_at_the_end,
    answer_signals,
    answer_while_starting,
    claim_last_line,
    raise_signal,
)
from ptychoproduct_cli.streams import prepare_streams, printing_failure

if TYPE_CHECKING:
    pass

# Names of arguments that are files to be read.
_INPUTS = ("scan", "input_npz", "product", "input_product", "source", "source_npz")


def run(parser: argparse.ArgumentParser, words: Sequence[str] | None = None) -> NoReturn:
    """Run the command that the command line asks for, that of this process if none is given, and end the process."""
    answer_while_starting()
    prepare_streams()
    words = sys.argv[1:] if words is None else words
    _refuse_unknown_options(parser, words)
    arguments, unknown = parser.parse_known_args(words)
    if unknown and not take_more(arguments, unknown):
        _refuse(arguments.parser, next((word for word in unknown if word.startswith("-")), unknown[0]))
    command: Command = arguments.command
    code = _run_to_exit_code(command, arguments)
    failure = printing_failure()
    if failure is not None:
        print_error(command.prog, f"the result cannot be printed: {failure}")
        code = code or command.failure
    answer_at_the_end(code)
    sys.exit(code)


def _refuse_unknown_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """End with an error about an option that is not there, before argparse misses what it would have taken it for."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and words:
            parser = action.choices.get(words[0], parser)
    for word in words:
        if word == "--":
            return
        name = word.partition("=")[0]
        if word.startswith("--") and not any(known.startswith(name) for known in parser._option_string_actions):
            _refuse(parser, word)


def _refuse(parser: argparse.ArgumentParser, word: str) -> NoReturn:
    """End with an error about a word that a command does not know; it names the nearest option."""
    if not word.startswith("-"):
        hint = "; for several inputs give --output-dir DIR" if "--output-dir" in parser._option_string_actions else ""
        parser.error(f"{word!r} is one argument too many{hint}")
    name = word.partition("=")[0]
    near = difflib.get_close_matches(name, parser._option_string_actions, n=1)
    parser.error(f"there is no option {name}; " + (f"did you mean {near[0]}?" if near else f"see {parser.prog} --help"))


def _run_to_exit_code(command: Command, arguments: argparse.Namespace) -> int:
    """Run a command, and print an error in one line."""
    from ptychoproduct.system.process import prepare_process

    prepare_process()
    from ptychoproduct import ProductError

    _start_watchdog(command.prog, arguments)
    try:
        with collected_warnings(arguments):
            answer_signals()  # whose exceptions are caught below
            try:
                if is_batch(arguments):
                    return run_batch(arguments, lambda error: _message(error, arguments))
                check_cluster(arguments)
                code = command.run(arguments)
                return EXIT_DAMAGED if code == EXIT_OK and arguments.damage else code
            except Exception:
                raise_signal()  # which an import, for one, may have turned into another exception
                raise
    except ProductError as error:
        _fail(command.prog, _message(error, arguments), arguments)
        return EXIT_COULD_NOT_RUN if is_batch(arguments) else command.failure
    except KeyboardInterrupt as error:
        _fail(command.prog, f"interrupted; {_what_was_removed(error)}", arguments)
        return EXIT_INTERRUPTED
    except Terminated as error:
        _fail(command.prog, f"{error}; {_what_was_removed(error)}", arguments)
        return error.exit_code
    except MemoryError as error:
        _fail(command.prog, f"{reason_of(error)}; {_what_was_removed(error)}", arguments)
        return command.failure
    except Exception as error:
        reason = reason_of(error)
        if reason is None:
            raise
        _fail(command.prog, reason, arguments)
        return command.failure if isinstance(error, OSError) else EXIT_BAD_INPUT


def _start_watchdog(prog: str, arguments: argparse.Namespace) -> None:
    """End the process where HDF5 does not come back from a damaged file, which nobody knows beforehand."""
    from ptychoproduct_native import start_watchdog

    given = [value for name, value in vars(arguments).items() if name in _INPUTS and isinstance(value, str)]
    problem = f"{ascii(', '.join(given))[1:-1]}: damaged: reading does not come to an end, or takes all memory"
    line = f"{prog}: error: {problem}; nothing was left behind\n"
    start_watchdog(line.encode())


def _message(error: Exception, arguments: argparse.Namespace) -> str:
    """Return the text of an error, in which an option has the name that the command line gives it."""
    from ptychoproduct import OptionError, ProductError

    # The options in a metadata file have their names there.
    if not isinstance(error, OptionError) or error.file == getattr(arguments, "metadata", None):
        return error.with_flags if isinstance(error, ProductError) else str(error)
    flag = arguments.flags.get(error.option, error.option)
    return OptionError(flag, error.problem, found=error.found, expected=error.expected, file=error.file).with_flags


def _what_was_removed(error: BaseException | None) -> str:
    """Say what was complete before an interruption, and which unfinished outputs it and its causes removed."""
    from ptychoproduct.system.atomic import completed

    notes = [f"{path} is complete" for path in completed]
    while error is not None:
        notes += getattr(error, "__notes__", ())
        error = error.__context__
    return "; ".join([*notes, "nothing unfinished was left behind" if completed else "nothing was left behind"])


def _fail(prog: str, message: str, arguments: argparse.Namespace) -> None:
    claim_last_line()
    print_error(prog, message)
    if arguments.json:
        print_json({"error": message, "warnings": arguments.warnings})
