"""Metadata of a product: what was given, and the record in which every value has its source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Literal, Self

from ptychoproduct.errors import OptionError
from ptychoproduct.model.contract import PARTICLES, POLARIZATIONS
from ptychoproduct.model.plausibility import check_signs
from ptychoproduct.model.units import field_unit
from ptychoproduct.model.wavelength import EnergyOfWavelength

Source = Literal["given", "source", "derived", "default"]

_DEFAULTS: dict[str, Any] = {
    "name": "",
    "comments": "",
    "far_field": True,
    "polarization": None,
    "particle": None,
    # The defaults of PtychoPINN's exporter.
    "object_pixel_width_m": 5e-8,
    "object_pixel_height_m": 5e-8,
    "probe_pixel_width_m": 1.25e-7,
    "probe_pixel_height_m": 1.25e-7,
}
_TEXTS_AND_CHOICES = ("name", "comments", "far_field", "polarization", "particle")


@dataclass(frozen=True)
class ExportMeta:
    """Metadata that the user or a file gives; None for every value that is not given.

    `resolve_metadata` fills in what is missing, and says of each value where it comes from.

    Parameters
    ----------
    name, comments : str
        Free text.
    detector_distance_m : float
        From object to detector.
    probe_energy_eV : float
        Of a photon, or the kinetic energy of an electron.
    exposure_time_s : float
        Of one position.
    probe_photon_count : float
        Photons of one exposure.
    mass_attenuation_m2_kg : float
        Mass attenuation coefficient of the object, in m²/kg.
    tomography_angle_deg, tilt_angle_deg : float
        Orientation of the object.
    object_pixel_width_m, object_pixel_height_m : float
        Object pixel size; scan positions in pixels are multiples of it. By default what follows from the detector's,
        else 5e-8.
    probe_pixel_width_m, probe_pixel_height_m : float
        Probe pixel size; by default what follows from the detector's, else 1.25e-7.
    object_center_x_m, object_center_y_m : float
        Where the middle of the object array is, in the frame of the scan positions.
    focus_object_distance_m : float
        From the focus to the object; 0 without a focusing optic, negative where the focus lies upstream.
    far_field : bool
        Whether the detector records the Fraunhofer pattern; yes by default.
    polarization : str or None
        "left_circular", "right_circular", or None.
    detector_pixel_width_m, detector_pixel_height_m : float
        Detector pixel size. With energy and distance, object and probe pixels that are not given follow from it.
    particle : {"photon", "electron"} or None
        What the beam consists of, so that the wavelength follows from the energy; photons by default.

    Raises
    ------
    OptionError
        A value has another type (`named_metadata` takes texts with units); a number is not finite; a pixel size is not
        positive; an energy, a distance, a time, or a number of photons is negative; a text cannot be stored; or the
        polarization or the particle is unknown.
    """

    name: str | None = None
    comments: str | None = None
    detector_distance_m: float | None = None
    probe_energy_eV: float | None = None
    exposure_time_s: float | None = None
    probe_photon_count: float | None = None
    mass_attenuation_m2_kg: float | None = None
    tomography_angle_deg: float | None = None
    object_pixel_width_m: float | None = None
    object_pixel_height_m: float | None = None
    probe_pixel_width_m: float | None = None
    probe_pixel_height_m: float | None = None
    object_center_x_m: float | None = None
    object_center_y_m: float | None = None
    tilt_angle_deg: float | None = None
    focus_object_distance_m: float | None = None
    far_field: bool | None = None
    polarization: str | None = None
    detector_pixel_width_m: float | None = None
    detector_pixel_height_m: float | None = None
    particle: str | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None:
                continue
            _require_type(name, value)
            if isinstance(value, str) and not _fits_hdf5(value):
                raise OptionError(name, found=repr(value), expected="Unicode text without NUL")
            if isinstance(value, Real) and not _is_finite(value):
                raise OptionError(name, found=str(value), expected="a finite number")
        check_signs(vars(self))
        if self.polarization is not None and self.polarization not in POLARIZATIONS:
            expected = f"None, {', '.join(POLARIZATIONS)}"
            raise OptionError("polarization", found=repr(self.polarization), expected=expected)
        if self.particle is not None and self.particle not in PARTICLES:
            raise OptionError("particle", found=repr(self.particle), expected=f"None, {', '.join(PARTICLES)}")


@dataclass(frozen=True)
class ResolvedMetadata:
    """Metadata as a product has them: every value, and where it comes from; made by `resolve_metadata`.

    Two records are equal where their values are. The values are described at `ExportMeta`; zero stands for a number
    that is not known.

    Parameters
    ----------
    origins : mapping
        For each name, where its value comes from: "given" by the user, "source" for the file that is converted,
        "derived" from other values, or "default".
    """

    name: str
    comments: str
    detector_distance_m: float
    probe_energy_eV: float
    exposure_time_s: float
    probe_photon_count: float
    mass_attenuation_m2_kg: float
    tomography_angle_deg: float
    object_pixel_width_m: float
    object_pixel_height_m: float
    probe_pixel_width_m: float
    probe_pixel_height_m: float
    object_center_x_m: float
    object_center_y_m: float
    tilt_angle_deg: float
    focus_object_distance_m: float
    far_field: bool
    polarization: str | None
    detector_pixel_width_m: float
    detector_pixel_height_m: float
    particle: str | None
    origins: Mapping[str, Source] = field(compare=False)

    @property
    def not_given(self) -> tuple[str, ...]:
        """Names of the numbers that are defaults: they were not given, and cannot be derived."""
        return tuple(name for name in self._from("default") if name not in _TEXTS_AND_CHOICES)

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of the values that were not given, and follow from others."""
        return self._from("derived")

    def known(self, name: str) -> Any:
        """Return a value that was given or is the source's; None for a derived value and a default."""
        return getattr(self, name) if self.origins[name] in ("given", "source") else None

    def with_derived(self, values: Mapping[str, Any]) -> Self:
        """Return the record with values that follow from others; OptionError where one is out of range."""
        ExportMeta(**values)
        return replace(self, **values, origins={**self.origins, **dict.fromkeys(values, "derived")})

    def _from(self, origin: Source) -> tuple[str, ...]:
        return tuple(name for name, found in self.origins.items() if found == origin)


