"""``ptychoproduct merge``: a product whose frames are in shards becomes one file."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial

from ptychoproduct_cli.command import EXIT_OK, Command
from ptychoproduct_cli.options import add_output_options, add_overwrite_option
from ptychoproduct_cli.output import megabytes, report
from ptychoproduct_cli.progress import progress_bar

SUMMARY = "make one file of a product whose frames are in shards"
DESCRIPTION = """\
Make one file of a product that `ptychoproduct convert --shards` has written. Chunks are copied as they are encoded, so
this takes no longer than copying the files. Datasets, values and attributes are those that convert writes without
--shards. The new product appears under its name only when it is complete; the shards are not changed.
"""
EXAMPLES = ("ptychoproduct merge shards.h5 scan.h5",)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("product", metavar="IN.h5", help="product with shards, in the folder IN.frames beside it")
    parser.add_argument("output_product", metavar="OUT.h5", help="product to write")
    add_overwrite_option(parser, "OUT.h5")
    add_output_options(parser)


def merge(arguments: argparse.Namespace) -> int:
    """Merge, and print a summary."""
    from ptychoproduct.convert.merge import bytes_to_merge, merge_product

    with progress_bar("merge", partial(bytes_to_merge, arguments.product), arguments) as progress:
        summary = merge_product(
            arguments.product,
            arguments.output_product,
            overwrite=not arguments.no_clobber,
            force=arguments.force,
            progress=progress,
        )
    product = f"{summary.product}  ({megabytes(summary.file_bytes)}, of {summary.shards} shards)"
    report(asdict(summary), {"product": product}, arguments)
    return EXIT_OK


COMMAND = Command("ptychoproduct merge", SUMMARY, DESCRIPTION, _add_arguments, merge, EXAMPLES)
build_command_parser = COMMAND.parser
