"""Numbers that files say of energy, distance and pixel sizes: which can be right, and what they are in our units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import OptionError, warn
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.units import convert_unit, field_unit
from ptychoproduct.scan.field_layouts import LAYOUTS

NAMES = tuple(name for layout in LAYOUTS for name in layout.names)
# A number larger than that is no energy of a photon in joules, nor one in metres a wavelength.
_MOST_ENERGY_J = 1e-9
_MOST_WAVELENGTH_M = 1e-5
# How NeXus files spell units, where `UNITS` has them otherwise.
SPELLINGS = {
    **dict.fromkeys(("metre", "metres", "meter", "meters"), "m"),
    **dict.fromkeys(("micron", "microns", "micrometer", "micrometre", "µm", "μm"), "um"),
    **dict.fromkeys(("millimeter", "millimetre"), "mm"),
    **dict.fromkeys(("nanometer", "nanometre"), "nm"),
    **dict.fromkeys(("second", "seconds"), "s"),
    **dict.fromkeys(("degree", "degrees"), "deg"),
    **dict.fromkeys(("radian", "radians"), "rad"),
    **dict.fromkeys(("angstroms", "ångström"), "Å"),
}
_MAY_BE_ZERO_OR_LESS = (
    *("tomography_angle_deg", "tilt_angle_deg", "focus_object_distance_m"),
    *("object_center_x_m", "object_center_y_m"),
)


def said_by(metadata: ExportMeta) -> tuple[str, ...]:
    """Return the names of the values that are there."""
    return tuple(name for name, value in vars(metadata).items() if value is not None)


def named_values(found: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, str]]:
    """Give field, key, number and unit of those that have one of the names that are known."""
    for key, names, unit in NAMES:
        if key in found:
            for name in names:
                yield name, key, found[key], unit


def first_values(found: Iterable[tuple[str, str, Any, str]], origin: Origin) -> dict[str, Any]:
    """Take the first value of each field that can be right, in the field's unit; given field, key, number and unit."""
    return {name: value for name, (value, _) in checked_values(found, origin).items()}


def checked_values(found: Iterable[tuple[str, str, Any, str]], origin: Origin) -> dict[str, tuple[Any, str]]:
    """Take the first value of each field that can be right, in the field's unit, and its key."""
    values: dict[str, tuple[Any, str]] = {}
    for name, key, number, unit in found:
        if name in values:
            continue
        try:
            value = _in_unit(_single(number), unit, field_unit(name))
            if value is None:
                continue
            if value != 0 or name in _MAY_BE_ZERO_OR_LESS:
                checked: dict[str, Any] = {name: value}
                ExportMeta(**checked)
                values[name] = (value, key)
        except (OptionError, ValueError) as error:
            problem = error.sentence if isinstance(error, OptionError) else str(error)
            warn(f"{origin}: {key}: {problem}; the value is not used for {name}")
    return values


def _single(numbers: Any) -> float | None:
    """Return the one number; None where there is none, NaN standing for that."""
    array: Array = np.asarray(numbers)
    if array.dtype.kind not in "iuf" or not array.size:
        return None
    lowest, highest = float(array.min()), float(array.max())
    if math.isnan(lowest):
        return None
    if lowest != highest:
        raise ValueError(f"has {array.size} values from {lowest:g} to {highest:g}")
    return lowest


def _in_unit(value: float | None, unit: str, wanted: str) -> float | None:
    if value is None or value == 0:
        return value
    if unit == "J/eV":
        unit = "J" if abs(value) < _MOST_ENERGY_J else "eV"
    elif unit == "m/Å":
        unit = "m" if abs(value) < _MOST_WAVELENGTH_M else "Å"
    if unit == wanted or wanted == "count":
        return value
    return convert_unit(value, SPELLINGS.get(unit.strip().lower(), unit), wanted)
