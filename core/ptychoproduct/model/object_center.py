"""Where the object lies under the scan, if its centre was not given."""

from __future__ import annotations

import math

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import counted, warn
from ptychoproduct.model.geometry import outside_object, with_corner_at_zero
from ptychoproduct.model.metadata import ResolvedMetadata

OBJECT_CENTERS = ("auto", "corner", "zero")
_FIELDS = ("object_center_x_m", "object_center_y_m")


def with_object_center(
    choice: str, x_m: Array, y_m: Array, object_shape: tuple[int, ...], meta: ResolvedMetadata
) -> ResolvedMetadata:
    """Choose the coordinates of the object's centre that were not given.

    Parameters
    ----------
    choice : {"auto", "corner", "zero"}
        "corner": positions count from the first pixel of the object. "zero": they count from its middle. "auto": one
        under which all positions are on the object; where both are, the one whose middle is nearer to the scan's; where
        none is, zero.
    x_m, y_m : array, [N]
        Positions.
    object_shape : tuple of int
        Of the object, rows and columns last.
    meta : ResolvedMetadata

    Returns
    -------
    ResolvedMetadata
        With derived coordinates where they are those of the corner; else as it was.
    """
    missing = [field for field in _FIELDS if meta.known(field) is None]
    if choice == "zero" or not missing:
        return meta
    at_corner = with_corner_at_zero(object_shape, meta)
    at_corner = meta.with_derived({field: getattr(at_corner, field) for field in missing})
    if choice == "corner":
        return at_corner
    middle_m = (x_m.min() / 2 + x_m.max() / 2, y_m.min() / 2 + y_m.max() / 2)
    fitting = [found for found in (meta, at_corner) if not outside_object(x_m, y_m, object_shape, found)]
    return min(
        fitting,
        key=lambda found: math.dist(middle_m, (found.object_center_x_m, found.object_center_y_m)),
        default=meta,
    )


def warn_outside(x_m: Array, y_m: Array, object_shape: tuple[int, ...], meta: ResolvedMetadata, origin: Origin) -> None:
    """Warn of positions that are not on the object.

    Parameters
    ----------
    x_m, y_m, object_shape, meta
        As for `with_object_center`.
    origin : path or str
        What messages name.

    Warns
    -----
    ProductWarning
        With their number, and the centre that would put all of them on it, if there is one.
    """
    count = outside_object(x_m, y_m, object_shape, meta)
    if not count:
        return
    advice = "check pixel size and object centre"
    better = with_corner_at_zero(object_shape, meta)
    if not outside_object(x_m, y_m, object_shape, better):
        advice = (
            f"positions count from the object's corner: --object-center-x-m {better.object_center_x_m} "
            f"--object-center-y-m {better.object_center_y_m} would put them on it, as --object-center auto does"
        )
    warn(f"{origin}: found {count} of {counted(len(x_m), 'position')} outside the object; {advice}")
