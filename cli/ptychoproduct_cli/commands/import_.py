"""``ptychoproduct import`` and ``import_ptychodus_product``: a product becomes a scan again, or a CXI file."""

from __future__ import annotations

import argparse
import shlex
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct_cli.batch_options import add_batch_options
from ptychoproduct_cli.command import EXIT_OK, Batch, Command
from ptychoproduct_cli.options import (
    add_accept_damage_option,
    add_bad_values_option,
    add_memory_option,
    add_output_options,
    add_overwrite_option,
    memory_bytes,
)
from ptychoproduct_cli.output import megabytes, report
from ptychoproduct_cli.progress import progress_bar
from ptychoproduct_cli.running import run

if TYPE_CHECKING:
    from ptychoproduct import ImportSummary

SUMMARY = "convert a product back to a scan (NPZ), or to CXI"
DESCRIPTION = """\
Convert an HDF5 product to a scan in PtychoPINN's NPZ format. The product may be of this package, of any ptychodus
release or of PtychoPINN. A scan that this package converted comes back bit for bit. With another suffix the product
becomes a file of another kind: *.cxi for ptychodus, cdtools and other programs; *.json for Zarr and xarray, which
read the product itself by it.
"""
EXAMPLES = (
    "ptychoproduct import scan.h5 scan_again.npz",
    "ptychoproduct import scan.h5 scan.cxi",
    "ptychoproduct import scan.h5 for_ptychodus.npz --keys ptychodus",
    "ptychoproduct import scan.h5 scan.json --url https://host/scan.h5",
    "ptychoproduct import scan.h5 scan_again.npz --compress --original-axis-order",
)
EXECUTABLE_EXAMPLES = ("import_ptychodus_product --input-product scan.h5 --output-npz scan_again.npz",)
# For each kind of output, the function that writes it, and the options that apply to it.
_FORMS = {
    "ptychopinn": (
        "import_product_to_npz",
        ("diffraction", "compress", "original_axis_order", "counts", "memory_bytes", "accept_damage"),
    ),
    "ptychodus": (
        "import_product_to_ptychodus_npz",
        ("diffraction", "compress", "patterns_are", "bad_values", "accept_damage"),
    ),
    "cxi": ("import_product_to_cxi", ("diffraction", "compress", "patterns_are", "bad_values", "accept_damage")),
    "json": ("reference_product", ("url",)),
}
_OPTIONS = dict.fromkeys(option for _, options in _FORMS.values() for option in options)


def _add_paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input_product", metavar="PRODUCT.h5", help="product to convert")
    parser.add_argument("output_npz", metavar="SCAN.npz", help="scan to write, or *.cxi, or *.json")
    _add_options(parser)
    add_batch_options(parser, "products", "scans")


def _add_path_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input-product", required=True, metavar="PRODUCT.h5", help="product to convert")
    parser.add_argument("--output-npz", required=True, metavar="SCAN.npz", help="scan to write")
    _add_options(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--diffraction",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="import the frames, if the product has any (default: yes)",
    )
    parser.add_argument(
        "--keys",
        choices=("ptychopinn", "ptychodus"),
        default="ptychopinn",
        help="whose keys an NPZ file has; ptychodus opens its own both as a product and as patterns (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--compress", action="store_true", help="compress the NPZ file, or a CXI file's frames (deflate)"
    )
    parser.add_argument(
        "--original-axis-order",
        action="store_true",
        help="write frames in the axis order that they had in the original scan, instead of NHW",
    )
    parser.add_argument(
        "--counts",
        action="store_true",
        help="write the photon counts that convert --store-counts stored, instead of the original amplitudes",
    )
    group = parser.add_argument_group("photon counts, for CXI files and --keys ptychodus")
    group.add_argument(
        "--patterns-are",
        choices=("auto", "amplitude", "counts"),
        default="auto",
        help="what the product's frames hold; auto: counts where they are whole numbers, amplitudes where they are "
        "square roots of whole numbers (default: %(default)s)",
    )
    add_bad_values_option(group)
    parser.add_argument(
        "--url",
        metavar="URL",
        help="for *.json: where Zarr will find the product, such as https://host/scan.h5 (default: where it is now)",
    )
    add_accept_damage_option(parser, "import", "become zeros")
    add_memory_option(parser)
    add_overwrite_option(parser, "the file")
    add_output_options(parser)


