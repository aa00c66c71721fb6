"""What the user knows of the experiment, and a scan does not say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ptychoproduct.errors import OptionError
from ptychoproduct.model.contract import POLARIZATIONS
from ptychoproduct.model.plausibility import check_signs


class NotGiven(float):
    """A number that stands for one that nobody gave, so that a default is not mistaken for a measurement."""


class Derived(float):
    """A number that nobody gave either, and that follows from others."""


_NOT_KNOWN = NotGiven(0.0)
# Those of PtychoPINN's exporter.
_OBJECT_PIXEL_M = NotGiven(5e-8)
_PROBE_PIXEL_M = NotGiven(1.25e-7)


@dataclass(frozen=True)
class ExportMeta:
    """Metadata of a product; zero stands for a value that is not known, and a default for one that was not given.

    Parameters
    ----------
    name, comments : str
        Free text.
    detector_distance_m : float
        From object to detector.
    probe_energy_eV : float
        Photon energy.
    exposure_time_s : float
        Of one position.
    probe_photon_count : float
        Photons of one exposure.
    mass_attenuation_m2_kg : float
        Mass attenuation coefficient of the sample, in m²/kg.
    tomography_angle_deg, tilt_angle_deg : float
        Orientation of the sample.
    object_pixel_width_m, object_pixel_height_m : float
        Object pixel size; scan positions in pixels are multiples of it. By default what follows from the detector's,
        see `with_sample_pixels`, else 5e-8.
    probe_pixel_width_m, probe_pixel_height_m : float
        Probe pixel size; by default what follows from the detector's, else 1.25e-7.
    object_center_x_m, object_center_y_m : float
        Where the middle of the object array is, in the frame of the scan positions.
    focus_object_distance_m : float
        From the focus to the object; 0 without a focusing optic, negative where the focus lies upstream.
    far_field : bool
        Whether the detector records the Fraunhofer pattern.
    polarization : str or None
        "left_circular", "right_circular", or None.
    detector_pixel_width_m, detector_pixel_height_m : float
        Detector pixel size. With energy and distance, object and probe pixels that are not given follow from it.

    Raises
    ------
    OptionError
        A number is not finite; a pixel size is not positive; an energy, a distance, a time, or a number of photons is
        negative; a text cannot be stored; or the polarization is unknown.
    """

    name: str = ""
    comments: str = ""
    detector_distance_m: float = _NOT_KNOWN
    probe_energy_eV: float = _NOT_KNOWN
    exposure_time_s: float = _NOT_KNOWN
    probe_photon_count: float = _NOT_KNOWN
    mass_attenuation_m2_kg: float = _NOT_KNOWN
    tomography_angle_deg: float = _NOT_KNOWN
    object_pixel_width_m: float = _OBJECT_PIXEL_M
    object_pixel_height_m: float = _OBJECT_PIXEL_M
    probe_pixel_width_m: float = _PROBE_PIXEL_M
    probe_pixel_height_m: float = _PROBE_PIXEL_M
    object_center_x_m: float = _NOT_KNOWN
    object_center_y_m: float = _NOT_KNOWN
    tilt_angle_deg: float = _NOT_KNOWN
    focus_object_distance_m: float = _NOT_KNOWN
    far_field: bool = True
    polarization: str | None = None
    detector_pixel_width_m: float = _NOT_KNOWN
    detector_pixel_height_m: float = _NOT_KNOWN

    def __post_init__(self) -> None:
        for field in ("name", "comments"):
            if not _fits_hdf5(getattr(self, field)):
                raise OptionError(field, found=repr(getattr(self, field)), expected="text in Unicode without NUL")
        for field, value in vars(self).items():
            if isinstance(value, Real) and not _is_finite(value):
                raise OptionError(field, found=str(value), expected="a finite number")
        check_signs(vars(self))
        if self.polarization is not None and self.polarization not in POLARIZATIONS:
            expected = f"None, {', '.join(POLARIZATIONS)}"
            raise OptionError("polarization", found=repr(self.polarization), expected=expected)

    @property
    def given(self) -> dict[str, Any]:
        """All fields but numbers that nobody gave, by name."""
        return {field: value for field, value in vars(self).items() if not isinstance(value, NotGiven | Derived)}

    @property
    def not_given(self) -> tuple[str, ...]:
        """Names of the numbers that nobody gave, and that follow from nothing."""
        return tuple(field for field, value in vars(self).items() if isinstance(value, NotGiven))

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of the numbers that nobody gave, and that follow from others."""
        return tuple(field for field, value in vars(self).items() if isinstance(value, Derived))


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def _fits_hdf5(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:  # a byte of the command line that is no text
        return False
