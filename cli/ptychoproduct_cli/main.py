"""``ptychoproduct``: the program, with a command for each task."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module

from ptychoproduct_cli.command import EXIT_BAD_INPUT, PROG, Command, HelpFormatter, add_version_option
from ptychoproduct_cli.running import run

DESCRIPTION = (
    "Convert ptychography scans in PtychoPINN's NPZ format, NPY or HDF5 to ptychodus's HDF5 products, and back."
)
EXAMPLES = f"""\
examples:
  {PROG} simulate scan.npz   a scan to try the commands with
  {PROG} help convert        what a command does, with examples
"""


class _Commands(Mapping[str, Command]):
    """The commands by their names, in the order of the help; a command's module is imported when it is asked for."""

    _NAMES = (
        *("convert", "import", "inspect", "validate", "repack", "merge", "follow"),
        *("tune", "codecs", "simulate", "bench", "completion"),
    )

    def __getitem__(self, name: str) -> Command:
        if name not in self._NAMES:
            raise KeyError(name)
        module = "import_" if name == "import" else name  # a word of Python's
        command: Command = import_module(f"ptychoproduct_cli.commands.{module}").COMMAND
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._NAMES)

    def __len__(self) -> int:
        return len(self._NAMES)


COMMANDS = _Commands()
HELP = "help"


def build_parser(names: Collection[str] = COMMANDS) -> argparse.ArgumentParser:
    """Build the parser of ``ptychoproduct`` and its commands; for all of them that takes 15 ms."""
    parser = argparse.ArgumentParser(prog=PROG, description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.epilog = EXAMPLES
    add_version_option(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in names:
        command = COMMANDS[name]
        command.configure(commands.add_parser(name, help=command.summary))
    of_help = commands.add_parser(HELP, help="show the help of a command")
    of_help.add_argument("topic", nargs="?", choices=tuple(COMMANDS), metavar="COMMAND")
    parser.set_defaults(main_parser=parser)
    return parser


def main() -> None:
    """Run ``ptychoproduct``."""
    words = as_option(sys.argv[1:]) if sys.argv[1:] else []
    # The script for completion is made of all commands.
    is_one = bool(words) and words[0] in COMMANDS and words[0] != "completion"
    parser = build_parser(words[:1] if is_one else COMMANDS)
    if not words:
        parser.print_help(sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    refuse_unknown_command(parser, words)
    run(parser, words)


def as_option(words: list[str]) -> list[str]:
    """Return a command line that asks for help as one with the option: ``help convert`` is ``convert --help``."""
    return [*words[1:2], "--help"] if words[0] == HELP else words


def refuse_unknown_command(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """End with an error where the first word is not a command; it names the nearest one, which argparse does not."""
    if not words or words[0].startswith("-") or words[0] in COMMANDS:
        return
    near = difflib.get_close_matches(words[0], COMMANDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(COMMANDS)}"
    parser.error(f"there is no command {words[0]!r}; {hint}")
