"""What an index expression asks for, and which part of which chunk that is."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import counted

Part = slice | Array


@dataclass(frozen=True)
class Selection:
    """The elements that an index expression asks for, axis by axis.

    Parameters
    ----------
    axes : tuple of range or array
        The indexes along each axis, none negative. Only the first may be an array: of any order, repeats allowed.
    dropped : tuple of bool
        Which axes were given as one number, and are dropped from the result.
    """

    axes: tuple[range | Array, ...]
    dropped: tuple[bool, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return tuple(len(axis) for axis, dropped in zip(self.axes, self.dropped, strict=True) if not dropped)

    def with_all_axes(self, result: Array) -> Array:
        """Return a view of the result that has the dropped axes too."""
        return result[tuple(np.newaxis if dropped else slice(None) for dropped in self.dropped)]


@dataclass(frozen=True)
class Piece:
    """What one chunk holds of a selection.

    Parameters
    ----------
    offset : tuple of int
        Index of the chunk's first element.
    destination, source : tuple
        Where the elements go in the result with all axes, and where they are in the chunk: slices, or for the first
        axis arrays of indexes of one length.
    """

    offset: tuple[int, ...]
    destination: tuple[Part, ...]
    source: tuple[Part, ...]

    @property
    def rows(self) -> slice:
        """The rows of the chunk from the first to the last that the selection has."""
        rows = self.source[0]
        return slice(rows.start, rows.stop) if isinstance(rows, slice) else slice(int(rows.min()), int(rows.max()) + 1)

    def place(self, chunk_shape: tuple[int, ...], result: Array) -> Array | None:
        """Return where all elements of the chunk go, a view of the result in C order; None where they go elsewhere."""
        rows = _as_slice(self.destination[0]), _as_slice(self.source[0])
        if rows[0] is None or rows[1] is None:
            return None
        place: Array = result[(rows[0], *self.destination[1:])]
        return place if place.shape == chunk_shape and place.flags.c_contiguous else None

    def copy(self, chunk: Array, result: Array) -> None:
        """Copy the elements from the decoded chunk to the result, whose type may be another one."""
        to_rows, from_rows = self.destination[0], self.source[0]
        if isinstance(to_rows, slice) or isinstance(from_rows, slice):
            result[self.destination] = chunk[self.source]
            return
        for to_row, from_row in zip(to_rows.tolist(), from_rows.tolist(), strict=True):
            result[(to_row, *self.destination[1:])] = chunk[(from_row, *self.source[1:])]


def select(index: Any, shape: tuple[int, ...]) -> Selection | None:
    """Understand an index expression.

    Parameters
    ----------
    index : int, slice, ellipsis, list or array of int or bool, or a tuple of these
        A list, an array or a mask is understood on the first axis only.
    shape : tuple of int
        Of the array.

    Returns
    -------
    Selection or None
        None for any other expression.

    Raises
    ------
    IndexError
        A number is out of range, a mask is not as long as the axis, or there are more indexes than axes.
    """
    entries = list(index) if isinstance(index, tuple) else [index]
    ellipses = [place for place, entry in enumerate(entries) if entry is Ellipsis]
    if len(ellipses) > 1:
        return None
    missing = len(shape) - (len(entries) - len(ellipses))
    if missing < 0:
        raise IndexError(f"{len(entries)} indexes for an array of {counted(len(shape), 'dimension')}")
    place = ellipses[0] if ellipses else len(entries)
    entries[place : place + len(ellipses)] = [slice(None)] * missing
    axes: list[range | Array] = []
    dropped = []
    for axis, (entry, length) in enumerate(zip(entries, shape, strict=True)):
        selected = _select_axis(entry, length, axis)
        if selected is None:
            return None
        axes.append(selected)
        dropped.append(_is_number(entry))
    return Selection(tuple(axes), tuple(dropped))


def pieces(selection: Selection, chunk_shape: Sequence[int]) -> Iterator[Piece]:
    """Give the parts of a selection, chunk by chunk, each chunk once."""
    first, *others = selection.axes
    length = chunk_shape[0]
    rows = _parts_of_range(first, length) if isinstance(first, range) else _parts_of_list(first, length)
    inner = [
        list(_parts_of_range(axis, length))
        for axis, length in zip(others, chunk_shape[1:], strict=True)
        if isinstance(axis, range)
    ]
    for outermost in rows:
        for parts in itertools.product([outermost], *inner):
            offset, destination, source = zip(*parts, strict=True)
            yield Piece(offset, destination, source)


def _as_slice(rows: Part) -> slice | None:
    """Return ascending indexes, one after the other, as a slice; None for others."""
    if isinstance(rows, slice):
        return rows
    first = int(rows[0])
    return slice(first, first + len(rows)) if len(rows) == 1 or (np.diff(rows) == 1).all() else None


def _is_number(entry: Any) -> bool:
    return not isinstance(entry, (bool, np.bool_)) and hasattr(entry, "__index__") and np.ndim(entry) == 0


def _select_axis(entry: Any, length: int, axis: int) -> range | Array | None:
    if isinstance(entry, slice):
        return range(*entry.indices(length))
    if _is_number(entry):
        number = operator.index(entry)
        if not -length <= number < length:
            raise IndexError(f"index {number} is out of range for axis {axis} of length {length}")
        number %= length
        return range(number, number + 1)
    if axis or not isinstance(entry, (list, np.ndarray, range)):
        return None
    return _select_numbers(np.asarray(entry), length)


def _select_numbers(numbers: Array, length: int) -> Array | None:
    """Return the rows that a list of numbers or a mask asks for."""
    if numbers.ndim != 1:
        return None
    if numbers.dtype == bool:
        if len(numbers) != length:
            raise IndexError(f"mask of length {len(numbers)} for an axis of length {length}")
        return np.flatnonzero(numbers)
    if not numbers.size:
        return np.empty(0, np.intp)
    if numbers.dtype.kind not in "iu":
        raise IndexError(f"indexes must be integers or a mask, not {numbers.dtype}")
    if numbers.min() < -length or numbers.max() >= length:
        worst = numbers.min() if numbers.min() < -length else numbers.max()
        raise IndexError(f"index {worst} is out of range for axis 0 of length {length}")
    numbers = numbers.astype(np.intp)
    return np.where(numbers < 0, numbers + length, numbers)


def _parts_of_range(wanted: range, length: int) -> Iterator[tuple[int, slice, slice]]:
    """Give, for each chunk along an axis, its first index, and where its elements go and are."""
    count = len(wanted)
    if not count:
        return
    ascending = wanted if wanted.step > 0 else wanted[::-1]
    done = 0
    while done < count:
        offset = ascending[done] // length * length
        end = min(count, done + -((ascending[done] - offset - length) // ascending.step))
        first, last = ascending[done] - offset, ascending[end - 1] - offset
        source = slice(first, last + 1, ascending.step)
        if wanted.step > 0:
            yield offset, slice(done, end), source
        else:
            yield offset, slice(count - 1 - done, count - 1 - end if end < count else None, -1), source
        done = end


def _parts_of_list(wanted: Array, length: int) -> Iterator[tuple[int, Array, Array]]:
    """Do the same for indexes in any order; elements of one chunk come together."""
    order = np.argsort(wanted, kind="stable")
    chunks = wanted[order] // length
    starts = np.flatnonzero(np.diff(chunks, prepend=-1))
    for start, end in itertools.pairwise([*starts.tolist(), len(order)]):
        offset = int(chunks[start]) * length
        yield offset, order[start:end], wanted[order[start:end]] - offset
