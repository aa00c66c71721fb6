"""``ptychoproduct simulate``: a simulated scan, to try the other commands with."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct_cli.command import EXIT_OK, Command
from ptychoproduct_cli.options import add_output_options, add_overwrite_option
from ptychoproduct_cli.output import megabytes, print_result, print_rows
from ptychoproduct_cli.progress import progress_bar
from ptychoproduct_cli.quantities import number_in, whole_number_in

if TYPE_CHECKING:
    from ptychoproduct import ExportMeta


SUMMARY = "simulate a far-field scan (NPZ)"
DESCRIPTION = """\
Simulate a far-field ptychography scan with Poisson noise, and write it in PtychoPINN's NPZ format. The last line of
the output is the command that converts it.
"""
EXAMPLES = (
    "ptychoproduct simulate scan.npz",
    "ptychoproduct simulate scan.npz --frames 500 --size 128 --quantity counts",
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output_npz", metavar="SCAN.npz", help="scan to write")
    parser.add_argument("--frames", type=int, default=2000, metavar="N", help="number of frames (default: %(default)s)")
    parser.add_argument(
        "--size",
        type=whole_number_in("px"),
        default=256,
        metavar="px",
        help="width and height of a frame (default: %(default)s)",
    )
    parser.add_argument(
        "--photons",
        type=number_in("count"),
        default=1e6,
        metavar="N",
        help="number of photons in a frame (default: %(default)g)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers (default: %(default)s)")
    parser.add_argument(
        "--quantity",
        choices=("amplitude", "counts"),
        default="amplitude",
        help="what frames hold: float32 amplitudes, which are square roots of photon counts, or uint16 photon counts "
        "(default: %(default)s)",
    )
    parser.add_argument("--compress", action="store_true", help="compress the NPZ file (deflate)")
    add_overwrite_option(parser, "the NPZ file")
    add_output_options(parser)


def simulate(arguments: argparse.Namespace) -> int:
    """Simulate, and print how to convert the scan."""
    from ptychoproduct import ScanParameters, simulate_scan

    parameters = ScanParameters(
        frames=arguments.frames,
        size_px=arguments.size,
        photons=arguments.photons,
        quantity=arguments.quantity,
        seed=arguments.seed,
    )
    total = parameters.frames * parameters.size_px**2 * (4 if parameters.quantity == "amplitude" else 2)
    with progress_bar("simulate", lambda: total, arguments) as progress:
        meta = simulate_scan(
            arguments.output_npz,
            parameters,
            compress=arguments.compress,
            overwrite=not arguments.no_clobber,
            force=arguments.force,
            progress=progress,
        )
    path = Path(arguments.output_npz)
    command = _convert_command(path, meta)
    size_bytes = path.stat().st_size
    result = {"scan": path, "frames": parameters.frames, "file_bytes": size_bytes, "convert": command}

    def show() -> None:
        size_px = f"{arguments.size} x {arguments.size}"
        frames = f"{parameters.frames:,} of {size_px}, {parameters.quantity}"
        print_rows({"scan": f"{path}  ({megabytes(size_bytes)})", "frames": frames})
        print(shlex.join(command))

    print_result(result, show, arguments)
    return EXIT_OK


def _convert_command(path: Path, meta: ExportMeta) -> list[str]:
    flags = {
        "--name": meta.name,
        "--detector-distance-m": meta.detector_distance_m,
        "--probe-energy-eV": meta.probe_energy_eV,
        "--exposure-time-s": meta.exposure_time_s,
        "--probe-photon-count": meta.probe_photon_count,
        "--detector-pixel-size-m": meta.detector_pixel_width_m,
        "--object-center-x-m": meta.object_center_x_m,
        "--object-center-y-m": meta.object_center_y_m,
    }
    words = ["ptychoproduct", "convert", str(path), str(path.with_suffix(".h5"))]
    for flag, value in flags.items():
        words += [flag, value if isinstance(value, str) else f"{value:.12g}"]
    return words


COMMAND = Command("ptychoproduct simulate", SUMMARY, DESCRIPTION, _add_arguments, simulate, EXAMPLES)
build_command_parser = COMMAND.parser
