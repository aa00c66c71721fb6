"""Amplitudes that are square roots of counts: the recipe from one to the other, exact to the last bit.

A recipe is what the program did that made the amplitudes: which steps, in which order and precision. IEEE 754 fixes the
result of each step, so that the same counts give the same amplitudes on every machine. Its attributes in a product are
described in ``specs/data_contracts.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError
from ptychoproduct.model import contract
from ptychoproduct_native import CountSteps

# Far from the limits of floats, so that no step can overflow or lose digits.
LEAST_SCALE, MOST_SCALE = 1e-30, 1e30


class InexactError(ValueError):
    """An amplitude that no count gives, or only a count that the type does not hold.

    Parameters
    ----------
    amplitudes : array
        What was to be converted.
    index : int
        Which of them it is, counted in C order.
    """

    def __init__(self, amplitudes: Array, index: int) -> None:
        self.amplitudes = amplitudes
        self.index = index
        super().__init__(f"{amplitudes.reshape(-1)[index]!r} is not exact")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.amplitudes, self.index)


@dataclass(frozen=True)
class CountsRecipe:
    """How amplitudes were computed from counts.

    Parameters
    ----------
    amplitude_dtype : {"float32", "float64"}
        Type of the amplitudes.
    operation_order : str
        Steps from a count to an amplitude, such as ``sqrt:float64`` or ``sqrt:float32,divide:float32``; ``none`` where
        the amplitude is the count itself.
    amplitude_scale : float
        What the last step divides by, or multiplies with; 1.0 without such a step.
    count_dtype : {"uint8", "uint16", "uint32"}
        Type that the counts are stored in.
    quantity : {"counts"}
        What is stored.

    Raises
    ------
    OptionError
        A value is not understood.
    """

    amplitude_dtype: str
    operation_order: str = "sqrt:float64"
    amplitude_scale: float = 1.0
    count_dtype: str = contract.COUNTS[-1]
    quantity: str = contract.QUANTITIES[0]

    def __post_init__(self) -> None:
        for name, choices in (
            ("quantity", contract.QUANTITIES),
            ("amplitude_dtype", contract.AMPLITUDES),
            ("operation_order", contract.OPERATION_ORDERS),
            ("count_dtype", contract.COUNTS),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise OptionError(name, found=repr(value), expected=f"one of {'; '.join(choices)}")
        scale = self.amplitude_scale
        if not LEAST_SCALE <= scale <= MOST_SCALE:
            raise OptionError("amplitude_scale", found=str(scale), expected=f"{LEAST_SCALE:g} to {MOST_SCALE:g}")
        if self.scaling is None and scale != 1:
            raise OptionError("amplitude_scale", f"is {scale}; it must be 1.0 for {self.operation_order!r}")

    @cached_property
    def root_dtype(self) -> str | None:
        """Precision of the square root, None where there is none."""
        return self._steps.get("sqrt")

    @cached_property
    def scaling(self) -> str | None:
        """The last step, "divide" or "multiply"; None where nothing is scaled."""
        return next((step for step in self._steps if step in ("divide", "multiply")), None)

    @cached_property
    def scaling_dtype(self) -> str | None:
        """Precision of the scaling, None where there is none."""
        return self._steps.get(self.scaling or "")

    def fill_counts(self, amplitudes: Array, counts: Array) -> None:
        """Find the counts of amplitudes, each of which is checked to come back bit for bit.

        Parameters
        ----------
        amplitudes : array of amplitude_dtype
            In C order.
        counts : array of count_dtype
            Of the same shape, in C order.

        Raises
        ------
        InexactError
            No count gives an amplitude, or only a larger one than `count_dtype` holds.
        OptionError
            The amplitudes have another type than those of the recipe.
        """
        if amplitudes.dtype != self.amplitude_dtype:
            raise OptionError("amplitude_dtype", f"is {self.amplitude_dtype}, but the frames are {amplitudes.dtype}")
        exact, largest = self._native.counts(amplitudes, counts)
        most = np.iinfo(counts.dtype).max
        if exact == amplitudes.size and largest > most:
            exact = int(np.argmax(self.with_count_dtype(largest).to_counts(amplitudes) > most))
        if exact < amplitudes.size:
            raise InexactError(amplitudes, exact)

    def convert(self, offset: tuple[int, ...], amplitudes: Array, counts: Array) -> None:  # noqa: ARG002
        """Do what `fill_counts` does; see `chunk_stream.Convert`."""
        self.fill_counts(amplitudes, counts)

    def to_counts(self, amplitudes: Array) -> Array:
        """Return the counts of amplitudes, of the same shape.

        Raises
        ------
        InexactError, OptionError
            See `fill_counts`.
        """
        amplitudes = np.ascontiguousarray(amplitudes, amplitudes.dtype.newbyteorder("="))
        counts = np.empty(amplitudes.shape, self.count_dtype)
        self.fill_counts(amplitudes, counts)
        return counts

    def to_amplitudes(self, counts: Array) -> Array:
        """Return the amplitudes of counts, of the same shape.

        Parameters
        ----------
        counts : array
            Of any of the types of counts, any strides and byte order.
        """
        amplitudes = np.empty(counts.shape, self.amplitude_dtype)
        self._native.amplitudes(np.ascontiguousarray(counts, counts.dtype.newbyteorder("=")), amplitudes)
        return amplitudes

    def first_inexact(self, amplitudes: Array) -> int | None:
        """Return the index, in C order, of the first amplitude that no count gives; None where there is none.

        Parameters
        ----------
        amplitudes : array of amplitude_dtype
            In C order.
        """
        exact, _ = self._native.counts(amplitudes)
        return None if exact == amplitudes.size else exact

    def largest_count(self, amplitudes: Array) -> int:
        """Return the largest of the counts of amplitudes that are all exact."""
        return self._native.counts(amplitudes)[1]

    def nearest_count(self, amplitude: float) -> int | None:
        """Return a count whose amplitude is near to a number; None where there is none."""
        scale = self.amplitude_scale
        root = amplitude * scale if self.scaling == "divide" else amplitude / scale
        count = root if self.root_dtype is None else root * root
        return round(count) if amplitude >= 0 and count <= np.iinfo(contract.COUNTS[-1]).max else None

    def with_count_dtype(self, largest: int) -> CountsRecipe:
        """Return the recipe with the smallest type that holds a count."""
        dtype = next(name for name in contract.COUNTS if largest <= np.iinfo(name).max)
        return CountsRecipe(self.amplitude_dtype, self.operation_order, self.amplitude_scale, dtype, self.quantity)

    @cached_property
    def _steps(self) -> dict[str, str]:
        """Precisions of the steps, by step."""
        steps = self.operation_order.split(",") if self.operation_order != contract.NO_OPERATION else []
        return dict(step.split(":") for step in steps)

    @cached_property
    def _native(self) -> CountSteps:
        return CountSteps(self.root_dtype, self.scaling, self.scaling_dtype or "float64", self.amplitude_scale)
