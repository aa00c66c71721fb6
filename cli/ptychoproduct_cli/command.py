"""What a command is: its help, its arguments, its exit codes."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ptychoproduct_cli.quantities import NEGATIVE_NUMBER

PROG = "ptychoproduct"

EXIT_OK = 0
EXIT_COULD_NOT_RUN = 1
EXIT_BAD_INPUT = 2
EXIT_DAMAGED = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

EXIT_CODES = {
    EXIT_OK: "done",
    EXIT_BAD_INPUT: "something is wrong with the command line, an input or the output; one line on standard error says "
    "what, and no unfinished output is left",
    EXIT_DAMAGED: "done with --accept-damage, and something is missing in the output or wrong; warnings say what",
    EXIT_INTERRUPTED: "interrupted (Ctrl-C); unfinished output is removed, and standard error names it, or says that "
    "the output was complete already",
    EXIT_TERMINATED: "terminated (SIGTERM; SIGHUP gives 129, SIGXCPU 152); likewise",
}


class HelpFormatter(argparse.HelpFormatter):
    """Wraps descriptions, but leaves examples and the table of exit codes as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(("examples:", "exit codes:")):
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)


class _Version(argparse.Action):
    """Print versions, which are looked up only for this."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        import h5py

        print(f"{PROG} {version(PROG)}")
        hdf5 = h5py.version.hdf5_version
        print(f"h5py {version('h5py')}, HDF5 {hdf5}, hdf5plugin {version('hdf5plugin')}, NumPy {version('numpy')}")
        parser.exit()


def add_version_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that prints versions."""
    parser.add_argument(
        *("-V", "--version"),
        action=_Version,
        nargs=0,
        help="print the versions of this package, HDF5 and others, and exit",
    )


@dataclass(frozen=True)
class Batch:
    """What a command does with each of many inputs.

    Parameters
    ----------
    positionals : tuple of str
        Names of its positional arguments: the input, and the output if there is one.
    work : callable
        Returns what does the work for one input, see `ptychoproduct.batch.jobs.Work`.
    result : callable
        Makes a summary ready for JSON.
    suffixes : sequence of str
        Of the files that are taken from a folder.
    output_suffix : str, optional
        Of the outputs; that of the input by default.
    problem_of : callable
        Says what is wrong with a summary.
    check : callable, optional
        Raises the errors of options, before anything is started.
    splits : bool
        Whether a cluster can do a part of one input.
    beside : str, optional
        Name of the option for another output: with many inputs, a folder.
    """

    positionals: tuple[str, ...]
    work: Callable[[argparse.Namespace], Callable[..., Any]]
    result: Callable[[Any], Mapping[str, Any]]
    suffixes: Sequence[str]
    output_suffix: str | None = None
    problem_of: Callable[[Any], str | None] = lambda _: None
    check: Callable[[argparse.Namespace], None] | None = None
    splits: bool = False
    beside: str | None = None


@dataclass(frozen=True)
class Command:
    """A command: its name, its help, and what it does.

    Parameters
    ----------
    prog : str
        How a user calls it.
    summary : str
        Its line in the list of commands.
    description : str
        What its own help begins with.
    add_arguments : callable
        Adds its arguments to a parser.
    run : callable
        Does the work and returns the exit code.
    examples : tuple of str
        Command lines that work where there is a scan ``scan.npz`` and its product ``scan.h5``.
    exit_codes : mapping of int to str
        What each exit code means.
    failure : int
        The exit code of an error.
    flags : mapping of str to str
        Flags of those Python names that are not the flag's own name.
    batch : Batch, optional
        What it does with many inputs.
    """

    prog: str
    summary: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    examples: tuple[str, ...] = ()
    exit_codes: Mapping[int, str] = field(default_factory=lambda: EXIT_CODES)
    failure: int = EXIT_BAD_INPUT
    flags: Mapping[str, str] = field(default_factory=dict)
    batch: Batch | None = None

    def parser(self) -> argparse.ArgumentParser:
        """Build a parser for this command alone."""
        return self.configure(argparse.ArgumentParser(prog=self.prog))

    def configure(self, parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        """Give a parser the texts and arguments of this command."""
        parser._negative_number_matcher = NEGATIVE_NUMBER
        parser.description = self.description
        parser.epilog = _epilog(self.examples, self.exit_codes)
        parser.formatter_class = HelpFormatter
        self.add_arguments(parser)
        add_version_option(parser)
        own = {action.dest: _long_name(action) for action in parser._actions if action.option_strings}
        parser.set_defaults(command=self, parser=parser, flags={**own, **self.flags})
        return parser


def _long_name(action: argparse.Action) -> str:
    return next(name for name in action.option_strings if name.startswith("--"))


def _epilog(examples: tuple[str, ...], exit_codes: Mapping[int, str]) -> str:
    lines = ["examples:", *(f"  {line}" for example in examples for line in example.splitlines()), ""] * bool(examples)
    lines.append("exit codes:")
    for code, meaning in exit_codes.items():
        lines += textwrap.wrap(f"{code:<4} {meaning}", 78, initial_indent="  ", subsequent_indent=" " * 7)
    return "\n".join(lines)
