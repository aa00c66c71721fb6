"""Finding the counts that amplitudes are square roots of, from a sample of them.

Without scaling there is little to find: the candidates are tried. With scaling, the smallest amplitude is the root of a
small count, which leaves a few lattices that the others may lie on. On the right one every amplitude is the root of a
whole number times one factor, and each of them bounds that factor: it must lie between the factors that would give the
edges of the interval which is rounded to the amplitude. What lies between the bounds is tried.

To try means to compute all amplitudes of the sample from their counts, and to compare bits.

With few amplitudes, a scale of many digits can be bent until it gives back a damaged one as well. So recipes are
weighed by what they need: digits of the scale, and digits to correct what they do not give back. The least is best.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.model import contract
from ptychoproduct.model.counts import LEAST_SCALE, MOST_SCALE, CountsRecipe

_MOST_LEAST = 4096  # the smallest amplitude may be the root of any count up to here
_LATTICE_VALUES = 64
_LATTICE_COUNT = 2**16  # up to here a float tells a count from the next with digits to spare
_LATTICE_TOLERANCE = 2.0**-20  # of a count: the rounding of three steps, squared
_MOST_LATTICES = 4
_MOST_SCALES = 33
_MOST_CHANCE = 0.01
_SCALE_BITS = {"float32": 24.0, "float64": 30.0}  # not 53: an amplitude of 24 bits tells no more
_ORDER_BITS = 4.0  # to say which of the orders with a scale it is
_ROUNDING_BITS = 7.0
_VALUE_BITS = 24.0
_FEW_ULP = 4
# With the right recipe few amplitudes are inexact; one with more is not tried to the end.
_MOST_INEXACT = 16


def recognise_counts(values: Array) -> CountsRecipe | None:
    """Find how amplitudes were computed from counts.

    Parameters
    ----------
    values : array, float32 or float64, any shape
        Some of the amplitudes. A sample of frames is enough, but the recipe has to be checked on the other frames.

    Returns
    -------
    CountsRecipe or None
        Gives back every value bit for bit, and has the smallest `count_dtype` that holds their counts. None where
        nothing was found, or the type is another.
    """
    if values.dtype.newbyteorder("=").name not in contract.AMPLITUDES:
        return None
    found = closest_recipe(values)
    return None if found.inexact else found.recipe


class Likeness(NamedTuple):
    """How well a recipe fits a sample.

    Parameters
    ----------
    recipe : CountsRecipe
    inexact : int
        How many different amplitudes of the sample it does not give back, at least.
    bits : float
        Bits that the scale, and the amplitudes that are not exact, take to write down.
    """

    recipe: CountsRecipe
    inexact: int
    bits: float


def closest_recipe(values: Array) -> Likeness:
    """Find the recipe that describes amplitudes, float32 or float64, in the fewest bits."""
    distinct = _distinct(values)
    tried: list[Likeness] = []
    for recipe in _candidates(distinct):
        tried.append(_likeness(recipe, distinct))
        if not tried[-1].inexact and recipe.scaling_dtype != "float64":  # for float64, another may have a rounder scale
            break
    return min(tried, key=lambda likeness: (likeness.bits, likeness.inexact))


def _distinct(values: Array) -> Array:
    """Return the different values, ascending, in native byte order; zeros of either sign are different."""
    array = np.sort(values.reshape(-1).astype(values.dtype.newbyteorder("="), copy=False))
    bits = array.view(f"u{array.itemsize}")
    return array[np.append(True, bits[1:] != bits[:-1])] if array.size else array


def _likeness(recipe: CountsRecipe, distinct: Array) -> Likeness:
    start, inexact, bits = 0, 0, _scale_bits(recipe) + _lattice_bits(recipe, distinct)
    while inexact < _MOST_INEXACT:
        index = recipe.first_inexact(distinct[start:])
        if index is None:
            break
        bits += _correction_bits(recipe, distinct[start + index])
        start += index + 1
        inexact += 1
    if not inexact:
        recipe = recipe.with_count_dtype(recipe.largest_count(distinct))
    return Likeness(recipe, inexact, bits)


def _scale_bits(recipe: CountsRecipe) -> float:
    """Return the bits of a scale: few where it is round, or the square root of a whole number."""
    if recipe.scaling_dtype is None:
        return 0.0
    scale = np.dtype(recipe.scaling_dtype).type(recipe.amplitude_scale)
    square = round(float(scale) ** 2)
    digits = len(np.format_float_scientific(scale, trim="-").split("e")[0].replace(".", ""))
    if square and scale == type(scale)(math.sqrt(square)):
        digits = min(digits, len(str(square)))
    return _ORDER_BITS + min(_SCALE_BITS[recipe.scaling_dtype], digits * math.log2(10))


def _lattice_bits(recipe: CountsRecipe, distinct: Array) -> float:
    """Return the bits of the count that a scale makes of the smallest amplitude."""
    amplitudes = _scalable(distinct)
    if recipe.scaling is None or not len(amplitudes):
        return 0.0
    return math.log2(max(1, recipe.nearest_count(float(amplitudes[0])) or 1))


def _correction_bits(recipe: CountsRecipe, amplitude: Any) -> float:
    """Return the bits that correct an amplitude: few where a recipe's is off by little, all of them elsewhere."""
    count = recipe.nearest_count(float(amplitude))
    if count is None:
        return _VALUE_BITS
    off = abs(recipe.to_amplitudes(np.array(count, contract.COUNTS[-1])) - amplitude)
    return _ROUNDING_BITS if off <= _FEW_ULP * np.spacing(amplitude) else _VALUE_BITS


