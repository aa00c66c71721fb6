"""Trying a way to store frames on some of them: they are written as those of a product, but in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.compression.profiles import Storage
from ptychoproduct.hdf5.chunks import create_chunked
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.streaming.chunk_stream import write_rows
from ptychoproduct.streaming.chunk_target import RowOutput
from ptychoproduct.streaming.sources import ArrayRows
from ptychoproduct.system.resources import Resources

_NAME = "frames"
# Read one by one; no two lie in the same chunk where there are enough.
_SINGLE_FRAMES = 5


@dataclass(frozen=True)
class Trial:
    """How small and how fast a way to store frames is.

    Parameters
    ----------
    codec : str
    chunk_shape : tuple of int
    ratio : float
        Bytes of frames over bytes stored.
    write_mb_s : float
        10⁶ bytes of frames a second: encoded on all cores, and written to memory.
    read_mb_s : float or None
        The same, for reading all frames; None where that was not tried.
    frame_ms : float or None
        Milliseconds to read a single frame, the median of a few.
    """

    codec: str
    chunk_shape: tuple[int, ...]
    ratio: float
    write_mb_s: float
    read_mb_s: float | None = None
    frame_ms: float | None = None


def try_writing(sample: Array, storage: Storage, threads: int) -> Trial:
    """Write frames, and measure how small they become, and how fast on cores that have nothing else to do.

    The speed is that of the processor time, divided by the threads: other programs hardly change it, and a few chunks
    show what many will do.

    Parameters
    ----------
    sample : array, [n, H, W]
    storage : Storage
    threads : int
    """
    with _memory_file(sample) as file:
        return _write(file, sample, storage, threads, lambda: time.process_time() / threads)


def try_both_ways(sample: Array, storage: Storage, threads: int) -> Trial:
    """Write frames, read them back whole, and read a few of them one by one, in wall-clock time.

    Parameters
    ----------
    sample : array, [n, H, W]
    storage : Storage
    threads : int
    """
    with _memory_file(sample) as file:
        written = _write(file, sample, storage, threads, time.perf_counter)
        read_s = _reading_s(file[_NAME], slice(None), threads)
        numbers = np.linspace(0, len(sample) - 1, _SINGLE_FRAMES).astype(int)
        frame_s = float(np.median([_reading_s(file[_NAME], int(number), threads) for number in numbers]))
    return replace(written, read_mb_s=sample.nbytes / 1e6 / read_s, frame_ms=1e3 * frame_s)


def better_times(trial: Trial, again: Trial) -> Trial:
    """Combine two trials of the same storage: the better time of each kind.

    Parameters
    ----------
    trial, again : Trial
        Both ways.
    """
    frame_times_ms = [one.frame_ms for one in (trial, again) if one.frame_ms is not None]
    return replace(
        trial,
        write_mb_s=max(trial.write_mb_s, again.write_mb_s),
        read_mb_s=max(trial.read_mb_s or 0.0, again.read_mb_s or 0.0),
        frame_ms=min(frame_times_ms),
    )


def _memory_file(sample: Array) -> h5py.File:
    """Open a file in memory that need not grow often."""
    return h5py.File.in_memory(block_size=max(2**16, sample.nbytes))


def _write(file: h5py.File, sample: Array, storage: Storage, threads: int, clock: Callable[[], float]) -> Trial:
    started = clock()
    dataset = create_chunked(
        file, _NAME, sample.shape[1:], sample.dtype, storage.codec, len(sample), storage.chunk_shape
    )
    write_rows([RowOutput(dataset)], ArrayRows(sample), Resources(threads))
    seconds = clock() - started
    return Trial(
        str(storage.codec),
        dataset.chunks,
        sample.nbytes / dataset.id.get_storage_size(),
        sample.nbytes / 1e6 / seconds,
    )


def _reading_s(dataset: h5py.Dataset, index: int | slice, threads: int) -> float:
    """Time a reader that has read nothing before."""
    reader = DatasetReader(dataset, threads)
    started = time.perf_counter()
    reader.read(index)
    seconds = time.perf_counter() - started
    reader.close()
    return seconds
