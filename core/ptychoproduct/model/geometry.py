"""Pixel sizes at the object and at the detector, and where the object lies under the scan.

In the far field the detector records the Fourier transform of the exit wave, so that N detector pixels of size Δ, at a
distance z, sample the object plane in steps of λz / (N·Δ): J. W. Goodman, Introduction to Fourier Optics, section 4.3.
"""

from __future__ import annotations

import math

import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import warn
from ptychoproduct.model.metadata import ExportMeta, ResolvedMetadata, merged_metadata
from ptychoproduct.model.wavelength import wavelength_m

# Over a scan of 1000 pixels, a difference of more than this is a pixel; people give sizes to three digits or more.
_ROUNDING = 1e-3

# For each side of a frame: its axis, the detector's pixel, and the pixels at the object.
_SIDES = (
    (-1, "detector_pixel_width_m", ("object_pixel_width_m", "probe_pixel_width_m")),
    (-2, "detector_pixel_height_m", ("object_pixel_height_m", "probe_pixel_height_m")),
)


def far_field_pixel_m(
    energy_eV: float, distance_m: float, pixels: int, pixel_m: float, particle: str | None = None
) -> float:
    """Return the pixel size at the other end of a far-field propagation: λz / (N·Δ).

    Parameters
    ----------
    energy_eV : float
    distance_m : float
        Between object and detector.
    pixels : int
        Of a frame, along one side.
    pixel_m : float
        Pixel size at this end; the relation is the same from either.
    particle : {"photon", "electron"}, optional
        Of the beam; a photon by default.
    """
    return wavelength_m(energy_eV, particle) * distance_m / pixels / pixel_m


def resolve_metadata(
    given: ExportMeta, source: ExportMeta | None = None, frame_shape: tuple[int, ...] | None = None
) -> ResolvedMetadata:
    """Find every value of a product's metadata, and where it comes from.

    A given value comes first, then one that the source says, then one derived from other values, then a default.

    Parameters
    ----------
    given : ExportMeta
        By the user.
    source : ExportMeta, optional
        What the converted file says itself.
    frame_shape : tuple of int, optional
        Of frames, pixel rows and columns last. With it, pixel sizes of object and probe are derived where energy,
        distance and detector pixel are known and the detector is in the far field.

    Raises
    ------
    OptionError
        A derived size is too large for a float.
    """
    meta = merged_metadata(given, source)
    if frame_shape is None:
        return meta
    sizes: dict[str, float] = {}
    for axis, detector, at_object in _SIDES:
        size = _other_pixel_m(meta, detector, frame_shape[axis])
        if size is not None:
            sizes |= {name: size for name in at_object if meta.known(name) is None}
    return meta.with_derived(sizes)


def with_detector_pixels(meta: ResolvedMetadata, frame_shape: tuple[int, ...]) -> ResolvedMetadata:
    """Derive the pixel size of the detector, where it is not known and follows from the object's.

    Parameters
    ----------
    meta : ResolvedMetadata
    frame_shape : tuple of int
        Of frames; rows and columns last.

    Raises
    ------
    OptionError
        A derived size is too large for a float.
    """
    sizes: dict[str, float] = {}
    for axis, detector, (object_pixel, _) in _SIDES:
        size = _other_pixel_m(meta, object_pixel, frame_shape[axis])
        if size is not None and meta.known(detector) is None:
            sizes[detector] = size
    return meta.with_derived(sizes)


