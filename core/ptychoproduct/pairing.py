"""Which position belongs to which frame, where both are numbered."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ptychoproduct.errors import ProductWarning, SourceError
from ptychoproduct.inputs import Origin
from ptychoproduct.positions import distinct_values

Array = np.ndarray[Any, Any]


def rows_of_frames(frame_numbers: Array, position_numbers: Array, origin: Origin, key: str) -> Array:
    """Find the position of each frame, as ptychodus does: both have the same number.

    Parameters
    ----------
    frame_numbers : array, [N], int
        Distinct.
    position_numbers : array, [M], int
        Where they repeat they number something else, and frame *i* belongs to position *i*.
    origin, key
        Names for the messages.

    Returns
    -------
    array, [N], int
        The row of each frame's position.

    Raises
    ------
    SourceError
        Numbers of frames repeat, a frame has no position, or numbers of positions say nothing and there are more or
        fewer positions than frames.

    Warns
    -----
    ProductWarning
        Numbers of positions repeat.
    """
    for numbers, name in ((frame_numbers, "frames"), (position_numbers, "positions")):
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise SourceError(
                origin,
                key=key,
                found=f"numbers of {name} that are {numbers.dtype} {numbers.shape}",
                expected="integers",
            )
    if distinct_values(frame_numbers) < len(frame_numbers):
        raise SourceError(origin, key=key, found="numbers of frames that repeat", expected="distinct ones")
    order = np.argsort(position_numbers, kind="stable")
    ascending = position_numbers[order]
    if (ascending[1:] == ascending[:-1]).any():
        if len(position_numbers) != len(frame_numbers):
            raise SourceError(
                origin,
                key=key,
                found=f"{len(position_numbers)} positions whose numbers repeat",
                expected=f"{len(frame_numbers)}, one for each frame",
            )
        warnings.warn(
            f"{origin}: {key}: numbers of positions repeat; frame i is taken to belong to position i",
            ProductWarning,
            stacklevel=2,
        )
        return np.arange(len(frame_numbers))
    places = np.searchsorted(ascending, frame_numbers)
    there = np.zeros(len(frame_numbers), bool)
    inside = places < len(ascending)
    there[inside] = ascending[places[inside]] == frame_numbers[inside]
    if not there.all():
        number = frame_numbers[int(np.argmin(there))]
        raise SourceError(
            origin, key=key, found=f"{int((~there).sum())} frames without a position, the first is number {number}"
        )
    return order[places]
