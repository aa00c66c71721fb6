"""The unit of positions: recognised where none is given, and checked against the size of the scan."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import warn
from ptychoproduct.model.positions import UNITS, UNITS_M

# Positions that are all at most this large are metres to ptychodus, which reads PtychoPINN's files by the same rule.
LARGEST_METRES = 1e-3
_LEAST_STEP_PX = 0.3  # oversampled scans have steps of half a pixel
_MOST_PX = 1e6
_USUAL_STEP_PX = 10


def are_metres(x: Any, y: Any) -> bool:
    """Whether positions without a unit must be metres, being so small; false for anything but lists of numbers."""
    arrays = [np.asarray(values) for values in (x, y)]
    if any(array.ndim != 1 or array.dtype.kind not in "iuf" or not array.size for array in arrays):
        return False
    return 0 < max(float(np.abs(array).max()) for array in arrays) <= LARGEST_METRES


def known_unit(unit: str | None, x: Array, y: Array, origin: Origin) -> str:
    """Return the unit of positions; where none is given, metres if the positions are that small, else pixels.

    Parameters
    ----------
    unit : {"px", "m", "mm", "um", "nm"} or None
        What the user or the file says.
    x, y : array, [N]
    origin : path or str
        Name for the messages.

    Warns
    -----
    ProductWarning
        The positions are taken as metres.
    """
    if unit is not None:
        return unit
    if not are_metres(x, y):
        return "px"
    warn(
        f"{origin}: no position is larger than {LARGEST_METRES:g}, so they are taken as metres, not object pixels "
        "(--positions-in changes that)"
    )
    return "m"


def warn_of_span(x: Array, y: Array, unit: str, pixel_width_m: float, pixel_height_m: float, origin: Origin) -> None:
    """Warn of positions whose unit is probably another: in steps far below a pixel, or over a million pixels wide.

    Parameters
    ----------
    x, y : array, [N]
        Finite.
    unit : {"px", "m", "mm", "um", "nm"}
        In which they were read.
    pixel_width_m, pixel_height_m : float
        Of the object.
    origin : path or str
        Name for the messages.

    Warns
    -----
    ProductWarning
        Names the likely unit.
    """
    span_px = _span_px(x, y, unit, pixel_width_m, pixel_height_m)
    least_px = _least_span_px(x, y) if span_px < math.sqrt(len(x)) else 1
    if not span_px or least_px <= span_px <= _MOST_PX:
        return  # if all positions are the same, no unit is wrong
    spans_px = {other: _span_px(x, y, other, pixel_width_m, pixel_height_m) for other in UNITS if other != unit}
    usual_px = _USUAL_STEP_PX * math.sqrt(len(x))
    likely = min(spans_px, key=lambda other: abs(math.log(max(spans_px[other], sys.float_info.min) / usual_px)))
    advice = "check the object's pixel size"
    if least_px <= spans_px[likely] <= _MOST_PX:
        advice = f"their unit is probably {likely} (--positions-in {likely}), or the object's pixel size is wrong"
    limit = (
        "less than one" if span_px < 1 else "more than a million" if span_px > _MOST_PX else "in steps far below one"
    )
    warn(f"{origin}: the positions, read as {unit}, span {span_px:.3g} object pixels, {limit}; {advice}")


def _least_span_px(x: Array, y: Array) -> float:
    """Return how wide a square grid of the positions is in the smallest usual steps, but at least one pixel."""
    distinct = len(np.unique(x + 1j * y))  # frames may be recorded more than once at a position
    return max(1, (math.sqrt(distinct) - 1) * _LEAST_STEP_PX)


def _span_px(x: Array, y: Array, unit: str, pixel_width_m: float, pixel_height_m: float) -> float:
    """Return the larger of the scan's width and height in object pixels."""
    width, height = (float(values.max()) - float(values.min()) for values in (x, y))
    if unit == "px":
        return max(width, height)
    return max(width / pixel_width_m, height / pixel_height_m) * UNITS_M[unit]
