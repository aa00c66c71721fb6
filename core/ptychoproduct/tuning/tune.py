"""Which codec and chunk shape suit a scan: tried on frames from all over it, written and read back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ptychoproduct.aliases import Array, StepProgress
from ptychoproduct.compression.codecs import parse_codec
from ptychoproduct.compression.filters import can_write_szip
from ptychoproduct.compression.profiles import Storage, tile_shape
from ptychoproduct.errors import OptionError, SourceError
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.scan.scan_files import ScanFiles, opened_scan
from ptychoproduct.scan.selection import selected_scan
from ptychoproduct.streaming.sampling import reduced, sample_rows, some_tiles, strips
from ptychoproduct.streaming.sources import row_bytes_of
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.resources import Resources
from ptychoproduct.tuning.auto import SENDING_MB_S
from ptychoproduct.tuning.counts_gain import CountsGain, counts_gain, of_whole_frames
from ptychoproduct.tuning.trials import Trial, better_times, try_both_ways, try_writing

_LOW, _TALL = (64, 32, 32), (512, 16, 16)
# Chunks are whole frames; a single one; or tiles, which hold a pixel's counts in many frames.
_CANDIDATES: dict[str, tuple[str, ...]] = {
    "frames": (
        "lz4",
        "bitshuffle-lz4,block=64KiB",
        "gzip:1",
        "gzip:4",
        "shuffle+gzip:1",
        "shuffle+gzip:4",
        "szip",
        "zstd:1",
        "zstd:3",
        "zstd:9",
        "shuffle+zstd:1",
        "shuffle+zstd:9",
        "bitshuffle-zstd:1,block=8KiB",
        "bitshuffle-zstd:1,block=64KiB",
        "bitshuffle-zstd:1,block=256KiB",
        "bitshuffle-zstd:fast7,block=256KiB",
        "bitshuffle-zstd:lazy7,block=256KiB",
        "blosc2-zstd:1,bitshuffle",
        "blosc2-lz4:5,bitshuffle",
        "bzip2:9",
    ),
    "single": ("zstd:1", "bitshuffle-zstd:1,block=64KiB", "bitshuffle-lz4,block=64KiB"),
    "low": ("zstd:1", "zstd:9", "bitshuffle-zstd:1,block=64KiB", "bitshuffle-zstd:9,block=256KiB", "bzip2:9"),
    "tall": (
        "zstd:9",
        "zstd:19",
        "shuffle+zstd:9",
        "bitshuffle-zstd:1,block=256KiB",
        "bitshuffle-zstd:lazy7,block=512KiB",
        "bitshuffle-zstd:15,block=256KiB",
        "bzip2:9",
    ),
}

# Frames that what survives is tried on, in runs of neighbours; and the part of them that all are tried on first.
_SAMPLE_BYTES = 64 * 1024**2
_RUNS = 4
_SCREEN_BYTES = 4 * 1024**2
_SCREEN_TILES_BYTES = 1024**2
# Deflated members are read to here for the sample.
_MOST_READ_BYTES = 2 * 1024**3
# Hopeless: another one with chunks of the kind is as small and this much faster.
_FASTER = 1.4
_AS_SMALL = 1.01
_LONGEST_TRIAL_S = 2.0
# Quick trials take turns several times: other programs disturb them more.
_TURNS = 2
_LONGEST_AGAIN_S = 0.5


def _once_each(trial: Trial) -> float:
    """Return the time to convert, send and read 10⁶ bytes of frames, in s."""
    return 1 / trial.write_mb_s + 1 / (trial.ratio * SENDING_MB_S) + 1 / (trial.read_mb_s or math.inf)


OBJECTIVES: dict[str, Callable[[Trial], float]] = {
    "balanced": _once_each,
    "ratio": lambda trial: 1 / trial.ratio,
    "write": lambda trial: 1 / trial.write_mb_s,
    "read": lambda trial: 1 / (trial.read_mb_s or math.inf),
}
"""What the best trial has least of. "balanced": the time to convert, to send over 1 Gbit/s and to read back once."""


@dataclass(frozen=True)
class TuneOptions:
    """What is looked for.

    Parameters
    ----------
    objective : {"balanced", "ratio", "write", "read"}
        See `OBJECTIVES`.
    min_write_mb_s : float
        The least speed of writing, in 10⁶ bytes a second, that a recommendation may have.
    threads : int or None
        None for all cores.
    seconds : float
        No further candidate is tried after this time.
    axis_order : {"auto", "NHW", "HNW", "HWN"}
        Of the scan's frames.
    memory_bytes : int
        What may be held to reorder the axes of frames.

    Raises
    ------
    OptionError
        A value is not understood.
    """

    objective: Literal["balanced", "ratio", "write", "read"] = "balanced"
    min_write_mb_s: float = 0.0
    threads: int | None = None
    seconds: float = 25.0
    axis_order: str = "auto"
    memory_bytes: int = 1024**3

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise OptionError("objective", f"is {self.objective!r}; it must be one of {', '.join(OBJECTIVES)}")
        for field, least in (("threads", 1), ("min_write_mb_s", 0), ("seconds", 0)):
            value = getattr(self, field)
            if value is not None and not value >= least:
                raise OptionError(field, f"is {value}; it must be at least {least}")


@dataclass(frozen=True)
class TuneReport:
    """What was tried, and what is best.

    Parameters
    ----------
    scan : Path
    frames, frame_shape, dtype
        Of the scan.
    sampled : int
        How many frames were tried on.
    threads : int
    objective : str
    trials : tuple of Trial
        By ratio, the best first. Writing and reading are in memory: a disk may be slower than a codec.
    front : tuple of int
        Which trials nothing else beats in both ratio and speed of writing.
    best : int
        Which trial is recommended.
    fast_enough : bool
        Whether it writes as fast as was asked for.
    chunk_shape : tuple of int or None
        Of the recommended trial, on the whole scan; None for the default.
    dropped : int
        How many candidates were given up early.
    bound_ratio : float or None
        Shannon's limit, see `shannon_limit`; None where the frames are no counts.
    counts : CountsGain or None
        None where the frames are not square roots of counts.
    seconds : float
    sampled_rows : int or None
        How many pixel rows of huge frames were tried on: all numbers are an estimate then. None for all of them.
    """

    scan: Path
    frames: int
    frame_shape: tuple[int, ...]
    dtype: str
    sampled: int
    threads: int
    objective: str
    trials: tuple[Trial, ...]
    front: tuple[int, ...]
    best: int
    fast_enough: bool
    chunk_shape: tuple[int, int, int] | None
    dropped: int
    bound_ratio: float | None
    counts: CountsGain | None
    seconds: float
    sampled_rows: int | None = None


@dataclass(frozen=True)
class _Candidate:
    kind: str
    storage: Storage


def tune_scan(files: ScanFiles, options: TuneOptions | None = None, progress: StepProgress | None = None) -> TuneReport:
    """Try codecs and chunk shapes on frames of a scan.

    Parameters
    ----------
    files : ScanFiles
        Anything that can be converted.
    options : TuneOptions, optional
    progress : callable, optional
        See `StepProgress`.

    Returns
    -------
    TuneReport

    Raises
    ------
    SourceError
        A file is damaged, or the files do not hold a scan with frames.
    """
    options = options or TuneOptions()
    progress = progress or (lambda *_: None)
    started = time.perf_counter()
    progress("reading frames", 0, 0)
    sample, (frames, height, width) = _sample(files, options)
    threads = options.threads or available_threads()
    candidates = _candidates((height, width), sample.dtype.itemsize, frames)
    hopeful = _screened(candidates, sample, threads, progress)
    waiting = _in_order(hopeful, options)
    tried = _tried(waiting, sample, threads, started + options.seconds, progress)
    tried.sort(key=lambda entry: entry[1].ratio, reverse=True)
    trials = tuple(of_whole_frames(trial, height, sample.shape[1]) for _, trial in tried)
    best, fast_enough = _best(trials, options)
    counts, bound_ratio = counts_gain(sample, threads, height)
    return TuneReport(
        scan=Path(files.path),
        frames=frames,
        frame_shape=(height, width),
        dtype=str(sample.dtype),
        sampled=len(sample),
        threads=threads,
        objective=options.objective,
        trials=trials,
        front=pareto_front(trials),
        best=best,
        fast_enough=fast_enough,
        chunk_shape=tried[best][0].storage.chunk_shape,
        dropped=len(candidates) - len(tried),
        bound_ratio=bound_ratio,
        counts=counts,
        seconds=time.perf_counter() - started,
        sampled_rows=None if sample.shape[1] == height else sample.shape[1],
    )


def pareto_front(trials: Sequence[Trial]) -> tuple[int, ...]:
    """Return the numbers of the trials that no other one beats in both ratio and speed of writing."""
    return tuple(
        number
        for number, trial in enumerate(trials)
        if not any(
            other.ratio >= trial.ratio and other.write_mb_s >= trial.write_mb_s and other != trial for other in trials
        )
    )


def _sample(files: ScanFiles, options: TuneOptions) -> tuple[Array, tuple[int, ...]]:
    """Return frames from all over a scan, or strips of huge ones, and the shape of all frames."""
    resources = Resources(options.threads or available_threads(), options.memory_bytes)
    whole = replace(files, probe=np.ones((1, 1), np.complex64), frames=None, crop=None)  # no probe is needed here
    with opened_scan(whole, resources) as scan:
        if scan.frames is None:
            raise SourceError(files.path, "has no diffraction frames to tune for", key="diff3d")
        scan = selected_scan(scan, files.frames, files.crop, options.axis_order)
        assert scan.frames is not None
        order = scan.frames.axis_order(len(scan.x), options.axis_order, scan.origin)
        source = scan.frames.rows(canonical_axes(order))
        most = max(_RUNS, _SAMPLE_BYTES // row_bytes_of(source))
        parts = strips(source.shape[1], source.shape[2] * source.dtype.itemsize, _SAMPLE_BYTES // _RUNS)
        kept = None if len(parts) == 1 else parts
        return sample_rows(source, min(_LOW[0], most // _RUNS), _RUNS, _MOST_READ_BYTES, kept), source.shape


def _candidates(frame_shape: tuple[int, ...], itemsize: int, frames: int) -> list[_Candidate]:
    rows, columns = frame_shape
    shapes = {
        "frames": None,
        "single": (1, rows, columns),
        "low": tile_shape(_LOW, (rows, columns), frames, itemsize),
        "tall": tile_shape(_TALL, (rows, columns), frames, itemsize),
    }
    return [
        _Candidate(kind, Storage(parse_codec(text), shapes[kind]))
        for kind, texts in _CANDIDATES.items()
        for text in texts
        if text != "szip" or can_write_szip()
    ]


def _screened(
    candidates: Sequence[_Candidate], sample: Array, threads: int, progress: StepProgress
) -> list[tuple[_Candidate, Trial]]:
    """Try all on little, and leave out those that cannot win."""
    frames = reduced(sample, _SCREEN_BYTES)
    trials = []
    try_writing(frames[:1], candidates[0].storage, threads)  # threads and libraries have started
    for number, candidate in enumerate(candidates):
        progress(f"first look: {candidate.storage.codec}", number, len(candidates))
        shape = candidate.storage.chunk_shape
        is_tiled = candidate.kind in ("low", "tall") and shape is not None
        part = some_tiles(sample, shape, _SCREEN_TILES_BYTES) if is_tiled and shape else frames
        trials.append((candidate, try_writing(part, candidate.storage, threads)))
    return [entry for entry in trials if not any(_beats(other, entry) for other in trials)]


def _beats(other: tuple[_Candidate, Trial], entry: tuple[_Candidate, Trial]) -> bool:
    return (
        other[0].kind == entry[0].kind
        and other[1].ratio * _AS_SMALL >= entry[1].ratio
        and other[1].write_mb_s >= _FASTER * entry[1].write_mb_s
    )


def _in_order(hopeful: Sequence[tuple[_Candidate, Trial]], options: TuneOptions) -> list[tuple[_Candidate, Trial]]:
    """Put the promising ones first; where a speed is asked for, the fastest, then those that seem to reach it."""
    objective, least = OBJECTIVES[options.objective], options.min_write_mb_s
    waiting = sorted(hopeful, key=lambda entry: (entry[1].write_mb_s < least, objective(entry[1])))
    if least:
        fastest = max(waiting, key=lambda entry: entry[1].write_mb_s)
        waiting.remove(fastest)
        waiting.insert(0, fastest)
    return waiting


def _tried(
    waiting: Sequence[tuple[_Candidate, Trial]],
    sample: Array,
    threads: int,
    deadline: float,
    progress: StepProgress,
) -> list[tuple[_Candidate, Trial]]:
    """Try what is left, in order, on all frames of the sample and, while there is time, again."""
    best: dict[_Candidate, Trial] = {}
    for turn in range(_TURNS):
        for number, (candidate, first) in enumerate(waiting):
            expected_s = min(_LONGEST_TRIAL_S, 2 * sample.nbytes / 1e6 / first.write_mb_s)
            if (best and time.perf_counter() + expected_s > deadline) or (turn and expected_s > _LONGEST_AGAIN_S):
                continue
            progress(str(candidate.storage.codec), turn * len(waiting) + number, _TURNS * len(waiting))
            # What is slow shows with fewer frames, too.
            most = max(1, int(_LONGEST_TRIAL_S * first.write_mb_s * 1e6 / sample[:1].nbytes))
            trial = try_both_ways(sample[:most], candidate.storage, threads)
            best[candidate] = better_times(best[candidate], trial) if candidate in best else trial
    return list(best.items())


def _best(trials: Sequence[Trial], options: TuneOptions) -> tuple[int, bool]:
    """Return which trial is best, and whether it is as fast as was asked for; else the fastest there is."""
    fast = [number for number, trial in enumerate(trials) if trial.write_mb_s >= options.min_write_mb_s]
    if not fast:
        return max(range(len(trials)), key=lambda number: trials[number].write_mb_s), False
    return min(fast, key=lambda number: OBJECTIVES[options.objective](trials[number])), True
