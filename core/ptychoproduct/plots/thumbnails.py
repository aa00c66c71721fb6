"""A product in a few hundred pixels, for a terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import counted
from ptychoproduct.plots.mean_pattern import mean_pattern

if TYPE_CHECKING:
    from ptychoproduct.product.reader import Product

_DECADES = 4


@dataclass(frozen=True)
class Thumbnail:
    """A small picture.

    Parameters
    ----------
    title : str
    values : array, [rows, columns], float64
        From 0 to 1; NaN where there is nothing to show.
    is_cyclic : bool
        Whether 0 and 1 are the same.
    """

    title: str
    values: Array
    is_cyclic: bool


def product_thumbnails(product: Product, most_rows: int, most_columns: int) -> list[Thumbnail]:
    """Draw the phase of the object's first layer, and the mean pattern on a logarithmic scale.

    Parameters
    ----------
    product : Product
        Open; frames are read, a few hundred at most.
    most_rows, most_columns : int
        Size of a picture, in pixels that are square.

    Raises
    ------
    ContractError
        A frame cannot be read.
    """
    thumbnails = []
    layer = product.object[0] if product.object.ndim == 3 and len(product.object) else product.object
    if layer.ndim == 2 and layer.size:
        pixel_m = product.meta.object_pixel_width_m
        width = "" if pixel_m is None else f", {layer.shape[1] * pixel_m * 1e6:.3g} µm wide"
        thumbnails.append(_phase(np.angle(shrunk(layer, most_rows, most_columns)), width))
    frames = product.frames
    if frames is not None and 0 not in frames.shape:
        mean = mean_pattern(frames)
        sampled = "" if mean.frames_used == mean.frames else f"{mean.frames_used} of "
        title = f"mean of {sampled}{counted(mean.frames, 'frame')}, {_DECADES} decades"
        thumbnails.append(Thumbnail(title, _decades(shrunk(mean.values, most_rows, most_columns)), is_cyclic=False))
    return thumbnails


def _phase(phases: Array, width: str) -> Thumbnail:
    """Map phases to 0 to 1: the whole circle, or the range of a weak object's phase, which would be one colour else."""
    finite = phases[np.isfinite(phases)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if high - low > math.pi:
        return Thumbnail(f"object phase, -π to π{width}", phases / (2 * math.pi) + 0.5, is_cyclic=True)
    title = f"object phase, {low:.2g} to {high:.2g} rad{width}"
    return Thumbnail(title, (phases - low) / ((high - low) or 1.0), is_cyclic=False)


def shrunk(image: Array, most_rows: int, most_columns: int) -> Array:
    """Average an image over blocks of pixels, so that it keeps its proportions and fits; small ones stay as they are.

    Parameters
    ----------
    image : array, [rows, columns], not empty
    most_rows, most_columns : int
    """
    factor = max(1.0, image.shape[0] / most_rows, image.shape[1] / most_columns)
    means = image.astype(np.result_type(image.dtype, np.float64))
    for axis, length in enumerate(image.shape):
        starts = np.linspace(0, length, max(1, round(length / factor)), endpoint=False).astype(int)
        sums = np.add.reduceat(means, starts, axis)
        means = sums / np.diff(np.append(starts, length)).reshape((-1, 1) if axis == 0 else (1, -1))
    return means


def _decades(pattern: Array) -> Array:
    """Map values to 0 to 1, on a logarithmic scale below the highest one."""
    finite = pattern[np.isfinite(pattern)]
    high = finite.max() if finite.size else 0.0
    if high <= 0:
        return np.zeros(pattern.shape)
    logarithms = np.log10(np.maximum(pattern / high, 10.0**-_DECADES))
    return 1 + logarithms / _DECADES
