"""Positions of scans on a grid, frames [Ry, Rx, H, W], from the steps of the scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model.units import convert_unit
from ptychoproduct.scan.places import layouts_of, named, read_place, text_at
from ptychoproduct.streaming.stacked_rows import stack_axes


def scan_grid(shape: Sequence[int]) -> tuple[int, int] | None:
    """Return rows and columns of the scan that frames of that shape are of; None where they are a list."""
    axes = stack_axes(shape)
    if axes is None or len(axes[0]) != 2:
        return None
    rows, columns = (shape[axis] for axis in axes[0])
    return rows, columns


def grid_positions(shape: Sequence[int], steps_m: Sequence[float], file: Path) -> tuple[Array, Array]:
    """Return x and y [N] in metres, from 0 on, x faster; OptionError where frames are no grid.

    Parameters
    ----------
    shape : sequence of int
        Of the frames.
    steps_m : sequence of float
        Between rows and between columns of the scan, or one for both.
    file : Path
        That of the frames.
    """
    grid = scan_grid(shape)
    if grid is None:
        problem = f"needs frames on a grid, [Ry, Rx, H, W]; these are {tuple(shape)}; give --positions"
        raise OptionError("scan_step_m", problem, file=file)
    rows, columns = np.indices(grid, np.float64).reshape(2, -1)
    return columns * steps_m[-1], rows * steps_m[0]


def steps_in(source: Hdf5Source) -> tuple[float, float] | None:
    """Return the steps of the scan in metres where a layout has them: between rows, and between columns."""
    for layout in layouts_of(source):
        for steps in layout.steps:
            y, x, unit = (next(named(source, path), None) for path in (steps.y, steps.x, steps.unit))
            if y is None or x is None or unit is None:
                continue
            try:
                # units such as [n_m] are of older EMD files
                name = text_at(source, unit).strip("[]").replace("_", "")
                found = [convert_unit(_step(read_place(source, path)), name, "m") for path in (y, x)]
            except ValueError:  # pixels, or nothing
                continue
            if all(step > 0 and np.isfinite(step) for step in found):
                return found[0], found[1]
    return None


def _step(values: Array | None) -> float:
    """Return a single number, or the difference of the first two on an axis; ValueError where there is none."""
    if values is None or not values.size:
        raise ValueError("no step")
    numbers = values.reshape(-1).astype(np.float64)
    return float(numbers[0] if numbers.size == 1 else numbers[1] - numbers[0])
