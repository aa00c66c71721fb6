"""Samples: some frames of a scan to measure on, in short runs of neighbours that are spread over the scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.streaming.sources import Access, RowSource, WindowedSource, row_bytes_of, windows_of

_STEP_BYTES = 4 * 1024**2
_STRIP_PX = 64
_GOLDEN = (5**0.5 - 1) / 2


def source_to_sample(source: RowSource, reopen: Callable[[], RowSource]) -> RowSource | None:
    """Return a source to sample before `source` is used; None where rows come in windows that are reordered.

    Parameters
    ----------
    source : RowSource
    reopen : callable
        Opens the same rows again.
    """
    if isinstance(source, WindowedSource):
        return None
    return source if source.access.is_repeatable else reopen()


def spread_runs(rows: int, run_rows: int, runs: int) -> list[range]:
    """Spread runs of rows evenly; fewer or shorter ones where there are too few rows.

    Parameters
    ----------
    rows : int
        How many there are.
    run_rows, runs : int
        How long a run is to be, and how many.
    """
    run_rows = min(run_rows, rows)
    runs = min(runs, rows // run_rows)
    gap = (rows - runs * run_rows) // max(1, runs - 1)
    return [range(first, first + run_rows) for first in range(0, runs * (run_rows + gap), run_rows + gap)]


def strips(height: int, width_bytes: int, most_bytes: int) -> list[range]:
    """Spread strips of pixel rows over a frame that is too large as a whole; one that is the frame where it is not.

    Parameters
    ----------
    height : int
        Number of pixel rows.
    width_bytes, most_bytes : int
        Size of a pixel row, and of all strips; one strip at least.
    """
    if height * width_bytes <= most_bytes:
        return [range(height)]
    return spread_runs(height, _STRIP_PX, max(1, most_bytes // (_STRIP_PX * width_bytes)))


def reduced(frames: Array, most_bytes: int) -> Array:
    """Return frames, or strips of them, from all over a sample that is larger than wanted.

    Parameters
    ----------
    frames : array, [n, H, W]
    most_bytes : int
        How much of them is wanted; one strip at least. Up to twice as much where there are several frames.
    """
    some = frames[:: max(1, frames.nbytes // most_bytes)]
    kept = strips(some.shape[1], max(1, some[:1, 0].nbytes), most_bytes) if len(some) == 1 else [range(some.shape[1])]
    return some if len(kept) == 1 else np.concatenate([some[:, part.start : part.stop] for part in kept], axis=1)


def sample_rows(
    source: RowSource, run_rows: int, runs: int, most_bytes: int | None = None, parts: Sequence[range] | None = None
) -> Array:
    """Read runs of rows from a source that is opened for this, and not used further.

    Parameters
    ----------
    source : RowSource
        At least one row. One whose rows come in order is read from its beginning to the last run.
    run_rows, runs : int
        See `spread_runs`.
    most_bytes : int, optional
        How far a source is read whose rows come in order; what is wanted comes from this part of it.
    parts : sequence of range, optional
        What is kept of the second axis; the whole by default. Besides, a single row is held.

    Returns
    -------
    array, [n, ...]
        The runs, one after the other.
    """
    row_bytes = max(1, row_bytes_of(source))
    in_order = source.access is Access.IN_ORDER
    reach = source.shape[0]
    if in_order and most_bytes is not None:
        reach = max(1, min(reach, most_bytes // row_bytes))
    wanted = spread_runs(reach, run_rows, runs)
    shape = source.shape[1:] if parts is None else (sum(map(len, parts)), *source.shape[2:])
    sample = np.empty((len(wanted) * len(wanted[0]), *shape), source.dtype)
    whole = None if parts is None else np.empty(source.shape[1:], source.dtype)
    views = [sample[i * len(run) : (i + 1) * len(run)] for i, run in enumerate(wanted)]
    for window in windows_of(source, 1):
        position = window.start
        for run, rows in zip(wanted, views, strict=True):
            first, stop = max(run.start, window.start), min(run.stop, window.stop)
            if first >= stop:
                continue
            if in_order:
                _skip(source, position, first, row_bytes)
            into = rows[first - run.start : stop - run.start]
            if parts is None or whole is None:
                source.read_into(first, memoryview(into).cast("B"))
            else:
                for number, kept in enumerate(into, first):
                    source.read_into(number, memoryview(whole).cast("B"))
                    np.concatenate([whole[part.start : part.stop] for part in parts], out=kept)
            position = stop
        if window.stop >= wanted[-1].stop:
            break
    return sample


def some_tiles(sample: Array, tile: tuple[int, int, int], most_bytes: int) -> Array:
    """Put some tiles of frames side by side, spread over the frame.

    Parameters
    ----------
    sample : array, [n, H, W]
    tile : tuple of int, (frames, pixel rows, columns)
        No taller than there are frames.
    most_bytes : int
        How much of them is wanted; one tile at least.

    Returns
    -------
    array, [frames, rows, columns of all tiles]
    """
    depth, rows, columns = min(tile[0], len(sample)), *tile[1:]
    down, across = max(1, sample.shape[1] // rows), max(1, sample.shape[2] // columns)
    wanted = most_bytes // (depth * rows * columns * sample.dtype.itemsize)
    count = max(1, min(down * across, wanted))
    # Multiples of the golden ratio are spread evenly, however many there are.
    picked = [(int(down * (i + 0.5) / count), int(across * (i * _GOLDEN % 1))) for i in range(count)]
    parts = [sample[:depth, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] for i, j in picked]
    return np.concatenate(parts, axis=2)


def _skip(source: RowSource, first: int, stop: int, row_bytes: int) -> None:
    """Read rows that are not needed, a few at a time."""
    step = max(1, _STEP_BYTES // row_bytes)
    scratch = memoryview(bytearray(step * row_bytes))
    while first < stop:
        count = min(step, stop - first)
        source.read_into(first, scratch[: count * row_bytes])
        first += count
