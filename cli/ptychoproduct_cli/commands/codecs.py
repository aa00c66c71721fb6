"""``ptychoproduct codecs``: what frames can be compressed with, and what it takes to read them."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ptychoproduct_cli.command import EXIT_OK, Command
from ptychoproduct_cli.options import add_output_options
from ptychoproduct_cli.output import print_json, print_rows

SUMMARY = "list the codecs and profiles that frames can be compressed with"
DESCRIPTION = """\
List what --compression takes: profiles, which choose for a scan, and codecs with their levels, the HDF5 filter that
each is, and what a program needs to read it. A codec is spelt [shuffle+]NAME[:LEVEL][,TRANSFORM][,block=SIZE] and
may end in +fletcher32, HDF5's checksum.
"""
EXAMPLES = ("ptychoproduct codecs", "ptychoproduct codecs --json")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output_options(parser)


def codecs(arguments: argparse.Namespace) -> int:
    """Print the lists."""
    from ptychoproduct.compression.codecs import list_codecs
    from ptychoproduct.compression.profiles import PROFILES

    if arguments.json:
        print_json(
            {
                "profiles": {name: profile.purpose for name, profile in PROFILES.items()},
                "codecs": [asdict(info) for info in list_codecs()],
            }
        )
    elif not arguments.quiet:
        print_rows({name: profile.purpose for name, profile in PROFILES.items()})
        _print_codecs()
    return EXIT_OK


def _print_codecs() -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ptychoproduct.compression.codecs import list_codecs

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), pad_edge=False)
    for column in ("codec", "levels", "with", "filter", "to read it"):
        table.add_column(column, overflow="fold")
    for info in list_codecs():
        parts = " ".join(part for part in info.parts if part != "+fletcher32")
        table.add_row(info.name, info.levels, parts, str(info.filter_id or ""), info.needs)
    console = Console()
    console.print()
    console.print(table)


COMMAND = Command("ptychoproduct codecs", SUMMARY, DESCRIPTION, _add_arguments, codecs, EXAMPLES)
build_command_parser = COMMAND.parser
