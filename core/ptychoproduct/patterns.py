"""Diffraction patterns as ptychodus wants them, in photon counts, made from frames of either quantity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ptychoproduct.counts import CountsRecipe
from ptychoproduct.errors import OptionError
from ptychoproduct.inputs import Origin
from ptychoproduct.recognition import recognise_counts

Array = np.ndarray[Any, Any]

AMPLITUDE, COUNTS = "amplitude", "counts"
PATTERN_CHOICES = ("auto", AMPLITUDE, COUNTS)

# What is not in a sample may be larger; a pass over all frames is lost where it does not fit.
_HEADROOM = 4
_MOST_COUNT = 2**32 - 1


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
            A value is no whole count by the recipe, or of a larger one than the type holds.
        """
        if self.recipe is not None:
            self.recipe.fill_counts(values, patterns)
        elif self.quantity == AMPLITUDE:
            with np.errstate(over="ignore", invalid="ignore"):  # signs are gone modulo 2^32, too
                np.multiply(values, values, out=patterns, dtype=self.dtype, casting="unsafe")
        else:
            np.copyto(patterns, values, casting="same_kind")


def choose_patterns(sample: Array, quantity: str, origin: Origin, key: str) -> Patterns:
    """Choose how patterns are made from frames that are like a sample.

    Integers are counts. Floats that are whole numbers are counts, too, and those that are exactly what some program
    makes of the square roots of whole numbers are amplitudes: see `recognise_counts`.

    Parameters
    ----------
    sample : array
        Elements of frames.
    quantity : {"auto", "amplitude", "counts"}
        What they are, where that is known.
    origin, key
        Names for the messages.

    Raises
    ------
    OptionError
        It is not known, and cannot be told.
    """
    dtype = sample.dtype.newbyteorder("=")
    if dtype.kind in "biu":
        return _of_integers(dtype, quantity)
    recipe = recognise_counts(sample)
    if recipe is not None:
        found = COUNTS if recipe.root_dtype is None else AMPLITUDE
        # Zeros and ones are their own roots.
        if quantity in ("auto", found) or not (sample.astype(bool) != sample).any():
            recipe = recipe.with_count_dtype(min(_HEADROOM * max(recipe.largest_count(sample), 256), _MOST_COUNT))
            return Patterns(found if quantity == "auto" else quantity, np.dtype(recipe.count_dtype), recipe)
    if quantity == "auto":
        raise OptionError(
            origin,
            key=key,
            found=f"{dtype} of which neither the values nor the squares are all whole numbers",
            expected="--patterns-are amplitude, or counts",
        )
    return Patterns(quantity, np.dtype(np.float32))


def _of_integers(dtype: np.dtype[Any], quantity: str) -> Patterns:
    if dtype.kind == "b":
        return Patterns(COUNTS, np.dtype(np.uint8))
    if quantity == AMPLITUDE:
        return Patterns(AMPLITUDE, np.dtype(np.uint32) if dtype.itemsize <= 2 else np.dtype(np.float32))
    return Patterns(COUNTS, dtype)
