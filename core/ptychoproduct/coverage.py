"""Whether a scan lies on its object, and where it would."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ptychoproduct.metadata import ExportMeta

Array = np.ndarray[Any, Any]

_MOST_PIXELS = 2**27  # 1 GiB of complex64: a scan that spans more has positions in another unit


def outside_object(x_m: Array, y_m: Array, object_shape: tuple[int, ...], meta: ExportMeta) -> int:
    """Count the positions that are not over the object array.

    Parameters
    ----------
    x_m, y_m : array, [N]
        Positions.
    object_shape : tuple of int
        Of the object, rows and columns last.
    meta : ExportMeta
        Object pixel size and centre.
    """
    height, width = object_shape[-2:]
    over_columns = np.abs(x_m - meta.object_center_x_m) <= width * meta.object_pixel_width_m / 2
    over_rows = np.abs(y_m - meta.object_center_y_m) <= height * meta.object_pixel_height_m / 2
    return int(np.count_nonzero(~(over_columns & over_rows)))


def with_corner_at_zero(object_shape: tuple[int, ...], meta: ExportMeta) -> ExportMeta:
    """Return metadata with the centre that the object has where positions count from its first pixel.

    ptychodus takes the centre to be (size - 1) / 2 pixels from the middle of the first one.
    """
    height, width = object_shape[-2:]
    return replace(
        meta,
        object_center_x_m=float(f"{(width - 1) / 2 * meta.object_pixel_width_m:.9g}"),
        object_center_y_m=float(f"{(height - 1) / 2 * meta.object_pixel_height_m:.9g}"),
    )


def covering_object(
    x_px: Array, y_px: Array, probe_shape: tuple[int, ...], meta: ExportMeta
) -> tuple[tuple[int, int], ExportMeta]:
    """Choose an object array that covers a scan and the probe's reach.

    Parameters
    ----------
    x_px, y_px : array, [N], pixels
        Positions.
    probe_shape : tuple of int
        Of the probe, rows and columns last.
    meta : ExportMeta
        Object pixel size and centre; a centre of zero is one that nobody gave, and becomes the middle of the scan.

    Returns
    -------
    shape : (int, int)
        Rows and columns.
    meta : ExportMeta
        With the centre of that array.

    Raises
    ------
    ValueError
        The array would be larger than positions in object pixels can ask for.
    """
    sides = []
    centers_m = []
    for positions, probe_px, center_m, pixel_m in (
        (y_px, probe_shape[-2], meta.object_center_y_m, meta.object_pixel_height_m),
        (x_px, probe_shape[-1], meta.object_center_x_m, meta.object_pixel_width_m),
    ):
        positions_px = positions.astype(np.float64)
        center_px = center_m / pixel_m or positions_px.min() / 2 + positions_px.max() / 2
        reach_px = min(np.abs(positions_px - center_px).max(), _MOST_PIXELS)
        sides.append(probe_px + 2 * math.ceil(reach_px))
        centers_m.append(float(center_px * pixel_m))
    if sides[0] * sides[1] > _MOST_PIXELS:
        raise ValueError(f"{sides[0]} x {sides[1]} pixels")
    return (sides[0], sides[1]), replace(meta, object_center_x_m=centers_m[1], object_center_y_m=centers_m[0])
