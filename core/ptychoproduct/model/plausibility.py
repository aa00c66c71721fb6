"""Which values of metadata are impossible, and which make sense only in another unit: the checks, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ptychoproduct.aliases import Origin
from ptychoproduct.errors import OptionError, warn
from ptychoproduct.model.units import convert_unit, field_unit

# Other fields may be negative: angles, the object's centre, and the focus, which may lie before or behind the object.
POSITIVE = tuple(f"{owner}_pixel_{side}_m" for owner in ("object", "probe") for side in ("width", "height"))
NOT_NEGATIVE = (
    *("detector_distance_m", "probe_energy_eV", "exposure_time_s", "probe_photon_count", "mass_attenuation_m2_kg"),
    *("detector_pixel_width_m", "detector_pixel_height_m"),
)
_SPELT_OUT = {"m": "metres", "eV": "eV", "s": "seconds", "count": "photons", "m2/kg": "m2/kg"}


class Suspicion(NamedTuple):
    """A range of values that are probably wrong.

    Parameters
    ----------
    name : str
        Of the field; ``_size_m`` for width and height.
    above, below : float
        The range lies between them, without them.
    unit : str
        In which the number would make sense; empty where none is likely.
    question : str
        What else may have happened, where `unit` is empty.
    """

    name: str
    above: float
    below: float
    unit: str = ""
    question: str = ""


# Only the first one that applies to a field is reported.
SUSPICIONS = (
    # Visible light ends at 3.3 eV; high harmonics and EUV begin at 25, electrons end at 300 keV.
    Suspicion("probe_energy_eV", 3.9, 25, "keV"),
    Suspicion("probe_energy_eV", 1e-19, 1e-13, "J"),
    Suspicion("probe_energy_eV", 1e-12, 2e-6, "m"),
    Suspicion("detector_distance_m", 1e5, math.inf, "um"),
    Suspicion("detector_distance_m", 100, math.inf, "mm"),
    Suspicion("detector_pixel_size_m", 1e4, math.inf, "nm"),
    Suspicion("detector_pixel_size_m", 1, math.inf, "um"),
    Suspicion("detector_pixel_size_m", 1e-2, math.inf, "mm"),
    Suspicion("detector_pixel_size_m", 0, 1e-7, question="is it the pixel size of the object?"),
    *(
        suspicion
        for name in ("object_pixel_size_m", "probe_pixel_size_m")
        for suspicion in (
            Suspicion(name, 1, math.inf, "nm"),
            Suspicion(name, 1e-3, math.inf, "um"),
            Suspicion(name, 0, 1e-12, question="was it converted to metres twice?"),
        )
    ),
)


def check_signs(values: Mapping[str, Any]) -> None:
    """Refuse negative energies, distances, times, numbers and sizes, and pixels without a size.

    Parameters
    ----------
    values : mapping
        By the names of the fields of `ExportMeta`; None stands for what is not known.

    Raises
    ------
    OptionError
        A value is impossible.
    """
    for field, problem in wrong_signs(values).items():
        raise OptionError(field, found=str(values[field]), expected=problem)


def wrong_signs(values: Mapping[str, Any]) -> dict[str, str]:
    """Return what is expected in place of each impossible value, by its field; as in `check_signs`."""
    expected = {}
    for field in (*POSITIVE, *NOT_NEGATIVE):
        value, unit = values.get(field), _SPELT_OUT[field_unit(field)]
        if isinstance(value, str):
            expected[field] = f"a number in {unit}"
        elif value is not None and field in POSITIVE and not value > 0:
            expected[field] = f"a positive size in {unit}"
        elif value is not None and value < 0:
            expected[field] = f"a number in {unit}, not negative"
    return expected


def stands_for_unknown(field: str | None, value: Any) -> bool:
    """Whether a product's value is the zero that stands for one that was not given; an angle or a place may be zero."""
    return field in NOT_NEGATIVE and value == 0


def implausible(values: Mapping[str, Any]) -> dict[str, str]:
    """Say which values make sense only in another unit, and in which.

    Parameters
    ----------
    values : mapping
        By the names of the fields of `ExportMeta`. None and 0 stand for what is not known.

    Returns
    -------
    dict
        A sentence for the user, by the field; width and height may have the same.
    """
    found = {field: _sentence(field, value) for field, value in values.items()}
    return {field: sentence for field, sentence in found.items() if sentence is not None}


def warn_of_implausible(values: Mapping[str, Any], origin: Origin) -> None:
    """Warn of values that make sense only in another unit, see `implausible`.

    Warns
    -----
    ProductWarning
        With the likely unit and the option that gives the value.
    """
    for sentence in dict.fromkeys(implausible(values).values()):
        warn(f"{origin}: {sentence}")


def _sentence(field: str, value: Any) -> str | None:
    name = field.replace("_width_m", "_size_m").replace("_height_m", "_size_m")
    checks = [check for check in SUSPICIONS if check.name == name]
    number = float(value) if checks and value is not None else 0.0
    return next((_told(check, number) for check in checks if check.above < number < check.below), None)


def _told(check: Suspicion, number: float) -> str:
    unit, option = field_unit(check.name), f"--{check.name.replace('_', '-')}"
    told = f"{check.name} is {number:.6g} {unit}"
    if not check.unit:
        return f"{told}; {check.question} Check {option}"
    return f"{told}; for {number:.6g} {check.unit} say {option} {convert_unit(number, check.unit, unit):.9g}"
