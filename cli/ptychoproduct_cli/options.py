"""Options that several commands have, and how they are read."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ptychoproduct_cli.quantities import numbers_in

if TYPE_CHECKING:
    from ptychoproduct import ScanFiles


def add_companion_options(parser: argparse.ArgumentParser, probe: bool = True) -> None:
    """Add the options about where frames, positions and probe are, which `scan_files` reads."""
    group = parser.add_argument_group("where the scan has frames, positions and probe")
    add_dataset_option(group)
    group.add_argument(
        "--frames-key", metavar="KEY", help="key of frames in the NPZ file (default: diff3d, diffraction or patterns)"
    )
    group.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="KEY",
        help="leave out this key of the NPZ file, such as one that cannot be read; may be given several times",
    )
    group.add_argument(
        "--allow-gaps",
        action="store_true",
        help="take zeros for frames that an HDF5 file declares but that are in no file, as after an acquisition that "
        "stopped early (default: fail)",
    )
    add_positions_options(group)
    group.add_argument(
        "--scan-step",
        dest="scan_step_m",
        type=numbers_in("m"),
        metavar="m[,m]",
        help="steps of a scan on a grid, frames [Ry, Rx, H, W], in place of positions: between rows, and between "
        "columns if that is another, such as 0.2nm (default: what the file says)",
    )
    group.add_argument(
        "--frames",
        metavar="FIRST:END[:STEP]|FILE",
        help="frames to take, such as 0:1000:2 for every second one of the first 1000; or a file of their numbers, "
        "which count from 0, text or NPY (default: all)",
    )
    group.add_argument(
        "--crop",
        type=whole_numbers,
        metavar="ROWS,COLUMNS[,ROW,COLUMN]",
        help="part of each frame to take: its size in pixel rows and columns, and which pixel becomes the middle one; "
        "--probe must be one of that size (default: whole frames; about the middle of the frame)",
    )
    if probe:
        add_probe_option(group)
        group.add_argument("--object", metavar="FILE[:KEY]", help="object: as --probe (default: as of --probe)")
        group.add_argument(
            "--mask",
            metavar="FILE[:KEY]",
            help="mask of a frame's size, not zero where a pixel is bad: as --probe (default: that of the frames)",
        )


def add_dataset_option(parser: argparse._ActionsContainer) -> None:
    """Add the option about where frames are in an HDF5 file."""
    parser.add_argument(
        "--dataset",
        metavar="PATH",
        help="path of frames in the HDF5 file (default: where ptychodus, fold_slice, CXI and NeXus files have them)",
    )


def add_positions_options(parser: argparse._ActionsContainer) -> None:
    """Add the options about positions in a file of their own."""
    parser.add_argument(
        "--positions",
        metavar="FILE[:KEY[,KEY]]",
        help="scan positions: a table (CSV, TXT, or an NPY array), MDA, NPZ with xcoords and ycoords, or HDF5; KEY: an "
        "array [N, 2] in an NPZ or HDF5 file, or two arrays, x and y; FILE::KEY is the same (default: those in the "
        "NPZ or HDF5 file itself)",
    )
    parser.add_argument(
        "--positions-columns",
        metavar="NAMES",
        help="columns of the table of positions, such as y,x or index,x_um,y_um; any other name is a column that is "
        "not read; or the names in its header of x and y, or of index, x and y, such as samx,samy (default: the "
        "header says x and y; without one x,y, or y,x in a CSV file by ptychodus)",
    )
    parser.add_argument(
        "--positions-in",
        choices=("px", "m", "mm", "um", "nm"),
        help="unit of the positions, also of those in an NPZ scan; px: object pixels (default: what the file says, "
        "else m where no position is above 0.001, else px)",
    )


def add_probe_option(parser: argparse._ActionsContainer) -> None:
    """Add the option about a probe in a file of its own."""
    parser.add_argument(
        "--probe",
        metavar="FILE[:KEY]",
        help="probe: NPY, NPZ or HDF5 (default: the one in the file with the positions or the frames)",
    )


def add_accept_damage_option(parser: argparse._ActionsContainer, what: str, lost: str) -> None:
    """Add the option that makes something of damaged input."""
    parser.add_argument(
        "--accept-damage",
        action="store_true",
        help=f"{what} what can be read of a damaged product, name what is damaged, and end with exit code 3: lost "
        f"frames {lost}, other arrays that cannot be read are left out",
    )


def add_axis_order_option(parser: argparse._ActionsContainer) -> None:
    """Add the option about the order of the frames' axes."""
    parser.add_argument(
        "--axis-order",
        choices=("auto", "NHW", "HNW", "HWN"),
        default="auto",
        help="order of the axes of the frames; auto: N is the axis as long as the positions (default: %(default)s)",
    )


