"""What the user knows of the experiment, and a scan does not say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from ptychoproduct.contract import POLARIZATIONS
from ptychoproduct.errors import OptionError

_PIXEL_SIZES = ("object_pixel_width_m", "object_pixel_height_m", "probe_pixel_width_m", "probe_pixel_height_m")


@dataclass(frozen=True)
class ExportMeta:
    """Metadata of a product; zero stands for a value that is not known.

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
        Object pixel size; scan positions in pixels are multiples of it.
    probe_pixel_width_m, probe_pixel_height_m : float
        Probe pixel size.
    object_center_x_m, object_center_y_m : float
        Where the middle of the object array is, in the frame of the scan positions.
    focus_object_distance_m : float
        From the focus to the object; 0 without a focusing optic.
    far_field : bool
        Whether the detector records the Fraunhofer pattern.
    polarization : str or None
        "left_circular", "right_circular", or None.

    Raises
    ------
    OptionError
        A number is not finite, a pixel size is not positive, a text cannot be stored, or the polarization is unknown.
    """

    name: str = ""
    comments: str = ""
    detector_distance_m: float = 0.0
    probe_energy_eV: float = 0.0
    exposure_time_s: float = 0.0
    probe_photon_count: float = 0.0
    mass_attenuation_m2_kg: float = 0.0
    tomography_angle_deg: float = 0.0
    object_pixel_width_m: float = 5e-8
    object_pixel_height_m: float = 5e-8
    probe_pixel_width_m: float = 1.25e-7
    probe_pixel_height_m: float = 1.25e-7
    object_center_x_m: float = 0.0
    object_center_y_m: float = 0.0
    tilt_angle_deg: float = 0.0
    focus_object_distance_m: float = 0.0
    far_field: bool = True
    polarization: str | None = None

    def __post_init__(self) -> None:
        for field in ("name", "comments"):
            if not _fits_hdf5(getattr(self, field)):
                raise OptionError(field, found=repr(getattr(self, field)), expected="text in Unicode without NUL")
        for field, value in vars(self).items():
            if isinstance(value, Real) and not _is_finite(value):
                raise OptionError(field, found=str(value), expected="a finite number")
        for field in _PIXEL_SIZES:
            if getattr(self, field) <= 0:
                raise OptionError(field, found=str(getattr(self, field)), expected="a positive size in metres")
        if self.polarization is not None and self.polarization not in POLARIZATIONS:
            expected = f"None, {', '.join(POLARIZATIONS)}"
            raise OptionError("polarization", found=repr(self.polarization), expected=expected)


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
