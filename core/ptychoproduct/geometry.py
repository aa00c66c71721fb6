"""Pixel sizes at the sample and at the detector: the far-field relation between them.

In the far field the detector records the Fourier transform of the exit wave, so that N detector pixels of size Δ, at a
distance z, sample the sample plane in steps of λz / (N·Δ): J. W. Goodman, Introduction to Fourier Optics, section 4.3.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from ptychoproduct.errors import ProductWarning
from ptychoproduct.inputs import Origin
from ptychoproduct.metadata import Derived, ExportMeta, NotGiven

# Exact in the SI since 2019; CODATA 2022, https://physics.nist.gov/constants
PLANCK_J_S = 6.62607015e-34
LIGHT_SPEED_M_S = 299792458.0
ELEMENTARY_CHARGE_C = 1.602176634e-19
_HC_EV_M = PLANCK_J_S * LIGHT_SPEED_M_S / ELEMENTARY_CHARGE_C

# Over a scan of 1000 pixels, a difference of more than this is a pixel; people give sizes to three digits or more.
_ROUNDING = 1e-3

# For each side of a frame: its axis, the detector's pixel, and the pixels at the sample.
_SIDES = (
    (-1, "detector_pixel_width_m", ("object_pixel_width_m", "probe_pixel_width_m")),
    (-2, "detector_pixel_height_m", ("object_pixel_height_m", "probe_pixel_height_m")),
)


def wavelength_m(photon_energy_eV: float) -> float:
    """Return the wavelength of photons: hc / E."""
    return _HC_EV_M / photon_energy_eV


def far_field_pixel_m(photon_energy_eV: float, distance_m: float, pixels: int, pixel_m: float) -> float:
    """Return the pixel size at the other end of a far-field propagation: λz / (N·Δ).

    Parameters
    ----------
    photon_energy_eV : float
    distance_m : float
        Between sample and detector.
    pixels : int
        Of a frame, along one side.
    pixel_m : float
        Pixel size at this end; the relation is the same from either.
    """
    return wavelength_m(photon_energy_eV) * distance_m / pixels / pixel_m


def with_sample_pixels(meta: ExportMeta, frame_shape: tuple[int, ...]) -> ExportMeta:
    """Fill in the pixel sizes of object and probe that nobody gave, where they follow from the detector's.

    Parameters
    ----------
    meta : ExportMeta
        Returned as it is where energy, distance or detector pixel is not known, or the detector not in the far field.
    frame_shape : tuple of int
        Of frames; rows and columns last.

    Returns
    -------
    ExportMeta
        With `Derived` sizes.

    Raises
    ------
    OptionError
        A size that follows is beyond any float.
    """
    sizes: dict[str, Any] = {}
    for axis, detector, sample in _SIDES:
        size = _other_pixel_m(meta, detector, frame_shape[axis])
        for field in sample:
            if size is not None and isinstance(getattr(meta, field), NotGiven):
                sizes[field] = Derived(size)
    return replace(meta, **sizes)


def with_detector_pixels(meta: ExportMeta, frame_shape: tuple[int, ...]) -> ExportMeta:
    """Fill in the pixel size of the detector, where nobody gave it and it follows from the object's.

    Parameters, result and errors are those of `with_sample_pixels`.
    """
    sizes: dict[str, Any] = {}
    for axis, detector, (object_pixel, _) in _SIDES:
        size = _other_pixel_m(meta, object_pixel, frame_shape[axis])
        if size is not None and isinstance(getattr(meta, detector), NotGiven):
            sizes[detector] = Derived(size)
    return replace(meta, **sizes)


def warn_of_contradictions(meta: ExportMeta, frame_shape: tuple[int, ...], origin: Origin) -> None:
    """Tell of pixel sizes that were given, and differ from those that follow from the detector's.

    Parameters
    ----------
    meta : ExportMeta
    frame_shape : tuple of int
        Of frames; rows and columns last.
    origin : path or str
        What messages name.

    Warns
    -----
    ProductWarning
        With both numbers.
    """
    contradictions: dict[tuple[float, float], list[str]] = {}
    for axis, detector, sample in _SIDES:
        derived = _other_pixel_m(meta, detector, frame_shape[axis])
        for field in sample:
            size = getattr(meta, field)
            given = not isinstance(size, NotGiven | Derived)
            if derived is not None and given and abs(size - derived) > _ROUNDING * derived:
                contradictions.setdefault((size, derived), []).append(field)
    for (size, derived), names in contradictions.items():
        warnings.warn(
            f"{origin}: {', '.join(names)}: given as {size:.6g}, but energy, distance and detector pixel make it "
            f"{derived:.6g} (λz / NΔ)",
            ProductWarning,
            stacklevel=3,
        )


def _other_pixel_m(meta: ExportMeta, field: str, pixels: int) -> float | None:
    """Return the pixel size at the other end from the one in `field`; None where it does not follow."""
    pixel_m = getattr(meta, field)
    if not meta.far_field or isinstance(pixel_m, NotGiven | Derived):
        return None
    if min(meta.probe_energy_eV, meta.detector_distance_m, pixel_m) <= 0:
        return None
    return far_field_pixel_m(meta.probe_energy_eV, meta.detector_distance_m, pixels, pixel_m)