def scan_files(arguments: argparse.Namespace, path: str, kind: str | None = None) -> ScanFiles:
    """Return where the scan is; OptionError where an option does not apply to its kind of file."""
    from ptychoproduct import ScanFiles

    return ScanFiles(
        path=path,
        kind=kind,
        dataset=arguments.dataset,
        frames_key=arguments.frames_key,
        drop=arguments.drop,
        positions=arguments.positions,
        positions_in=arguments.positions_in,
        positions_columns=arguments.positions_columns,
        probe=getattr(arguments, "probe", None),
        allow_gaps=arguments.allow_gaps,
        accept_damage=getattr(arguments, "accept_damage", False),
        scan_step_m=arguments.scan_step_m,
        frames=arguments.frames,
        crop=arguments.crop,
        object=getattr(arguments, "object", None),
        mask=getattr(arguments, "mask", None),
    )


def add_memory_option(parser: argparse._ActionsContainer) -> None:
    """Add the option about memory, which `memory_bytes` reads."""
    parser.add_argument(
        "--memory",
        dest="memory_bytes",
        default="1GiB",
        metavar="SIZE",
        help="most memory to use for reordering the axes of frames (default: %(default)s)",
    )


def memory_bytes(arguments: argparse.Namespace) -> int:
    """Read the option about memory; OptionError where it is not a size."""
    from ptychoproduct import OptionError
    from ptychoproduct.system.sizes import parse_size

    text = arguments.memory_bytes
    try:
        return parse_size(text)
    except ValueError:
        raise OptionError("memory_bytes", f"{text!r} is not a size; give one such as 512MiB, 1GiB or 10GB") from None


def add_chunk_options(parser: argparse._ActionsContainer, whole: str, tiles: str) -> None:
    """Add the options about the chunks of frames; `whole` and `tiles` say what the defaults are."""
    chunks = parser.add_mutually_exclusive_group()
    chunks.add_argument(
        "--chunk-frames", type=int, metavar="N", help=f"store N whole frames in a chunk (default: {whole})"
    )
    chunks.add_argument(
        "--chunk-shape",
        type=chunk_shape,
        metavar="N,H,W",
        help="store tiles of N frames, H pixel rows and W columns in a chunk, such as 64,32,32: archival codecs make "
        f"smaller files, but a single frame is slower to read (default: {tiles})",
    )


def chunk_shape(text: str) -> tuple[int, int, int]:
    """Read frames, pixel rows and columns of a chunk; ValueError where it is not a shape."""
    frames, rows, columns = map(int, text.split(","))
    return frames, rows, columns


def numbers(text: str) -> tuple[float, ...]:
    """Read numbers with commas between them."""
    return tuple(float(number) for number in text.split(","))


def add_bad_values_option(parser: argparse._ActionsContainer) -> None:
    """Add the option about numbers that are not counts."""
    parser.add_argument(
        "--bad-values",
        type=_bad_values,
        metavar="V,...",
        help="numbers that mark a pixel as bad, where any frame has one, such as 65535 or nan,-1; none: no number does "
        "(default: the largest number of a type and what is negative or NaN, in every frame)",
    )


def _bad_values(text: str) -> tuple[float, ...]:
    return () if text == "none" else numbers(text)


def whole_numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas between them."""
    return tuple(int(number) for number in text.split(","))


def add_overwrite_option(parser: argparse._ActionsContainer, output: str) -> None:
    """Add the options about an output that exists."""
    parser.add_argument("--no-clobber", action="store_true", help=f"fail if {output} exists already")
    parser.add_argument("--force", action="store_true", help=f"replace {output} even if the existing file is read-only")


def add_plot_option(parser: argparse._ActionsContainer, what: str) -> argparse.Action:
    """Add the option that draws the result."""
    return parser.add_argument("--plot", metavar="FILE", help=f"draw {what}, as PNG, PDF or SVG; needs matplotlib")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about what is printed."""
    group = parser.add_argument_group("what is printed")
    group.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    group.add_argument("--json", action="store_true", help="print the result as one JSON object on standard output")
