"""Rows of a dataset that no file holds: HDF5 gives the fill value in their place, without a word."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.hdf5.chunks import ChunkIndex

_MOST_RUNS = 4  # of rows that a message names
_MOST_FILES = 16  # that are named
_UNLIMITED = h5py.h5s.UNLIMITED % 2**64
OpenSource = Callable[[h5py.Dataset, str, str], AbstractContextManager[h5py.Dataset | None]]


class Gap(NamedTuple):
    """Rows that are not there, at least not whole.

    Parameters
    ----------
    rows : array of bool, [N]
    where : str
        The file that should have them, and how they are missing in it: "are not in raw.bin".
    fill : number
        What HDF5 gives in their place.
    """

    rows: Array
    where: str
    fill: Any

    @property
    def filling(self) -> str:
        """What takes the place of the rows."""
        return str(self.fill) if np.any(self.fill) else "zeros"

    def missing(self, what: str) -> str:
        """Say which rows are missing, and where."""
        return f"{what} {numbers_of(self.rows)} {self.where}"

    def instead(self, what: str) -> str:
        """Say which rows are missing, and what takes their place."""
        return f"{self.missing(what)}, {self.filling} {'takes' if np.any(self.fill) else 'take'} their place"


def gaps_of(dataset: h5py.Dataset, axis: int = 0, open_source: OpenSource | None = None) -> list[Gap]:
    """Find the rows along an axis that HDF5 would make up.

    Parameters
    ----------
    dataset : h5py.Dataset
    axis : int
        That of the rows.
    open_source : callable, optional
        Opens what a virtual dataset names, given the dataset, a file and a dataset in it; gives None where there is no
        such file.
    """
    if not dataset.shape or not dataset.size:
        return []
    if dataset.is_virtual:
        assert open_source is not None
        return _VirtualGaps(dataset, axis, open_source).found()
    name, rows = Path(dataset.file.filename).name, np.zeros(dataset.shape[axis], bool)
    if dataset.external:
        return _external_gaps(dataset, axis)
    if dataset.chunks:
        grid = [-(-length // step) for length, step in zip(dataset.shape, dataset.chunks, strict=True)]
        if dataset.id.get_num_chunks() == math.prod(grid):
            return []
        there = np.zeros(grid, bool)
        there.flat[ChunkIndex(dataset).numbers] = True
        whole = there.all(axis=tuple(other for other in range(len(grid)) if other != axis))
        rows[:] = np.repeat(~whole, dataset.chunks[axis])[: len(rows)]
    else:
        is_compact = dataset.id.get_create_plist().get_layout() == h5py.h5d.COMPACT
        rows[:] = not is_compact and dataset.id.get_storage_size() == 0
    return [Gap(rows, f"were never written to {name}", dataset.fillvalue)] if rows.any() else []


def numbers_of(rows: Array) -> str:
    """Return the numbers of some rows as a message has them: "frames 3, 40 to 99"."""
    edges = np.flatnonzero(np.diff(rows, prepend=False, append=False)).reshape(-1, 2)  # there may be a billion rows
    texts = [str(first) if stop == first + 1 else f"{first} to {stop - 1}" for first, stop in edges[:_MOST_RUNS]]
    others = int(np.diff(edges[_MOST_RUNS:]).sum())
    return ", ".join(texts) + (f" and {others} more" if others else "")


def _external_gaps(dataset: h5py.Dataset, axis: int) -> list[Gap]:
    """Find what raw files are too short for; HDF5 takes zeros for it."""
    folder, itemsize = Path(dataset.file.filename).resolve().parent, dataset.dtype.itemsize
    inner, length = math.prod(dataset.shape[axis + 1 :]), dataset.shape[axis]
    gaps, first = [], 0
    for name, offset, size in dataset.external:
        stop = min(dataset.nbytes, first + size)
        end = first + max(0, (folder / name).stat().st_size - offset)
        if end < stop:
            start, last = end // itemsize // inner, (stop - 1) // itemsize // inner
            rows = np.zeros(length, bool)
            rows[np.arange(start, min(last + 1, start + length)) % length] = True
            gaps.append(Gap(rows, f"are not in {name}, which is {stop - end} bytes too short", 0))
        first = stop
    return gaps


class _VirtualGaps:
    """What no source of a virtual dataset has.

    A pixel that no row has mapped is a gap of the detector's, and no row misses it.
    """

    def __init__(self, dataset: h5py.Dataset, axis: int, open_source: OpenSource) -> None:
        self._dataset = dataset
        self._axis = axis
        self._open_source = open_source
        # Which rows have a part of a row that is mapped, and which part that is.
        self._parts: dict[tuple[bytes, ...], tuple[Array, Array]] = {}
        # Shapes of sources, None where there is no file, and their gaps by axis.
        self._sources: dict[tuple[str, str], tuple[tuple[int, ...] | None, dict[int, list[Gap]]]] = {}
        self._gaps: dict[str, Gap] = {}

    def found(self) -> list[Gap]:
        for mapping in self._dataset.virtual_sources():
            self._add(mapping)
        unmapped = ~self._complete()
        for gap in self._gaps.values():
            unmapped &= ~gap.rows
        gaps = [*self._gaps.values(), Gap(unmapped, "are mapped to no file", self._dataset.fillvalue)]
        return [gap for gap in gaps if gap.rows.any()]

    def _add(self, mapping: Any) -> None:
        """Note what a mapping covers: of a source that is too short, the part that it has."""
        source_shape, shape = self._source(mapping)[0], self._dataset.shape
        boxes = _boxes(mapping.vspace, shape)
        if source_shape is None:
            for box in boxes:
                here = [run.indexes(length) for run, length in zip(box, shape, strict=True)]
                self._cover(here, [run[:0] for run in here], f"are not there: {mapping.file_name} is missing")
            return
        source_boxes = _boxes(mapping.src_space, source_shape)
        there = [np.arange(length) for length in source_shape]
        is_whole = _elements(boxes) == _elements(source_boxes) and all(
            run.is_within(length) for box in source_boxes for run, length in zip(box, source_shape, strict=True)
        )
        axes = _paired(boxes[0], source_boxes[0]) if len(boxes) == len(source_boxes) == 1 else None
        for box in boxes:
            here = [run.indexes(length) for run, length in zip(box, shape, strict=True)]
            parts = here if is_whole else [run[:0] for run in here]
            if axes is not None:
                there = [run.indexes(length) for run, length in zip(source_boxes[0], source_shape, strict=True)]
                lengths = {own: len(there[its]) for own, its in axes.items()}
                has_any = all(map(len, there))
                parts = [run[: lengths.get(own, 1) * has_any] for own, run in enumerate(here)]
            self._cover(here, parts, f"are not in {mapping.file_name}")
            self._add_gaps_behind(mapping, parts[self._axis], there, None if axes is None else axes.get(self._axis))

    def _cover(self, wanted: list[Array], there: list[Array], where: str) -> None:
        """Note which elements a source has, of those that are mapped to it; all by their indexes, axis by axis."""
        self._part(wanted)
        is_cut = any(len(run) < len(wanted[axis]) for axis, run in enumerate(there) if axis != self._axis)
        self._miss(wanted[self._axis][0 if is_cut else len(there[self._axis]) :], where, self._dataset.fillvalue)
        self._part(there)[there[self._axis]] = True

    def _part(self, runs: list[Array]) -> Array:
        """Return which rows have the part of a row that these indexes are, to be changed."""
        inner = [run for axis, run in enumerate(runs) if axis != self._axis]
        key = tuple(run.tobytes() for run in inner)
        if key not in self._parts:
            part = np.zeros(np.delete(self._dataset.shape, self._axis), bool)
            part[np.ix_(*inner)] = True
            self._parts[key] = np.zeros(self._dataset.shape[self._axis], bool), part
        return self._parts[key][0]

    def _add_gaps_behind(self, mapping: Any, rows: Array, there: list[Array], axis: int | None) -> None:
        """Note what the source itself makes up; `axis` is that of the rows in it, if it has one."""
        its_axis = axis if axis is not None else next((i for i, run in enumerate(there) if len(run) == 1), 0)
        gaps = self._source(mapping)[1]
        if its_axis not in gaps and gaps[0]:  # where no row is missing along one axis, none is along another
            with self._open_source(self._dataset, mapping.file_name, mapping.dset_name) as source:
                gaps[its_axis] = gaps_of(source, its_axis, self._open_source)
        for gap in gaps.get(its_axis, []):
            made_up = gap.rows[there[its_axis]]
            lost = rows[made_up[: len(rows)]] if axis is not None else rows[: len(rows) * bool(made_up.any())]
            self._miss(lost, gap.where, gap.fill)

    def _miss(self, rows: Array, where: str, fill: Any) -> None:
        if len(rows):
            where = where if len(self._gaps) < _MOST_FILES else "are not in others of its files"
            gap = self._gaps.setdefault(where, Gap(np.zeros(self._dataset.shape[self._axis], bool), where, fill))
            gap.rows[rows] = True

    def _source(self, mapping: Any) -> tuple[tuple[int, ...] | None, dict[int, list[Gap]]]:
        key = (mapping.file_name, mapping.dset_name)
        if key not in self._sources:
            with self._open_source(self._dataset, *key) as source:
                gaps = {} if source is None else {0: gaps_of(source, 0, self._open_source)}
                self._sources[key] = None if source is None else source.shape, gaps
        return self._sources[key]

    def _complete(self) -> Array:
        """Return which rows have all that any row has."""
        mapped = [rows for rows, _ in self._parts.values()]
        if not mapped:
            return np.zeros(self._dataset.shape[self._axis], bool)
        expected = np.any([part for _, part in self._parts.values()], axis=0)
        complete = np.zeros(self._dataset.shape[self._axis], bool)
        patterns, pattern_of = np.unique(np.stack([complete, *mapped]), axis=1, return_inverse=True)
        for number, pattern in enumerate(patterns.T[:, 1:]):
            parts = [part for (_, part), is_there in zip(self._parts.values(), pattern, strict=True) if is_there]
            complete[pattern_of == number] = bool(parts) and bool(np.all(np.any(parts, axis=0) >= expected))
        return complete


class _Run(NamedTuple):
    """A regular selection along one axis."""

    start: int
    stride: int
    number: int
    block: int

    @property
    def length(self) -> int | None:
        """The number of its indexes; None where it goes on as far as the dataset."""
        return None if self.number == _UNLIMITED else self.number * self.block

    def is_within(self, length: int) -> bool:
        return self.number == _UNLIMITED or self.start + (self.number - 1) * self.stride + self.block <= length

    def indexes(self, length: int) -> Array:
        """Return those that an axis of a length has."""
        starts = self.start + self.stride * np.arange(min(self.number, -(-max(0, length - self.start) // self.stride)))
        indexes = (starts[:, np.newaxis] + np.arange(min(self.block, length))).reshape(-1)
        return indexes[indexes < length]


def _boxes(space: h5py.h5s.SpaceID, shape: tuple[int, ...]) -> list[list[_Run]]:
    """Return the boxes that a selection of a dataset is made of, each axis by axis."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return [[_Run(0, 1, 1, length) for length in shape]]
    if space.get_select_type() == h5py.h5s.SEL_NONE:
        return []
    if space.is_regular_hyperslab():
        return [[_Run(*run) for run in zip(*space.get_regular_hyperslab(), strict=True)]]
    corners = space.get_select_hyper_blocklist().tolist()
    return [[_Run(low, 1, 1, high - low + 1) for low, high in zip(*corner, strict=True)] for corner in corners]


def _elements(boxes: list[list[_Run]]) -> int | None:
    """Return how many elements boxes have; None where one goes on as far as the dataset."""
    lengths = [run.length for box in boxes for run in box]
    return None if None in lengths else sum(math.prod(run.length or 0 for run in box) for box in boxes)


def _paired(box: Sequence[_Run], other: Sequence[_Run]) -> dict[int, int] | None:
    """Return the axes of a box and those of another that they are, but for axes of length one; None where unclear."""
    own, others = ([axis for axis, run in enumerate(runs) if run.length != 1] for runs in (box, other))
    if len(own) != len(others):
        return None
    lengths = [(box[axis].length, other[its].length) for axis, its in zip(own, others, strict=True)]
    return dict(zip(own, others, strict=True)) if all(a == b or None in (a, b) for a, b in lengths) else None
