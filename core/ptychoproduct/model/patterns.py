"""Diffraction patterns as ptychodus wants them, in photon counts, made from amplitudes or counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import OptionError
from ptychoproduct.model import contract
from ptychoproduct.model.ascending import distinct
from ptychoproduct.model.count_recognition import recognise_counts
from ptychoproduct.model.counts import CountsRecipe

AMPLITUDE, COUNTS = "amplitude", "counts"
PATTERN_CHOICES = ("auto", AMPLITUDE, COUNTS)

# Counts outside a sample may be larger; one that does not fit the type costs a pass over all frames.
_HEADROOM = 4
_MOST_COUNT = 2**32 - 1
# The share of a sample's distinct numbers that decides what it holds; some pixels may be damaged.
_MOST = 0.9
# Beyond this share of a float's digits, whole numbers and their roots do not stand out.
_MOST_TOLD = 1 / 8
_SAME_SCALE = 1e-3


@dataclass(frozen=True)
class Patterns:
    """How photon counts are made from frames.

    Parameters
    ----------
    quantity : {"amplitude", "counts"}
        What the frames hold.
    dtype : numpy.dtype
        Of the patterns.
    recipe : CountsRecipe, optional
        How floats were computed from whole counts, which are stored then. Without it floats are stored as float32,
        squared where they are amplitudes, and integers as they are.
    """

    quantity: str
    dtype: np.dtype[Any]
    recipe: CountsRecipe | None = None

    @property
    def scale(self) -> float | None:
        """The factor by which the frames were normalised; None where they were not."""
        return None if self.recipe is None or self.recipe.scaling is None else self.recipe.amplitude_scale

    def fill(self, values: Array, patterns: Array) -> None:
        """Make patterns from elements of frames.

        Parameters
        ----------
        values : array
            In C order.
        patterns : array of dtype
            Of the same shape, in C order.

        Raises
        ------
        InexactError
            A value does not fit the recipe, or its count is too large for the type.
        """
        if self.recipe is not None:
            self.recipe.fill_counts(values, patterns)
        elif self.quantity == AMPLITUDE:
            with np.errstate(over="ignore", invalid="ignore"):  # signs are gone modulo 2^32, too
                np.multiply(values, values, out=patterns, dtype=self.dtype, casting="unsafe")
        else:
            np.copyto(patterns, values, casting="same_kind")


def choose_patterns(sample: Array, quantity: str, origin: Origin, key: str, scale: float | None = None) -> Patterns:
    """Choose how patterns are made from frames that are like a sample.

    Integers are counts. Floats are counts where most of them are whole numbers, and amplitudes where most are square
    roots of whole numbers. Failing that, they are what `recognise_counts` finds: amplitudes or counts that were
    normalised by one factor.

    Parameters
    ----------
    sample : array
        Elements of frames.
    quantity : {"auto", "amplitude", "counts"}
        What they are, where that is known.
    origin, key
        Names for the messages.
    scale : float, optional
        The factor by which a smaller sample was normalised; a different one is not accepted.

    Raises
    ------
    OptionError
        It is not given, and cannot be recognised.
    """
    dtype = sample.dtype.newbyteorder("=")
    if dtype.kind in "biu":
        return _of_integers(dtype, quantity)
    operations = {COUNTS: (contract.NO_OPERATION,), AMPLITUDE: ("sqrt:float64", "sqrt:float32")}
    for name in (COUNTS, AMPLITUDE) if quantity == "auto" else (quantity,):
        recipes = (CountsRecipe(dtype.name, order) for order in operations[name] if dtype.name in contract.AMPLITUDES)
        exact = next((recipe for recipe in recipes if recipe.first_inexact(sample) is None), None)
        if _are_mostly(sample, name) or (exact is not None and quantity == name):
            return _of_floats(name, exact, sample)
    recipe = recognise_counts(sample)
    if recipe is not None and recipe.scaling is not None:
        found = COUNTS if recipe.root_dtype is None else AMPLITUDE
        same = scale is None or abs(recipe.amplitude_scale - scale) <= _SAME_SCALE * scale
        if same and quantity in ("auto", found):
            return _of_floats(found, recipe, sample)
    if quantity == "auto":
        problem = f"{key} ({dtype}) holds neither whole numbers nor square roots of them; give amplitude or counts"
        raise OptionError("patterns_are", problem, file=origin)
    return _of_floats(quantity, None, sample)


def _are_mostly(sample: Array, quantity: str) -> bool:
    """Whether most numbers that are small enough for floats to tell are whole, or roots of whole numbers."""
    with np.errstate(all="ignore"):
        values = distinct(sample).astype(np.float64)
        counts = values if quantity == COUNTS else np.square(values)
        known = (values >= 0) & (counts < _MOST_TOLD / np.finfo(sample.dtype).eps)
        values, counts = values[known], np.rint(counts[known])
        whole = values == counts if quantity == COUNTS else values.astype(sample.dtype) == _roots(counts, sample.dtype)
    return bool(whole.size and np.count_nonzero(whole) >= _MOST * whole.size)


def _roots(counts: Array, dtype: np.dtype[Any]) -> Array:
    roots: Array = np.sqrt(counts).astype(dtype)
    return roots


def _of_floats(quantity: str, recipe: CountsRecipe | None, sample: Array) -> Patterns:
    if recipe is None:
        return Patterns(quantity, np.dtype(np.float32))
    largest = max(recipe.largest_count(sample), np.iinfo(np.uint8).max + 1)
    recipe = recipe.with_count_dtype(min(_HEADROOM * largest, _MOST_COUNT))
    return Patterns(quantity, np.dtype(recipe.count_dtype), recipe)


def _of_integers(dtype: np.dtype[Any], quantity: str) -> Patterns:
    if dtype.kind == "b":
        return Patterns(COUNTS, np.dtype(np.uint8))
    if quantity == AMPLITUDE:
        return Patterns(AMPLITUDE, np.dtype(np.uint32) if dtype.itemsize <= 2 else np.dtype(np.float32))
    return Patterns(COUNTS, dtype)