def _candidates(distinct: Array) -> Iterator[CountsRecipe]:
    """Give recipes that may be the right one, the simplest first."""
    dtype = distinct.dtype.name
    for order in (contract.NO_OPERATION, "sqrt:float64", "sqrt:float32"):
        yield CountsRecipe(dtype, order)
    amplitudes = _scalable(distinct)
    if not len(amplitudes):
        return
    for power, roots in ((1, (None,)), (2, ("float32", "float64"))):
        for least in _lattices(amplitudes, power):
            for scaling, root, step in itertools.product(contract.AMPLITUDES, roots, ("divide", "multiply")):
                yield from _scaled(amplitudes, least, root, step, scaling)


def _scalable(distinct: Array) -> Array:
    """Return the amplitudes that a scale can be found from."""
    amplitudes: Array = distinct[(distinct > LEAST_SCALE) & (distinct < MOST_SCALE)]
    return amplitudes


def _lattices(amplitudes: Array, power: int) -> list[int]:
    """Return counts that the smallest amplitude may stand for, so that the others stand for whole numbers too."""
    some = amplitudes[:_LATTICE_VALUES].astype(np.float64)
    with np.errstate(over="ignore"):
        ratios = (some / some[0]) ** power
    least = np.arange(1, _MOST_LEAST + 1)
    counts = least[:, np.newaxis] * ratios
    known = counts < _LATTICE_COUNT
    near = np.abs(counts - np.rint(counts)) <= counts * _LATTICE_TOLERANCE
    # Nearly all: one damaged pixel does not hide what the others are.
    fits = (near & known).sum(axis=1) >= 0.9 * np.maximum(known.sum(axis=1), 1)
    found: list[int] = least[fits][:_MOST_LATTICES].tolist()
    return found


def _scaled(amplitudes: Array, least: int, root: str | None, step: str, scaling: str) -> Iterator[CountsRecipe]:
    """Give recipes with a scaling under which the smallest amplitude stands for `least` photons."""
    order = ",".join([*([f"sqrt:{root}"] if root else []), f"{step}:{scaling}"])
    values = amplitudes.astype(np.float64)
    unit = values[0] / (math.sqrt(least) if root else least)
    for largest in (_LATTICE_COUNT, np.iinfo(contract.COUNTS[-1]).max):
        counts = np.rint(values / unit) if root is None else np.rint((values / unit) ** 2)
        used = (counts > 0) & (counts <= largest)
        bounds = _scale_bounds(_roots(counts[used], root), amplitudes[used], step, scaling)
        middle = (bounds[0] + bounds[1]) / 2
        unit = middle if step == "multiply" else 1 / middle
    for scale in _scales_between(*bounds, scaling):
        if LEAST_SCALE <= scale <= MOST_SCALE:
            yield CountsRecipe(amplitudes.dtype.name, order, scale)


def _roots(counts: Array, root: str | None) -> Array:
    """Return what the scaling works on, as float64."""
    return counts if root is None else np.sqrt(counts.astype(root)).astype(np.float64)


def _scale_bounds(operands: Array, amplitudes: Array, step: str, scaling: str) -> tuple[float, float]:
    """Return the bounds of the scale that most amplitudes agree on: each is rounded from an interval around it."""
    rounded = amplitudes.astype(min(scaling, amplitudes.dtype.name))  # "float32" < "float64"
    half = np.spacing(rounded).astype(np.float64) / 2
    low, high = amplitudes - half, amplitudes + half
    if step == "multiply":
        lows, highs = np.sort(low / operands), np.sort(high / operands)
    else:
        lows, highs = np.sort(operands / high), np.sort(operands / low)
    # Number of intervals that are open where one begins: those begun less those ended.
    depth = np.arange(1, len(lows) + 1) - np.searchsorted(highs, lows, side="left")
    deepest = int(np.argmax(depth))
    return float(lows[deepest]), float(highs[np.searchsorted(highs, lows[deepest], side="left")])


def _scales_between(low: float, high: float, dtype: str) -> Iterator[float]:
    """Give numbers of a type between bounds: all where there are few, else a round one and the middle."""
    kind = np.dtype(dtype).type
    middle = float(kind((low + high) / 2))
    spacing = float(np.spacing(kind(middle)))
    if high - low > spacing * _MOST_SCALES:
        yield from _round_numbers_between(low, high)
        yield from map(math.sqrt, _round_numbers_between(low * low, high * high))
        yield middle
        return
    # The bounds have been rounded themselves.
    reach = math.ceil((high - low) / 2 / spacing) + 2
    for distance in sorted(range(-reach, reach + 1), key=abs):
        yield float(kind(middle + distance * spacing))


def _round_numbers_between(low: float, high: float) -> Iterator[float]:
    """Give the number with the fewest decimal digits, if these are so few that it is no coincidence."""
    middle = (low + high) / 2
    for digits in range(1, 17):
        if (high - low) / middle * 10**digits > _MOST_CHANCE:
            return
        number = float(f"{middle:.{digits}g}")
        if low <= number <= high:
            yield number
            return
