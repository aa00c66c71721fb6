"""``ptychoproduct validate``: a product is checked against the format's contract."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ptychoproduct_cli import options
from ptychoproduct_cli.batch_options import add_batch_options
from ptychoproduct_cli.command import EXIT_BAD_INPUT, EXIT_CODES, EXIT_COULD_NOT_RUN, EXIT_OK, Batch, Command
from ptychoproduct_cli.convention_options import physics_json
from ptychoproduct_cli.output import print_result
from ptychoproduct_cli.progress import progress_bar

if TYPE_CHECKING:
    from ptychoproduct import ScanFiles, ValidationReport

SUMMARY = "check a product against the format's contract"
DESCRIPTION = """\
Check the names, types, shapes and units in a product against the contract of the format, and everything but frames
and other large datasets for damage; --deep looks at these, too. Every problem is listed; warnings do not make a
product invalid.
"""
EXAMPLES = (
    "ptychoproduct validate scan.h5",
    "ptychoproduct validate scan.h5 --deep --source-npz scan.npz",
    "ptychoproduct validate scan.h5 --source frames.npy --positions positions.csv",
)
EXIT_CODES = EXIT_CODES | {
    EXIT_OK: "the product is valid; there may be warnings",
    EXIT_COULD_NOT_RUN: "a file could not be read, so the product was not checked",
    EXIT_BAD_INPUT: "the product is not valid, or the command line is wrong",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("product", metavar="PRODUCT.h5", help="product to check")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--source", metavar="SCAN", help="compare positions and frames with those of this scan: NPZ, NPY or HDF5"
    )
    source.add_argument("--source-npz", metavar="SCAN.npz", help="the same, for a scan that is an NPZ file")
    parser.add_argument(
        "--deep",
        action="store_true",
        help="decode frames and other large datasets, too, and compare them with the checksums and digests stored with "
        "them (default: attributes and smaller datasets only)",
    )
    parser.add_argument(
        "--patterns",
        metavar="FILE",
        help="patterns file that must be from the same conversion (default: diffraction.h5 beside a product.h5)",
    )
    parser.add_argument(
        "--physics",
        action="store_true",
        help="predict some frames from probe, object and positions, and warn if another convention predicts them "
        "better (default: with --deep)",
    )
    options.add_companion_options(parser, probe=False)
    options.add_output_options(parser)
    add_batch_options(parser, "products", None)


def validate(arguments: argparse.Namespace) -> int:
    """Check, and print all problems."""
    from ptychoproduct.errors import counted, one_line

    with progress_bar("validate", partial(_bytes_to_read, arguments), arguments) as progress:
        report = _work(arguments)(progress=progress)
    errors = sum(problem.severity == "error" for problem in report.problems)
    warnings = counted(len(report.problems) - errors, "warning")

    def show() -> None:
        for problem in report.problems:
            print(one_line(f"{problem.severity}: {problem.where}: {problem.message}"))
        for where in report.not_given:
            print(f"{where}: not given (the product has 0)")
        if report.unread:
            print(one_line(f"{', '.join(report.unread)}: not looked at for damage; --deep does so"))
        if report.physics is not None and report.physics.better is None:
            print(f"physics: {report.physics.sentence}")
        verdict = "valid" if report.is_valid else "not valid"
        checks = counted(len(report.checks), "check")
        print(f"{report.product}: {verdict}: {checks}, {counted(errors, 'error')}, {warnings}")

    arguments.quiet = arguments.quiet and report.is_valid  # its problems are errors, which --quiet prints
    print_result(_result(report), show, arguments)
    return EXIT_OK if report.is_valid else EXIT_BAD_INPUT


def _work(arguments: argparse.Namespace) -> partial[ValidationReport]:
    """Return what checks the product."""
    from ptychoproduct import validate_product

    return partial(
        validate_product,
        arguments.product,
        source=_source(arguments),
        deep=arguments.deep,
        physics=arguments.physics,
        patterns=arguments.patterns,
    )


def _result(report: ValidationReport) -> dict[str, Any]:
    return asdict(report) | {"valid": report.is_valid, "physics": physics_json(report.physics)}


def _problems(report: ValidationReport) -> str | None:
    """Return the errors that make a product invalid, in one line."""
    errors = [f"{problem.where}: {problem.message}" for problem in report.problems if problem.severity == "error"]
    return "; ".join(errors) or None


def _source(arguments: argparse.Namespace) -> ScanFiles | None:
    """Return the scan to compare with; OptionError where its options are given without one."""
    from ptychoproduct import OptionError

    if arguments.source is None and arguments.source_npz is None:
        names = ("dataset", "frames_key", "drop", "positions", "positions_in", "positions_columns", "allow_gaps")
        for name in names:
            if getattr(arguments, name):
                raise OptionError(name, "describes the scan to compare with; give that scan by --source")
        return None
    kind = None if arguments.source_npz is None else "npz"
    return options.scan_files(arguments, arguments.source or arguments.source_npz, kind)


def _check_batch(arguments: argparse.Namespace) -> None:
    """Raise what is wrong with options, whatever the product."""
    from ptychoproduct import OptionError

    for name in ("source", "source_npz"):
        if getattr(arguments, name) is not None:
            raise OptionError(name, "is the scan of one product; check that product alone")
    _source(arguments)


def _bytes_to_read(arguments: argparse.Namespace) -> int:
    """Return how many bytes of frames the checks read, for the progress bar."""
    has_source = bool(arguments.source or arguments.source_npz)
    if not arguments.deep and not has_source:
        return 0
    from ptychoproduct import ContractError, open_product

    try:
        with open_product(arguments.product) as product:
            frames = product.frames
            if frames is None:
                return 0
            stored = frames.counts or frames
            return stored.nbytes * bool(arguments.deep) + frames.nbytes * has_source
    except ContractError:
        return 0  # the checks report it


COMMAND = Command(
    "ptychoproduct validate",
    SUMMARY,
    DESCRIPTION,
    _add_arguments,
    validate,
    EXAMPLES,
    dict(sorted(EXIT_CODES.items())),
    failure=EXIT_COULD_NOT_RUN,
    batch=Batch(("product",), _work, _result, (".h5", ".hdf5"), problem_of=_problems, check=_check_batch),
)
build_command_parser = COMMAND.parser
