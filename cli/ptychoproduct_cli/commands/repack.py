"""``ptychoproduct repack``: a product is written again, in another codec or chunk shape."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ptychoproduct_cli.batch_options import add_batch_options
from ptychoproduct_cli.command import EXIT_OK, Batch, Command
from ptychoproduct_cli.options import (
    add_accept_damage_option,
    add_chunk_options,
    add_output_options,
    add_overwrite_option,
)
from ptychoproduct_cli.output import megabytes, report
from ptychoproduct_cli.progress import progress_bar

if TYPE_CHECKING:
    from ptychoproduct import ExportOptions, RepackSummary


SUMMARY = "write a product again, in another codec or chunk shape"
DESCRIPTION = """\
Write a product again, with frames and other large arrays in another codec or chunk shape. The product may be of this
package, of any ptychodus release or of PtychoPINN. All attributes, datasets, links and values are kept. Probe and
object are not compressed, so that every program can read them. All cores decode and compress; memory is bounded. The
new product appears under its name only when it is complete; the old one is not changed.
"""
EXAMPLES = (
    "ptychoproduct repack scan.h5 archive.h5 --compression bzip2:9 --verify",
    "ptychoproduct repack scan.h5 tiles.h5 --compression lz4 --chunk-shape 64,8,8",
    "ptychoproduct repack scan.h5 plain.h5 --compression none",
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("product", metavar="IN.h5", help="product to repack")
    parser.add_argument("output_product", metavar="OUT.h5", help="product to write")
    parser.add_argument(
        "--compression",
        required=True,
        metavar="CODEC|PROFILE",
        help="codec or profile, as for `ptychoproduct convert`; none: not compressed",
    )
    add_chunk_options(parser, whole="as in IN.h5", tiles="as in IN.h5")
    parser.add_argument(
        "--digest",
        action=argparse.BooleanOptionalAction,
        help="store a SHA-256 of the content of every dataset that has none yet (default: only with --compression "
        "archive)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read the finished product back from the disk, and compare all of it with the old one",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="number of cores that decode and compress (default: all)"
    )
    add_accept_damage_option(parser, "repack", "become zeros, which the attribute lost_rows lists")
    add_overwrite_option(parser, "OUT.h5")
    add_output_options(parser)
    add_batch_options(parser, "products", "new products")


def repack(arguments: argparse.Namespace) -> int:
    """Repack, and print a summary."""
    from ptychoproduct.convert.repack import bytes_to_repack

    total_bytes = partial(bytes_to_repack, arguments.product, verify=arguments.verify)
    with progress_bar("repack", total_bytes, arguments) as progress:
        summary = _work(arguments)(progress=progress)
    result = _result(summary) | {"verified": arguments.verify}
    rows = _rows(summary)
    if arguments.verify:
        rows["verified"] = "read back from the disk; everything is as in the old product"
    report(result, rows, arguments)
    return EXIT_OK


def _work(arguments: argparse.Namespace) -> partial[RepackSummary]:
    """Return what repacks the product."""
    from ptychoproduct import repack_product

    return partial(
        repack_product,
        arguments.product,
        arguments.output_product,
        options=_options(arguments),
        accept_damage=arguments.accept_damage,
    )


def _options(arguments: argparse.Namespace) -> ExportOptions:
    from ptychoproduct import ExportOptions

    return ExportOptions(
        compression=arguments.compression,
        chunk_frames=arguments.chunk_frames,
        chunk_shape=arguments.chunk_shape,
        threads=arguments.threads,
        overwrite=not arguments.no_clobber,
        force=arguments.force,
        digests=arguments.digest,
        verify=arguments.verify,
    )


def _result(summary: RepackSummary) -> dict[str, Any]:
    return asdict(summary) | {"ratio": summary.ratio, "throughput_mb_s": summary.throughput_mb_s}


def _check_batch(arguments: argparse.Namespace) -> None:
    """Raise what is wrong with options, whatever the product."""
    _options(arguments)


def _rows(summary: RepackSummary) -> dict[str, str]:
    before, after = summary.file_bytes_before, summary.file_bytes
    rows = {
        "product": f"{summary.product}  ({megabytes(after)}, {100 * after / before:.0f} % of {megabytes(before)})",
    }
    for dataset in summary.datasets:
        chunks = " x ".join(map(str, dataset.chunk_shape))
        rows[dataset.name] = (
            f"{megabytes(dataset.stored_bytes_before)} to {megabytes(dataset.stored_bytes)}: "
            f"{dataset.codec_before} to {dataset.codec}, chunks of {chunks}"
        )
    if summary.datasets:
        rows["ratio"] = f"{summary.ratio:.2f}"
        rows["speed"] = f"{summary.throughput_mb_s:,.0f} MB/s  ({summary.seconds:.2f} s)"
    return rows


BATCH = Batch(("product", "output_product"), _work, _result, (".h5", ".hdf5"), check=_check_batch)
COMMAND = Command("ptychoproduct repack", SUMMARY, DESCRIPTION, _add_arguments, repack, EXAMPLES, batch=BATCH)
build_command_parser = COMMAND.parser
