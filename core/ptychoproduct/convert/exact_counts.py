"""Frames of amplitudes, stored exactly as the counts that they are square roots of.

The recipe is found in a sample of frames, and every element is checked while it is written. A later element may show
that the sample said too little: a larger count, or a scale that has to be known more exactly. The frames are then
written again, with a recipe for that element too. As a rule one pass is enough, and the counts have the smallest type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import OptionError, SourceError, warn
from ptychoproduct.model import contract
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.model.count_recognition import closest_recipe
from ptychoproduct.model.counts import CountsRecipe, InexactError
from ptychoproduct.product.writer import ProductWriter
from ptychoproduct.scan.scan import FrameStack
from ptychoproduct.streaming.chunk_target import RowOutput
from ptychoproduct.streaming.sampling import sample_rows
from ptychoproduct.streaming.sources import RowSource, windows_of

_SAMPLED_BYTES = 2 * 1024**2
_MOST_SAMPLED_ROWS = 16
_CHECKED_BYTES = 4 * 1024**2
# Even a scale that must be exact to the last bit is found after three or four.
_MOST_ATTEMPTS = 16


def write_counts(
    writer: ProductWriter,
    frames: FrameStack,
    order: str,
    origin: Origin,
    beside: Callable[[], Sequence[RowOutput]] = tuple,
) -> None:
    """Write frames as counts; integers are written as they are.

    Parameters
    ----------
    writer : ProductWriter
    frames : FrameStack
    order : {"NHW", "HNW", "HWN"}
        Of their axes.
    origin : path or str
        What messages name.
    beside : callable, optional
        Gives further datasets to fill, at the beginning of each pass over the frames.

    Raises
    ------
    SourceError
        A frame is not exact; the message says where.
    OptionError
        Frames are floats of another type than float32 and float64.

    Warns
    -----
    ProductWarning
        The frames are integers.
    """
    values = sample(frames)
    if values.dtype.kind in "biu":
        warn(f"{origin}: {frames.key}: frames are {values.dtype}, and are stored as they are")
        writer.write_frames(frames, order, beside=beside())
        return
    if values.dtype.name not in contract.AMPLITUDES:
        expected = " or ".join(contract.AMPLITUDES)
        raise OptionError("store_counts", f"needs frames of {expected}; these are {values.dtype}")
    found = closest_recipe(values)
    for _ in range(_MOST_ATTEMPTS):
        if found.inexact:
            break
        try:
            writer.write_frames(frames, order, beside=beside(), recipe=found.recipe)
        except InexactError as error:
            values = np.append(values, error.amplitudes)
            found = closest_recipe(values)
        else:
            return
    raise _inexact(frames.rows(canonical_axes(order)), found.recipe, origin, frames.key)


def sample(frames: FrameStack) -> Array:
    """Return some elements from all over the frames; from the first ones, where rows come in order."""
    source = frames.rows(range(len(frames.shape))) if frames.as_stored is None else frames.as_stored()
    if not source.shape[0]:
        return np.empty(source.shape, source.dtype)
    row_bytes = max(1, math.prod(source.shape[1:]) * source.dtype.itemsize)
    rows = min(_MOST_SAMPLED_ROWS, max(1, _SAMPLED_BYTES // row_bytes))
    return sample_rows(source, 1, rows, _SAMPLED_BYTES)


def _inexact(source: RowSource, recipe: CountsRecipe, origin: Origin, key: str) -> SourceError:
    """Return the error that names the first pixel that a recipe does not give back."""
    row_bytes = math.prod(source.shape[1:]) * source.dtype.itemsize
    step = max(1, _CHECKED_BYTES // row_bytes)
    for window in windows_of(source, step):
        for first in window[::step]:
            block = np.empty((min(step, window.stop - first), *source.shape[1:]), source.dtype)
            source.read_into(first, memoryview(block).cast("B"))
            index = recipe.first_inexact(block)
            if index is not None:
                frame, row, column = map(int, np.unravel_index(index, block.shape))
                value = block[frame, row, column].item()
                place = f"frame {first + frame}, pixel row {row}, column {column}"
                return SourceError(origin, f"{value!r} in {place} is not {_expected(recipe, value)}", key=key)
    return SourceError(origin, "frames are not exact", key=key)


def _expected(recipe: CountsRecipe, value: float) -> str:
    """Say what a recipe gives, with an example near a value."""
    what = "a whole number" if recipe.root_dtype is None else "the square root of a whole number"
    if recipe.scaling is not None:
        joined = "divided by" if recipe.scaling == "divide" else "times"
        what = f"{what} {joined} {recipe.amplitude_scale:.9g}"
    count = recipe.nearest_count(value)
    if count is None:
        return what
    amplitude = recipe.to_amplitudes(np.array(count, contract.COUNTS[-1])).item()
    return f"{what}, such as {amplitude!r} for {count}"
