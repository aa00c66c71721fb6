"""Options of ``convert`` that say what is known of the experiment: a metadata file, and a flag for each value."""

from __future__ import annotations

import argparse
from typing import Any

from ptychoproduct_cli.quantities import number_in, numbers_in

_FOLLOWS = "lambda z / (N pixels) where the detector is known, else"
# Flag, unit, default, meaning.
_NUMBERS = (
    ("--detector-distance-m", "m", "0", "from object to detector"),
    ("--probe-energy-eV", "eV", "0", "energy of a photon, or of an electron, see --particle"),
    ("--exposure-time-s", "s", "0", "exposure time of one position"),
    ("--probe-photon-count", "count", "0", "photons of one exposure"),
    ("--mass-attenuation-m2-kg", "m2/kg", "0", "mass attenuation coefficient of the object"),
    ("--tomography-angle-deg", "deg", "0", "rotation of the object"),
    ("--tilt-angle-deg", "deg", "0", "tilt of the object"),
    ("--focus-object-distance-m", "m", "0", "from the focus to the object"),
    ("--detector-pixel-size-m", "m", "0", "detector pixel size"),
    ("--object-pixel-size-m", "m", f"{_FOLLOWS} 5e-8", "object pixel size, the unit of positions in pixels"),
    ("--probe-pixel-size-m", "m", f"{_FOLLOWS} 1.25e-7", "pixel size of the probe"),
    (
        "--object-center-x-m",
        "m",
        "see --object-center",
        "x of the object array's middle, in the coordinates of the positions",
    ),
    ("--object-center-y-m", "m", "see --object-center", "y of the middle of the object array"),
)
# Square pixels have one flag for their width and height.
PIXEL_SIZE_FLAGS = {
    f"{owner}_pixel_{side}_m": f"--{owner}-pixel-size-m"
    for owner in ("object", "probe", "detector")
    for side in ("width", "height")
}


def add_metadata_options(parser: argparse.ArgumentParser) -> None:
    """Add the options, which `given_metadata` reads."""
    group = parser.add_argument_group(
        "metadata",
        "zero stands for a value that is not known; the summary lists the values that were not given; a number may "
        "have another unit behind it: 8keV, 632.8nm (a wavelength), 2000mm, 75um",
    )
    group.add_argument(
        "--metadata",
        metavar="FILE",
        help="TOML or JSON file with any of the following values, by the same names; a value on the command line "
        "replaces the one in the file",
    )
    group.add_argument("--name", help="product name (default: empty)")
    group.add_argument("--comments", help="description (default: empty)")
    for flag, unit, default, meaning in _NUMBERS:
        group.add_argument(flag, type=number_in(unit), metavar=unit, help=f"{meaning} (default: {default})")
    group.add_argument(
        "--far-field",
        action=argparse.BooleanOptionalAction,
        help="whether the detector records the far field (default: yes)",
    )
    group.add_argument(
        "--polarization",
        choices=("left_circular", "right_circular"),
        help="polarization of the beam (default: not known)",
    )
    group.add_argument(
        "--particle",
        choices=("photon", "electron"),
        help="what the beam consists of; the wavelength of electrons follows from their kinetic energy, "
        "--probe-energy-eV, by the relativistic relation (default: what the file says, else photons)",
    )
    group.add_argument(
        "--object-layer-spacing-m",
        type=numbers_in("m"),
        metavar="m,m,...",
        help="distances between the layers of an object that has several (default: none)",
    )
    parser.set_defaults(metadata_names=[action.dest for action in group._group_actions if action.dest != "metadata"])


def given_metadata(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values that the command line gives, by name."""
    return {name: value for name in arguments.metadata_names if (value := getattr(arguments, name)) is not None}