def import_product(arguments: argparse.Namespace) -> int:
    """Import, and print a summary."""
    with (
        _swapped_direction_named(arguments),
        progress_bar("import", partial(_frame_bytes, arguments), arguments) as progress,
    ):
        summary = _work(arguments)(progress=progress)
    rows = {
        "scan": f"{summary.archive}  ({megabytes(summary.file_bytes)})",
        "keys": ", ".join(member.removesuffix(".npy") for member in summary.members),
    }
    if summary.frames:
        shape = " x ".join(map(str, summary.frame_shape))
        rows["frames"] = f"{summary.frames:,} of {shape}, {summary.frame_dtype}, in {summary.axis_order} order"
    report(asdict(summary), rows, arguments)
    return EXIT_OK


def _work(arguments: argparse.Namespace) -> partial[ImportSummary]:
    """Return what imports the product."""
    import ptychoproduct

    function, applicable = _FORMS[_form(arguments)]
    given = {name: getattr(arguments, name) for name in _OPTIONS}
    for name, value in given.items():
        if name not in applicable and value != arguments.parser.get_default(name):
            raise ptychoproduct.OptionError(name, f"does not apply to {arguments.output_npz}")
    values = {name: given[name] for name in applicable}
    if "diffraction" in values:
        values["include_diffraction"] = values.pop("diffraction")
    if "memory_bytes" in values:
        values["memory_bytes"] = memory_bytes(arguments)
    return partial(
        getattr(ptychoproduct, function),
        arguments.input_product,
        arguments.output_npz,
        **values,
        overwrite=not arguments.no_clobber,
        force=arguments.force,
    )


def _form(arguments: argparse.Namespace) -> str:
    """Return which kind of output is wanted."""
    suffix = Path(arguments.output_npz or "").suffix.lower()
    return suffix[1:] if suffix[1:] in _FORMS else str(arguments.keys)


@contextmanager
def _swapped_direction_named(arguments: argparse.Namespace) -> Iterator[None]:
    """Replace an error by the command to use, where the input is a scan."""
    from ptychoproduct import ProductError, SourceError
    from ptychoproduct.scan.layouts import NPY, NPZ, file_kind

    try:
        yield
    except ProductError as error:
        path = Path(arguments.input_product)
        kind = {NPZ: "NPZ", NPY: "NPY"}.get(file_kind(path) or "")
        if kind is None or not path.is_file():
            raise
        product = Path(arguments.output_npz).with_suffix(".h5")
        command = shlex.join(["ptychoproduct", "convert", str(path), str(product)])
        problem = f"this is an {kind} scan, not a product; to make a product of it: {command}"
        raise SourceError(path, problem) from error


def _check_batch(arguments: argparse.Namespace) -> None:
    """Raise what is wrong with options, whatever the product."""
    memory_bytes(arguments)


def _frame_bytes(arguments: argparse.Namespace) -> int:
    """Return the size of the frames to be imported."""
    from ptychoproduct import open_product

    with (
        warnings.catch_warnings(action="ignore"),
        open_product(arguments.input_product, accept_damage=arguments.accept_damage) as product,
    ):
        frames = product.frames if arguments.diffraction else None
        if frames is not None and (arguments.counts or _form(arguments) != "ptychopinn"):
            frames = frames.counts or frames
        return 0 if frames is None else frames.nbytes


BATCH = Batch(("input_product", "output_npz"), _work, asdict, (".h5", ".hdf5"), ".npz", check=_check_batch)
COMMAND = Command("ptychoproduct import", SUMMARY, DESCRIPTION, _add_paths, import_product, EXAMPLES, batch=BATCH)
EXECUTABLE = replace(
    COMMAND,
    prog="import_ptychodus_product",
    add_arguments=_add_path_options,
    examples=EXECUTABLE_EXAMPLES,
    batch=None,
)

# The man pages are built from these functions.
build_command_parser = COMMAND.parser
build_parser = EXECUTABLE.parser


def main() -> None:
    """Run the executable ``import_ptychodus_product``."""
    run(build_parser())
