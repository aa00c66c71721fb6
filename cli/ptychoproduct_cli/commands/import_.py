"""``ptychoproduct import`` and ``import_ptychodus_product``: a product becomes a scan again."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial

from ptychoproduct_cli.command import EXIT_OK, Command
from ptychoproduct_cli.options import add_memory_option, add_output_options, memory_bytes
from ptychoproduct_cli.output import megabytes, report
from ptychoproduct_cli.progress import progress_bar
from ptychoproduct_cli.running import collected_warnings, peak_memory_bytes, run

SUMMARY = "convert a ptychodus product (HDF5) to a PtychoPINN scan (NPZ)"
DESCRIPTION = """\
Convert an HDF5 product, of this package, of any ptychodus release or of PtychoPINN, to a scan in PtychoPINN's NPZ
format. What this package converted comes back bit for bit.
"""
EXAMPLES = (
    "ptychoproduct import scan.h5 scan_again.npz",
    "ptychoproduct import scan.h5 scan_again.npz --compress --original-axis-order",
)
EXECUTABLE_EXAMPLES = ("import_ptychodus_product --input-product scan.h5 --output-npz scan_again.npz",)


def _add_paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input_product", metavar="PRODUCT.h5", help="product to convert")
    parser.add_argument("output_npz", metavar="SCAN.npz", help="scan to write")
    _add_options(parser)


def _add_path_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input-product", required=True, metavar="PRODUCT.h5", help="product to convert")
    parser.add_argument("--output-npz", required=True, metavar="SCAN.npz", help="scan to write")
    _add_options(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--diffraction",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="import the frames, where the product has any (default: yes)",
    )
    parser.add_argument("--compress", action="store_true", help="deflate the members of the NPZ file")
    parser.add_argument(
        "--original-axis-order", action="store_true", help="give frames the axis order they once had, not NHW"
    )
    parser.add_argument(
        "--counts",
        action="store_true",
        help="give frames that are stored as photon counts as counts, not as the amplitudes that they were",
    )
    add_memory_option(parser)
    parser.add_argument("--no-clobber", action="store_true", help="fail where the NPZ file exists already")
    add_output_options(parser)


def import_product(arguments: argparse.Namespace) -> int:
    """Import, and print a summary."""
    from ptychoproduct import import_product_to_npz

    with (
        collected_warnings(arguments) as messages,
        progress_bar("import", partial(_frame_bytes, arguments), arguments) as progress,
    ):
        summary = import_product_to_npz(
            arguments.input_product,
            arguments.output_npz,
            include_diffraction=arguments.diffraction,
            compress=arguments.compress,
            original_axis_order=arguments.original_axis_order,
            counts=arguments.counts,
            overwrite=not arguments.no_clobber,
            memory_bytes=memory_bytes(arguments),
            progress=progress,
        )
    rows = {
        "scan": f"{summary.archive}  ({megabytes(summary.file_bytes)})",
        "keys": ", ".join(member.removesuffix(".npy") for member in summary.members),
    }
    if summary.frames:
        shape = " x ".join(map(str, summary.frame_shape))
        rows["frames"] = f"{summary.frames:,} of {shape}, {summary.frame_dtype}, in {summary.axis_order} order"
    peak = peak_memory_bytes()
    if peak is not None:
        rows["memory"] = f"{megabytes(peak)} at most"
    report(asdict(summary) | {"peak_memory_bytes": peak, "warnings": messages}, rows, arguments)
    return EXIT_OK


def _frame_bytes(arguments: argparse.Namespace) -> int:
    """Return the size of the frames to be imported."""
    from ptychoproduct import open_product

    with open_product(arguments.input_product) as product:
        frames = product.frames if arguments.diffraction else None
        if frames is not None and arguments.counts:
            frames = frames.counts or frames
        return 0 if frames is None else frames.nbytes


COMMAND = Command("ptychoproduct import", SUMMARY, DESCRIPTION, _add_paths, import_product, EXAMPLES)
EXECUTABLE = Command(
    "import_ptychodus_product", SUMMARY, DESCRIPTION, _add_path_options, import_product, EXECUTABLE_EXAMPLES
)

# Man pages are built from functions.
build_command_parser = COMMAND.parser
build_parser = EXECUTABLE.parser


def main() -> None:
    """Run the executable ``import_ptychodus_product``."""
    run(build_parser())
