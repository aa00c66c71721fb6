"""``ptychoproduct codecs``: the codecs and profiles for frames, and what a program needs to read each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ptychoproduct_cli.command import EXIT_OK, Command
from ptychoproduct_cli.options import add_output_options
from ptychoproduct_cli.output import new_console, print_result, print_rows

if TYPE_CHECKING:
    from ptychoproduct.compression.codec_list import CodecInfo


SUMMARY = "list the codecs and profiles that can compress frames"
DESCRIPTION = """\
List the values of --compression: profiles, each for a purpose, and codecs. Of each codec, the list shows its levels,
the number of its HDF5 filter and what a program needs to read it. A codec is written
[shuffle+]NAME[:LEVEL][,TRANSFORM][,block=SIZE]; +fletcher32 at its end adds HDF5's checksum.
"""
EXAMPLES = ("ptychoproduct codecs", "ptychoproduct codecs --json")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output_options(parser)


def codecs(arguments: argparse.Namespace) -> int:
    """Print the lists."""
    from ptychoproduct.compression.codec_list import list_codecs
    from ptychoproduct.compression.profiles import PROFILES

    profiles, listed = {name: profile.purpose for name, profile in PROFILES.items()}, list_codecs()

    def show() -> None:
        print_rows(profiles)
        _print_codecs(listed)

    print_result({"profiles": profiles, "codecs": [asdict(info) for info in listed]}, show, arguments)
    return EXIT_OK


def _print_codecs(listed: Sequence[CodecInfo]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), pad_edge=False)
    for column in ("codec", "levels", "with", "filter", "to read it"):
        table.add_column(column, overflow="fold")
    for info in listed:
        parts = " ".join(part for part in info.parts if part != "+fletcher32")
        table.add_row(info.name, info.levels, parts, str(info.filter_id or ""), info.needs)
    console = new_console()
    console.print()
    console.print(table)


COMMAND = Command("ptychoproduct codecs", SUMMARY, DESCRIPTION, _add_arguments, codecs, EXAMPLES)
build_command_parser = COMMAND.parser
