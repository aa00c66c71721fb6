"""Scan positions: from pixels to metres, and the numbers that pair them with diffraction patterns."""

from __future__ import annotations

from os import PathLike

import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import OptionError, SourceError, counted, warn
from ptychoproduct.model.array_checks import check_raw_array
from ptychoproduct.model.ascending import distinct

POSITION_INDEX_CHOICES = ("auto", "scan-index", "sequence")
UNITS_M = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "nm": 1e-9}
UNITS = ("px", *UNITS_M)


def pixels_to_metres(coordinates_px: Array, pixel_size_m: float) -> Array:
    """Scale positions from object pixels to metres, as float64."""
    return np.asarray(coordinates_px, np.float64) * pixel_size_m


def metres_to_pixels(coordinates_m: Array, pixel_size_m: float) -> Array:
    """Scale positions from metres to object pixels, as float64."""
    return np.asarray(coordinates_m, np.float64) / pixel_size_m


def to_object_pixels(coordinates: Array, key: str, unit: str, pixel_size_m: float, origin: Origin) -> Array:
    """Convert positions of any unit to object pixels.

    Parameters
    ----------
    coordinates : array, [N]
        Returned as they are, where they are pixels.
    key : str
        Name for the messages.
    unit : {"px", "m", "mm", "um", "nm"}
    pixel_size_m : float
        Of the object, along this direction.
    origin : path or str
        Name for the messages.

    Raises
    ------
    SourceError
        They are not a list of real numbers.
    """
    if unit == "px":
        return coordinates
    check_raw_array(coordinates, "xcoords", key, origin)
    return metres_to_pixels(coordinates * UNITS_M[unit], pixel_size_m)


def check_unit(unit: str | None) -> None:
    """Raise an OptionError for an unknown unit of positions."""
    if unit is not None and unit not in UNITS:
        raise OptionError("positions_in", found=repr(unit), expected=f"one of {', '.join(UNITS)}")


def position_indexes(scan_index: Array | None, positions: int, choice: str, file: str | PathLike[str]) -> Array:
    """Choose the numbers that ptychodus pairs patterns and positions by.

    ptychodus averages positions of one index into one position. PtychoPINN's ``scan_index`` is not such a number: it is
    usually the same for the whole scan.

    Parameters
    ----------
    scan_index : array or None, [N], int
        The source's.
    positions : int
        N.
    choice : {"auto", "scan-index", "sequence"}
        "auto" takes `scan_index` where its values are distinct and none is negative.
    file : path
        Name for the messages.

    Returns
    -------
    array, [N], int64

    Raises
    ------
    OptionError
        There is no `scan_index`, or its values are not integers, or negative, which no product may have.

    Warns
    -----
    ProductWarning
        `scan_index` is not used, or repeats; but not where it is the same for all, as PtychoPINN writes it.
    """
    sequence = np.arange(positions, dtype=np.int64)
    if choice == "sequence":
        return sequence
    if scan_index is None:
        if choice == "scan-index":
            raise OptionError("position_index", "there is no scan_index; use auto or sequence", file=file)
        _warn(file, "has no scan_index")
        return sequence
    indexes = _as_indexes(scan_index)
    are_distinct = indexes is not None and distinct_values(indexes) == len(indexes)
    if choice == "scan-index":
        if indexes is None:
            problem = f"scan_index must hold 64-bit integers, but is {scan_index.dtype}; use auto"
            raise OptionError("position_index", problem, file=file)
        if (indexes < 0).any():
            raise OptionError(
                "position_index", "scan_index has negative numbers, which ptychodus refuses; use auto", file=file
            )
        if not are_distinct:
            warn(f"{file}: scan_index: values repeat; ptychodus averages positions of one index into one")
        return indexes
    if indexes is None:
        _warn(file, "scan_index does not number the positions (its values are not 64-bit integers)")
    elif not are_distinct and not same_for_all(indexes):
        _warn(file, "scan_index does not number the positions (some of its values repeat)")
    elif are_distinct and (indexes < 0).any():
        _warn(file, "scan_index has negative numbers, which ptychodus refuses")
    elif are_distinct:
        return indexes
    return sequence


def same_for_all(scan_index: Array | None) -> bool:
    """Whether all of several positions have one `scan_index`, as in most of PtychoPINN's files."""
    return scan_index is not None and len(scan_index) > 1 and bool((scan_index == scan_index[0]).all())


def distinct_values(numbers: Array) -> int:
    """Count the distinct values among integers."""
    return len(distinct(numbers))


def means_of_numbers(numbers: Array, readings: Array) -> Array:
    """Return the mean of the readings [N] of each of M numbers [N], in ascending order: [M], float64.

    ptychodus 1.7.0 takes the same means of positions with one index when it reconstructs.
    """
    of_row = np.unique(numbers, return_inverse=True)[1]
    means: Array = np.bincount(of_row, readings) / np.bincount(of_row)
    return means


def _as_indexes(scan_index: Array) -> Array | None:
    if scan_index.dtype.kind not in "iuf" or (
        scan_index.dtype == np.uint64 and (scan_index > np.iinfo(np.int64).max).any()
    ):
        return None
    if scan_index.dtype.kind == "f":
        values = scan_index.astype(np.float64)
        if not ((np.abs(values) < 2.0**63) & (values == np.floor(values))).all():
            return None
    return scan_index.astype(np.int64)


def _warn(file: str | PathLike[str], reason: str) -> None:
    warn(f"{file}: {reason}; probe_position_indexes are 0 to N-1 (--position-index changes that)")


def rows_of_frames(frame_numbers: Array, position_numbers: Array, origin: Origin, key: str) -> Array:
    """Find the position that has the same number as each frame, as ptychodus does.

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
        Numbers of frames repeat, a frame has no position, or numbers of positions repeat and there are more or fewer
        positions than frames.

    Warns
    -----
    ProductWarning
        Numbers of positions repeat.
    """
    for numbers, name in ((frame_numbers, "frames"), (position_numbers, "positions")):
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            problem = f"numbers of {name} must be a list of integers, but are {numbers.dtype} {numbers.shape}"
            raise SourceError(origin, problem, key=key)
    if distinct_values(frame_numbers) < len(frame_numbers):
        raise SourceError(origin, key=key, problem="numbers of frames repeat; each frame needs its own")
    order = np.argsort(position_numbers, kind="stable")
    ascending = position_numbers[order]
    if (ascending[1:] == ascending[:-1]).any():
        if len(position_numbers) != len(frame_numbers):
            found, frames = counted(len(position_numbers), "position"), counted(len(frame_numbers), "frame")
            problem = f"numbers of positions repeat, so each frame needs a position; found {found} for {frames}"
            raise SourceError(origin, problem, key=key)
        warn(f"{origin}: {key}: numbers of positions repeat; frame i is taken to belong to position i")
        return np.arange(len(frame_numbers))
    places = np.searchsorted(ascending, frame_numbers)
    there = np.zeros(len(frame_numbers), bool)
    inside = places < len(ascending)
    there[inside] = ascending[places[inside]] == frame_numbers[inside]
    if not there.all():
        number = frame_numbers[int(np.argmin(there))]
        missing = counted(int((~there).sum()), "frame")
        raise SourceError(origin, f"there is no position for {missing}; the first is frame number {number}", key=key)
    return order[places]
