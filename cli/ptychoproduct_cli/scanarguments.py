"""Arguments that say where a scan is, for every command that takes one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptychoproduct import ScanFiles


def add_companion_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about what goes with frames in an NPY or HDF5 file."""
    beside = parser.add_argument_group("frames in an NPY or HDF5 file")
    beside.add_argument(
        "--dataset",
        metavar="PATH",
        help="frames in the HDF5 file (default: where ptychodus, fold_slice, CXI and NeXus files have them)",
    )
    beside.add_argument(
        "--positions",
        metavar="FILE",
        help="scan positions: CSV with columns x and y, NPZ with xcoords and ycoords, or HDF5 "
        "(default: those in the HDF5 file)",
    )
    beside.add_argument(
        "--positions-in",
        choices=("px", "m", "um"),
        help="unit of the positions, of an NPZ scan's too, px being object pixels (default: metres where the file is "
        "known to have them, else px)",
    )
    beside.add_argument(
        "--probe",
        metavar="FILE[:KEY]",
        help="probe: NPY, NPZ or HDF5 (default: the one in the file of positions or frames)",
    )


def add_axis_order_option(parser: argparse._ActionsContainer) -> None:
    """Add the option about the order of the frames' axes."""
    parser.add_argument(
        "--axis-order",
        choices=("auto", "NHW", "HNW", "HWN"),
        default="auto",
        help="order of the scan's frames; auto: N is the axis as long as the positions (default: %(default)s)",
    )


def scan_files(arguments: argparse.Namespace, path: str, kind: str | None = None) -> ScanFiles:
    """Return where the scan is; OptionError where the arguments do not go with its kind."""
    from ptychoproduct import ScanFiles

    return ScanFiles(
        path=path,
        kind=kind,
        dataset=arguments.dataset,
        positions=arguments.positions,
        positions_in=arguments.positions_in,
        probe=arguments.probe,
    )
