"""``ptychoproduct``: one program with a command for each job."""

from __future__ import annotations

import argparse

from ptychoproduct_cli import convert, importing, running, simulating, validating

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
    for name, module, command, exit_codes in (
        ("convert", convert, convert.convert, running.EXIT_CODES),
        ("import", importing, importing.import_product, running.EXIT_CODES),
        ("validate", validating, validating.validate, validating.EXIT_CODES),
        ("simulate", simulating, simulating.simulate, running.EXIT_CODES),
    ):
        subparser = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            epilog=exit_codes,
            formatter_class=running.HelpFormatter,
        )
        if name == "convert":
            subparser.add_argument("input_npz", metavar="SCAN.npz", help="scan to convert")
            subparser.add_argument("output_product", metavar="PRODUCT.h5", help="product, *.h5 or *.hdf5")
        if name == "import":
            subparser.add_argument("input_product", metavar="PRODUCT.h5", help="product to convert")
            subparser.add_argument("output_npz", metavar="SCAN.npz", help="scan to write")
        module.add_arguments(subparser)
        subparser.set_defaults(command=command, prog=subparser.prog)
    return parser


def main() -> None:
    """Run ``ptychoproduct``."""
    arguments = build_parser().parse_args()
    failure = running.EXIT_COULD_NOT_RUN if arguments.command is validating.validate else running.EXIT_BAD_INPUT
    running.exit_with(running.run(arguments.command, arguments, arguments.prog, failure))
