"""Photon counts, made from the frames of a scan in as many passes as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import counted, warn
from ptychoproduct.model.counts import InexactError
from ptychoproduct.model.gaps import Gaps
from ptychoproduct.model.patterns import AMPLITUDE, Patterns, choose_patterns


class PhotonCounts:
    """Makes photon counts from frames; pixels that hold no counts are bad, and zero, see `Gaps`.

    The caller reads all frames in passes, each of which begins with `begin`. If a pass finds values that do not fit the
    sample, `is_complete` is false, and another pass is needed.

    Parameters
    ----------
    shape : tuple of int
        Of the frames, [N, H, W].
    sample : array
        Elements of frames, by which the type of the counts is chosen.
    patterns_are : {"auto", "amplitude", "counts"}
        What frames hold, see `choose_patterns`.
    bad_values : sequence of float, optional
        See `DiffractionFile`.
    origin, key
        What messages call the frames.

    Raises
    ------
    OptionError
        It is not clear whether the frames are amplitudes or counts.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        sample: Array,
        patterns_are: str = "auto",
        bad_values: Sequence[float] | None = None,
        *,
        origin: Origin,
        key: str,
    ) -> None:
        self._shape = shape
        self._gaps = Gaps(shape[1:], bad_values)
        self._is_settled = False
        self._sample = self._gaps.without_marks(sample)
        self._patterns_are = patterns_are
        self._origin = origin
        self._key = key
        self._unfit: Array | None = None
        self._patterns = self._choose()
        self._first_sample = sample if sample.shape[1:] == shape[1:] else None

    @property
    def patterns(self) -> Patterns:
        """How counts are made in the pass that has begun last."""
        return self._patterns

    @property
    def is_complete(self) -> bool:
        """Whether the last pass has made all counts."""
        if self._unfit is None and not self._is_settled:  # with `_unfit`, the pass was cut short
            self._is_settled = self._gaps.settle()
        return self._unfit is None and self._is_settled

    @property
    def bad_pixels(self) -> Array:
        """The pixels that hold no counts, [H, W]; bool."""
        return self._gaps.mask

    def begin(self) -> np.dtype[Any]:
        """Begin a pass over the frames, and return the type of its counts."""
        if self._unfit is not None:
            self._sample = np.append(self._sample, self._unfit)
            self._unfit = None
            self._patterns = self._choose(self._patterns.scale)
        self._is_settled = False
        self._gaps.begin(self._sample.dtype, self._patterns.quantity == AMPLITUDE, self._first_sample)
        self._first_sample = None
        return self._patterns.dtype

    def fill(self, offset: tuple[int, ...], values: Array, counts: Array) -> bool:
        """Make the counts of a chunk, from any thread.

        Parameters
        ----------
        offset : tuple of int, (frame, pixel row, column)
            Where the chunk begins; it may reach beyond the frames.
        values, counts : array, [n, h, w]
            Those of the frames, and what is filled.

        Returns
        -------
        bool
            False where a value did not fit in this pass, from then on; the counts are zeros.
        """
        if self._unfit is None:
            inside = tuple(slice(0, size - first) for first, size in zip(offset, self._shape, strict=True))
            seen = values[inside]
            found = self._gaps.without_gaps(offset, seen)
            if found is not seen:
                values = np.zeros_like(values)
                values[inside] = found
            try:
                self._patterns.fill(values, counts)
            except InexactError as error:
                self._unfit = self._gaps.without_marks(error.amplitudes.reshape(-1))
            else:
                return True
        counts.fill(0)
        return False

    def told(self, known: Array) -> dict[str, int]:
        """Count the bad pixels of each mark, without those that are known to be bad."""
        return self._gaps.told(known)

    def warn_of_values(self, known: Array) -> None:
        """Warn of numbers that cannot be counts, or may mark bad pixels, without those that are known to be bad."""
        frames = f"{self._origin}: {self._key}"
        if self._gaps.zeroed:
            values = counted(self._gaps.zeroed, "negative, infinite or NaN value")
            warn(f"{frames}: found {values} in pixels that have counts in other frames; the patterns have 0 there")
        for mark, pixels in self._gaps.unclear(known).items():
            warn(
                f"{frames}: found {mark} in {counted(pixels, 'pixel')}, but not in every frame; it is kept as a count; "
                f"give --bad-values {mark} if it marks bad pixels, or --bad-values none if no number does"
            )

    def _choose(self, scale: float | None = None) -> Patterns:
        return choose_patterns(self._sample, self._patterns_are, self._origin, self._key, scale)