def warn_of_contradictions(meta: ResolvedMetadata, frame_shape: tuple[int, ...], origin: Origin) -> None:
    """Warn of pixel sizes that were given, and differ from those that follow from the detector's.

    Parameters
    ----------
    meta : ResolvedMetadata
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
    for axis, detector, at_object in _SIDES:
        derived = _other_pixel_m(meta, detector, frame_shape[axis])
        for name in at_object:
            size = meta.known(name)
            if derived is not None and size is not None and abs(size - derived) > _ROUNDING * derived:
                contradictions.setdefault((size, derived), []).append(name)
    for (size, derived), names in contradictions.items():
        said = "given as" if any(meta.origins[name] == "given" for name in names) else "the source says"
        warn(
            f"{origin}: {', '.join(names)}: {said} {size:.6g}, but energy, distance and detector pixel give "
            f"{derived:.6g} (λz / NΔ)"
        )


def _other_pixel_m(meta: ResolvedMetadata, name: str, pixels: int) -> float | None:
    """Return the pixel size at the other end from the one of that name; None where it cannot be derived."""
    pixel_m = meta.known(name)
    if not meta.far_field or pixel_m is None or min(meta.probe_energy_eV, meta.detector_distance_m, pixel_m) <= 0:
        return None
    return far_field_pixel_m(meta.probe_energy_eV, meta.detector_distance_m, pixels, pixel_m, meta.particle)


_MOST_PIXELS = 2**27  # 1 GiB of complex64: a scan that spans more has positions in another unit


def outside_object(x_m: Array, y_m: Array, object_shape: tuple[int, ...], meta: ResolvedMetadata) -> int:
    """Count the positions that are not over the object array.

    Parameters
    ----------
    x_m, y_m : array, [N]
        Positions.
    object_shape : tuple of int
        Of the object, rows and columns last.
    meta : ResolvedMetadata
        Object pixel size and centre.
    """
    height, width = object_shape[-2:]
    over_columns = np.abs(x_m - meta.object_center_x_m) <= width * meta.object_pixel_width_m / 2
    over_rows = np.abs(y_m - meta.object_center_y_m) <= height * meta.object_pixel_height_m / 2
    return int(np.count_nonzero(~(over_columns & over_rows)))


def with_corner_at_zero(object_shape: tuple[int, ...], meta: ResolvedMetadata) -> ResolvedMetadata:
    """Return metadata with the centre that the object has where positions count from its first pixel.

    ptychodus takes the centre to be (size - 1) / 2 pixels from the middle of the first one.
    """
    height, width = object_shape[-2:]
    center_x_m, center_y_m = (width - 1) / 2 * meta.object_pixel_width_m, (height - 1) / 2 * meta.object_pixel_height_m
    return meta.with_derived(
        {"object_center_x_m": float(f"{center_x_m:.9g}"), "object_center_y_m": float(f"{center_y_m:.9g}")}
    )


def covering_object(
    x_px: Array, y_px: Array, probe_shape: tuple[int, ...], meta: ResolvedMetadata
) -> tuple[tuple[int, int], ResolvedMetadata]:
    """Choose an object array that covers a scan and the probe's reach.

    Parameters
    ----------
    x_px, y_px : array, [N], pixels
        Positions.
    probe_shape : tuple of int
        Of the probe, rows and columns last.
    meta : ResolvedMetadata
        Object pixel size and centre; a centre of zero becomes the middle of the scan.

    Returns
    -------
    shape : (int, int)
        Rows and columns.
    meta : ResolvedMetadata
        With the centre of that array.

    Raises
    ------
    ValueError
        The array would be larger than positions in object pixels can ask for.
    """
    sides = []
    centers_m: dict[str, float] = {}
    for positions, probe_px, center, pixel_m in (
        (y_px, probe_shape[-2], "object_center_y_m", meta.object_pixel_height_m),
        (x_px, probe_shape[-1], "object_center_x_m", meta.object_pixel_width_m),
    ):
        positions_px = positions.astype(np.float64)
        given_px = getattr(meta, center) / pixel_m
        center_px = given_px or positions_px.min() / 2 + positions_px.max() / 2
        reach_px = min(np.abs(positions_px - center_px).max(), _MOST_PIXELS)
        sides.append(probe_px + 2 * math.ceil(reach_px))
        if not given_px:
            centers_m[center] = float(center_px * pixel_m)
    if sides[0] * sides[1] > _MOST_PIXELS:
        raise ValueError(f"{sides[0]} x {sides[1]} pixels")
    return (sides[0], sides[1]), meta.with_derived(centers_m)
