"""Values that are not counts: gaps between a detector's modules, dead pixels, and invalid results of computations.

Detectors mark a gap with the largest number of a type, or one below it, with a negative one, or NaN. Such a pixel has
the mark in every frame; one that has it in some frames only may just have counted very many photons.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array

_MARKING_BITS = (16, 31, 32)


def usual_marks(dtype: np.dtype[Any], roots: bool | None = False) -> tuple[float, ...]:
    """Return the numbers, of those that are not negative, by which detectors mark bad pixels.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the frames.
    roots : bool or None
        Whether frames are square roots of counts; None for the numbers and their roots.
    """
    if dtype.kind == "b":
        return ()
    largest = [2**bits - below for bits in _MARKING_BITS for below in (1, 2)]
    if dtype.kind in "iu":
        most = int(np.iinfo(dtype).max)
        return (most, *(mark for mark in largest if mark < most))
    with np.errstate(over="ignore"):
        plain, root = (tuple(values.astype(dtype).tolist()) for values in (np.array(largest), np.sqrt(largest)))
    return (*(() if roots else plain), *(() if roots is False else root))


def are_no_counts(values: Array) -> Array:
    """Tell for each number whether it is NaN, infinite or negative."""
    invalid: Array = values < 0
    return ~((values >= 0) & (values < np.inf)) if values.dtype.kind == "f" else invalid


def have_marks(values: Array, marks: Sequence[float]) -> Array:
    """Tell for each number whether it is one of the marks; NaN is the same as NaN."""
    found = np.zeros(values.shape, np.bool_)
    for mark in marks:
        found |= np.isnan(values) if np.isnan(mark) else values == mark
    return found


class Gaps:
    """Pixels whose values show that they are bad, found in a pass over the frames.

    Parameters
    ----------
    frame_shape : tuple of int, (H, W)
    given_marks : sequence of float, optional
        A pixel that has one of these in any frame is bad. By default, a pixel is bad that has no count, or one of
        `usual_marks`, in every frame.

    Attributes
    ----------
    mask : array, [H, W], bool
        The pixels that are taken as bad in this pass.
    zeroed : int
        How many values of other pixels were not counts in this pass.
    """

    def __init__(self, frame_shape: tuple[int, ...], given_marks: Sequence[float] | None = None) -> None:
        self.mask: Array = np.zeros(frame_shape, np.bool_)
        self._given = None if given_marks is None else tuple(given_marks)
        self._lock = Lock()
        self._marks: tuple[float, ...] = ()
        self._forget()

    def _forget(self) -> None:
        self._always = np.ones(self.mask.shape, np.bool_)
        self._ever = np.zeros(self.mask.shape, np.bool_)
        self._values = np.zeros(self.mask.shape)
        self.zeroed = 0

    def without_marks(self, sample: Array) -> Array:
        """Return the elements of a sample that may be counts; a single zero where there are none."""
        marks = usual_marks(sample.dtype, None) if self._given is None else self._given
        counts = sample[~(are_no_counts(sample) | have_marks(sample, marks))]
        return counts if counts.size else np.zeros(1, sample.dtype)

    def begin(self, dtype: np.dtype[Any], roots: bool, sample: Array | None = None) -> None:
        """Begin a pass over frames, with the mask of a sample or of the pass before.

        Parameters
        ----------
        dtype : numpy.dtype
            Of the frames.
        roots : bool
            Whether they are square roots of counts.
        sample : array, [n, H, W], optional
            Some frames.
        """
        self._marks = usual_marks(dtype, roots) if self._given is None else self._given
        self._forget()
        if sample is not None:
            self._look((slice(None),) * 2, sample, are_no_counts(sample))
            self.settle()
            self._forget()

    def without_gaps(self, offset: tuple[int, ...], values: Array) -> Array:
        """Return a chunk of frames with zeros for what is not a count, and remember which pixels had marks.

        Parameters
        ----------
        offset : tuple of int, (frame, pixel row, column)
            Where the chunk begins.
        values : array, [n, h, w]

        Returns
        -------
        array, [n, h, w]
            `values` itself where all are counts.
        """
        region = tuple(slice(first, first + size) for first, size in zip(offset[1:], values.shape[1:], strict=True))
        if values.min() >= 0 and values.max() < min(self._marks, default=np.inf) and not self.mask[region].any():
            with self._lock:
                self._always[region] = False
            return values
        invalid = are_no_counts(values)
        self._look(region, values, invalid)
        bad = invalid | self.mask[region]
        if not bad.any():
            return values
        with self._lock:
            self.zeroed += int(np.count_nonzero(invalid & ~self.mask[region]))
        counts: Array = np.where(bad, values.dtype.type(0), values)
        return counts

    def _look(self, region: tuple[slice, ...], values: Array, invalid: Array) -> None:
        marked = have_marks(values, self._marks)
        if self._given is None:
            marked |= invalid
        always, ever = marked.all(axis=0), marked.any(axis=0)
        first = np.take_along_axis(values, marked.argmax(axis=0)[np.newaxis], axis=0)[0]
        with self._lock:
            self._always[region] &= always
            self._ever[region] |= ever
            self._values[region][ever] = first[ever]

    def settle(self) -> bool:
        """Make `mask` the pixels that the pass has shown to be bad; return whether it was that already."""
        found = self._always if self._given is None else self._ever
        same = np.array_equal(found, self.mask)
        self.mask = found.copy()
        return same

    def told(self, known: Array) -> dict[str, int]:
        """Count the bad pixels of each mark, without those that are known to be bad."""
        return self._counted(self.mask & ~known)

    def unclear(self, known: Array) -> dict[str, int]:
        """Count the pixels that have a mark in some frames only, and are stored as counts."""
        some = self._ever & ~self.mask & ~known & ~are_no_counts(self._values)
        return self._counted(some)

    def _counted(self, pixels: Array) -> dict[str, int]:
        marks, counts = np.unique(self._values[pixels], return_counts=True)
        return {f"{mark:.10g}": int(count) for mark, count in zip(marks, counts, strict=True)}