def require_metadata(meta: Any) -> None:
    """Refuse what is no metadata, such as a dict; TypeError."""
    if not isinstance(meta, ExportMeta):
        raise TypeError(f"meta is of type {type(meta).__name__}, and must be ExportMeta, as ExportMeta(**values)")


def _require_type(name: str, value: Any) -> None:
    """Refuse what is no text, truth value or number where one is wanted; scalars of NumPy are what they look like."""
    if name == "far_field":
        is_wanted, wanted = type(value).__name__ == "bool", "True or False"
    elif name in _TEXTS_AND_CHOICES:
        is_wanted, wanted = isinstance(value, str), "text"
    else:
        is_wanted = isinstance(value, Real) and not isinstance(value, bool)
        wanted = f"a number in {field_unit(name)}"
    if not is_wanted:
        raise OptionError(name, found=repr(value), expected=wanted)


def merged_metadata(given: ExportMeta, source: ExportMeta | None = None) -> ResolvedMetadata:
    """Take each value from the first that has it: what was given, what the source says, the defaults."""
    require_metadata(given)
    values: dict[str, Any] = {}
    origins: dict[str, Source] = {}
    for name, value in vars(given).items():
        from_source = None if source is None else getattr(source, name)
        if value is not None:
            values[name], origins[name] = value, "given"
        elif from_source is not None:
            values[name], origins[name] = from_source, "source"
        else:
            values[name], origins[name] = _DEFAULTS.get(name, 0.0), "default"
    energy_eV = values["probe_energy_eV"]
    if isinstance(energy_eV, EnergyOfWavelength):  # of what, is known now
        values["probe_energy_eV"] = energy_eV.of(values["particle"])
    return ResolvedMetadata(**values, origins=origins)


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that is too large for a float
        return False


def _fits_hdf5(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:  # a byte of the command line that is not text
        return False
