"""``ptychoproduct``: the program, with a command for each task."""

from __future__ import annotations

import argparse
import difflib
import sys

from ptychoproduct_cli.command import HelpFormatter
from ptychoproduct_cli.commands import (
    bench,
    codecs,
    completion,
    convert,
    import_,
    inspect,
    merge,
    repack,
    simulate,
    tune,
    validate,
)
from ptychoproduct_cli.running import run

PROG = "ptychoproduct"
DESCRIPTION = (
    "Convert ptychography scans in PtychoPINN's NPZ format, NPY or HDF5 to ptychodus's HDF5 products, and back."
)
# In the order of the help.
_MODULES = (
    *(convert, import_, inspect, validate, repack, merge),
    *(tune, codecs, simulate, bench, completion),
)
COMMANDS = {module.COMMAND.prog.removeprefix(f"{PROG} "): module.COMMAND for module in _MODULES}


class _Version(argparse.Action):
    """Print versions, which are looked up only for this."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        import h5py

        print(f"{PROG} {version('ptychoproduct')}")
        hdf5 = h5py.version.hdf5_version
        print(f"h5py {version('h5py')}, HDF5 {hdf5}, hdf5plugin {version('hdf5plugin')}, NumPy {version('numpy')}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``ptychoproduct`` and its commands."""
    parser = argparse.ArgumentParser(prog=PROG, description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.epilog = f"Each command has its own help: {PROG} COMMAND --help"
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the versions of this package, HDF5 and others, and exit"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        command.configure(commands.add_parser(name, help=command.summary))
    parser.set_defaults(main_parser=parser)
    return parser


def main() -> None:
    """Run ``ptychoproduct``."""
    parser = build_parser()
    refuse_unknown_command(parser, sys.argv[1:])
    run(parser)


def refuse_unknown_command(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """End with an error where the first word is not a command; it names the nearest one, which argparse does not."""
    if not words or words[0].startswith("-") or words[0] in COMMANDS:
        return
    near = difflib.get_close_matches(words[0], COMMANDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(COMMANDS)}"
    parser.error(f"there is no command {words[0]!r}; {hint}")
