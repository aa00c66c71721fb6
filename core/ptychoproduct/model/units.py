"""Numbers with a unit, as people write them: 8keV, 2000 mm, 75um.

Imports the standard library only, because the command line reads its options with this before NumPy is loaded. `pint`
would do it too, but it is heavy to import, and only the few units of the table here are needed.
"""

from __future__ import annotations

import math
import re
import unicodedata

from ptychoproduct.model.wavelength import ELEMENTARY_CHARGE_C, HC_EV_M, EnergyOfWavelength

# The value of a unit in the unit of a field: as a power of ten where it is an int, else the number itself.
_LENGTHS: dict[str, int | float] = {
    **{"km": 3, "m": 0, "cm": -2, "mm": -3, "um": -6, "nm": -9, "pm": -12},
    **{"micron": -6, "microns": -6, "Å": -10, "A": -10, "Angstrom": -10},
}
UNITS: dict[str, dict[str, int | float]] = {
    "m": _LENGTHS,
    "eV": {"meV": -3, "eV": 0, "keV": 3, "MeV": 6, "J": 1 / ELEMENTARY_CHARGE_C},
    "s": {"s": 0, "sec": 0, "ms": -3, "us": -6, "ns": -9, "min": 60.0, "h": 3600.0},
    "deg": {"deg": 0, "°": 0, "rad": 180 / math.pi, "mrad": 0.18 / math.pi, "urad": 1.8e-4 / math.pi},
    "px": {"px": 0, "pixel": 0, "pixels": 0},
    "m2/kg": {"m2/kg": 0, "m^2/kg": 0, "cm2/g": -1, "cm^2/g": -1},
    "count": {"count": 0, "counts": 0, "photon": 0, "photons": 0},
    "MB": {"MB": 0, "GB": 3, "TB": 6},
    "MB/s": {"MB/s": 0, "GB/s": 3},
}
_EXAMPLES = {
    "m": "a length, such as 2 (metres), 2000mm or 75um",
    "eV": "an energy, such as 8000 (eV) or 8keV, or a wavelength, such as 632.8nm",
    "s": "a time, such as 0.1 (seconds) or 100ms",
    "deg": "an angle, such as 30 (degrees) or 0.5rad",
    "px": "a number of pixels, such as 256",
    "m2/kg": "a mass attenuation, such as 0.5 (m2/kg) or 5cm2/g",
    "count": "a number, such as 1e6",
    "MB": "a size, such as 64 (megabytes) or 1GB",
    "MB/s": "a speed, such as 100 (MB/s) or 1GB/s",
}
# The unit that the end of a field's name says.
_SUFFIXES = {"_m2_kg": "m2/kg", "_m": "m", "_eV": "eV", "_s": "s", "_deg": "deg", "_px": "px"}
_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:[eE]([+-]?\d{1,4}))?\s*([^\s\d.,+-].*)", re.ASCII)


def field_unit(name: str) -> str:
    """Return the unit that the name of a field ends in; "count" where it ends in none."""
    return next((unit for suffix, unit in _SUFFIXES.items() if name.endswith(suffix)), "count")


def parse_number(text: str, unit: str) -> float:
    """Read a number that may have a unit behind it, in the unit of a field.

    Parameters
    ----------
    text : str
        ``2``, ``2000mm`` or ``2 m``. The case of a unit matters only where it makes a difference, as in meV and MeV.
    unit : str
        A key of `UNITS`. A number alone is in this unit. For eV a wavelength is taken too, see
        `EnergyOfWavelength`.

    Raises
    ------
    ValueError
        The text is not a number, or has a unit of another kind.
    """
    plain = text.strip()
    if not plain.isascii():  # µ has two codes, Å two, and ² becomes 2; the minus of a word processor is not one to NFKC
        plain = unicodedata.normalize("NFKC", plain).replace("\N{MINUS SIGN}", "-").replace("μ", "u")
    try:
        return float(plain)
    except ValueError:
        pass
    match = _NUMBER.fullmatch(plain)
    if match is None:
        raise ValueError(_refusal(text, unit))
    mantissa, exponent, name = match.groups()
    return _converted(mantissa, int(exponent or 0), name, unit, text)


def convert_unit(value: float, name: str, unit: str) -> float:
    """Return what a value in a unit of that name is in another; ValueError where they are of different kinds.

    Parameters
    ----------
    value : float
    name : str
        As it may stand behind a number, see `parse_number`.
    unit : str
        A key of `UNITS`.
    """
    return parse_number(f"{float(value)!r} {name}", unit)


def _converted(mantissa: str, exponent: int, name: str, unit: str, text: str) -> float:
    factor = _find(name, UNITS[unit])
    if factor is None and unit == "eV":
        factor = _find(name, _LENGTHS)
        if factor is not None:
            wavelength = _scaled(mantissa, exponent, factor)
            if wavelength == 0:
                raise ValueError(f"{text!r} is a wavelength of zero; write the energy, such as 8keV")
            return EnergyOfWavelength(HC_EV_M / wavelength)
    if factor is None:
        raise ValueError(_refusal(text, unit))
    return _scaled(mantissa, exponent, factor)


def _find(name: str, units: dict[str, int | float]) -> int | float | None:
    """Look up a unit; upper and lower case do not matter where only one unit can be meant."""
    if name in units:
        return units[name]
    near = {factor for known, factor in units.items() if known.lower() == name.lower()}
    return near.pop() if len(near) == 1 else None


def _scaled(mantissa: str, exponent: int, factor: int | float) -> float:
    """Multiply; by a power of ten in the text of the number, so that 75um is the same float as 75e-6."""
    if isinstance(factor, int):
        return float(f"{mantissa}e{exponent + factor}")
    return float(f"{mantissa}e{exponent}") * factor


def _refusal(text: str, unit: str) -> str:
    return f"{text!r} is not {_EXAMPLES[unit]}"
