"""Checks of positions, their numbers, and the pixels that they are measured in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ptychoproduct.errors import OptionError, counted
from ptychoproduct.model import contract
from ptychoproduct.model.geometry import outside_object, resolve_metadata
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.positions import distinct_values, pixels_to_metres
from ptychoproduct.validation.checks import Problem, Subject, check


@check
def positions_finite(subject: Subject) -> Iterator[Problem]:
    """Every position is a number."""
    for expected in (contract.POSITION_X, contract.POSITION_Y):
        values = subject.values(expected)
        count = 0 if values is None else int(np.count_nonzero(~np.isfinite(values)))
        if count:
            yield Problem(
                "error", f"/{expected.name}", f"{count} {'value is' if count == 1 else 'values are'} not finite"
            )


@check
def indexes_pair(subject: Subject) -> Iterator[Problem]:
    """Indexes can pair patterns with positions."""
    indexes = subject.values(contract.POSITION_INDEXES)
    if indexes is None or not indexes.size:
        return
    where = f"/{contract.POSITION_INDEXES.name}"
    distinct = distinct_values(indexes)
    if distinct < len(indexes):
        message = (
            f"found {counted(distinct, 'distinct value')} for {counted(len(indexes), 'position')}; "
            "ptychodus makes one position of each value"
        )
        yield Problem("warning", where, message)
    elif (indexes[1:] < indexes[:-1]).any():
        yield Problem("warning", where, "the values are not in ascending order; ptychodus before 1.4 cannot pair them")
    if indexes.min() < 0:
        yield Problem("error", where, f"found {indexes.min()}, expected no negative index")


@check
def pixels_and_metres_agree(subject: Subject) -> Iterator[Problem]:
    """Positions in pixels, times the object pixel size, are the positions in metres."""
    for raw, positions, size in (
        (contract.RAW_X, contract.POSITION_X, contract.OBJECT_PIXEL_WIDTH),
        (contract.RAW_Y, contract.POSITION_Y, contract.OBJECT_PIXEL_HEIGHT),
    ):
        x_px, x_m = subject.values(raw), subject.values(positions)
        pixel_m = subject.attribute(contract.OBJECT, size)
        if pixel_m is None or x_px is None or x_m is None or x_px.shape != x_m.shape:
            continue
        if not np.allclose(pixels_to_metres(x_px, pixel_m), x_m, rtol=1e-6, atol=1e-6 * abs(pixel_m), equal_nan=True):
            message = f"the positions are not {raw.name} times the object's {size.name}"
            yield Problem("error", f"/{positions.name}", message)


@check
def positions_on_object(subject: Subject) -> Iterator[Problem]:
    """The scan lies on the object."""
    found = subject.get(contract.OBJECT)
    x_m, y_m = subject.values(contract.POSITION_X), subject.values(contract.POSITION_Y)
    if found is None or x_m is None or y_m is None or x_m.shape != y_m.shape:
        return
    named = [attribute for attribute in contract.OBJECT.attributes if attribute.field]
    fields = {attribute.field: subject.attribute(contract.OBJECT, attribute) for attribute in named}
    if None in fields.values():
        return
    try:
        meta = resolve_metadata(ExportMeta(**fields))
    except OptionError:
        return
    finite = np.isfinite(x_m) & np.isfinite(y_m)
    count = outside_object(x_m[finite], y_m[finite], found.shape, meta)
    if count:
        message = f"found {count} of {len(x_m)} positions outside the object; check its centre and pixel size"
        yield Problem("warning", f"/{contract.POSITION_X.name}", message)
