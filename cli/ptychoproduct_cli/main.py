"""``ptychoproduct``: one program with a command for each job."""

from __future__ import annotations

import argparse

from ptychoproduct_cli import benching, convert, importing, inspecting, running, simulating, validating

PROG = "ptychoproduct"
DESCRIPTION = "Ptychography scans in PtychoPINN's NPZ format to ptychodus's HDF5 products, and back."


class _Version(argparse.Action):
    """Print the version; looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{PROG} {version('ptychoproduct')}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``ptychoproduct`` and its commands."""
    parser = argparse.ArgumentParser(prog=PROG, description=DESCRIPTION, formatter_class=running.HelpFormatter)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (convert, importing, inspecting, validating, simulating, benching):
        command = module.COMMAND
        command.configure(commands.add_parser(command.prog.removeprefix(f"{PROG} "), help=command.summary))
    return parser


def main() -> None:
    """Run ``ptychoproduct``."""
    running.run(build_parser())
