"""``ptychoproduct simulate``: a scan to try things on."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct_cli.command import EXIT_OK, Command
from ptychoproduct_cli.options import add_output_options
from ptychoproduct_cli.output import megabytes, print_json, print_rows
from ptychoproduct_cli.progress import progress_bar
from ptychoproduct_cli.quantities import number_in, whole_number_in

if TYPE_CHECKING:
    from ptychoproduct import ExportMeta


SUMMARY = "simulate a far-field scan"
DESCRIPTION = """\
Simulate a far-field ptychography scan with Poisson noise, and write it in PtychoPINN's NPZ format. The last line
printed converts it.
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
        help="rows and columns of a frame (default: %(default)s)",
    )
    parser.add_argument(
        "--photons", type=number_in("count"), default=1e6, metavar="N", help="photons in a frame (default: %(default)g)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same scan (default: %(default)s)")
    parser.add_argument(
        "--quantity",
        choices=("amplitude", "counts"),
        default="amplitude",
        help="float32 square roots of counts, or uint16 counts (default: %(default)s)",
    )
    parser.add_argument("--compress", action="store_true", help="deflate the members of the NPZ file")
    parser.add_argument("--no-clobber", action="store_true", help="fail where the NPZ file exists already")
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
            progress=progress,
        )
    path = Path(arguments.output_npz)
    command = _convert_command(path, meta)
    size_bytes = path.stat().st_size
    result = {"scan": path, "frames": parameters.frames, "file_bytes": size_bytes, "convert": command}
    if arguments.json:
        print_json(result)
    elif not arguments.quiet:
        print_rows(
            {
                "scan": f"{path}  ({megabytes(size_bytes)})",
                "frames": f"{parameters.frames:,} of {arguments.size} x {arguments.size}, {parameters.quantity}",
            }
        )
        print(shlex.join(command))
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
