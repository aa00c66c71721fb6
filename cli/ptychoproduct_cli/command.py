"""A command: its help, its exit codes, what it does."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ptychoproduct_cli.quantities import NEGATIVE_NUMBER

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
        parser._negative_number_matcher = NEGATIVE_NUMBER
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
