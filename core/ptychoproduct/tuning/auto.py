"""Which codec suits a scan: measured on some of its frames, before they are converted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.compression.codecs import parse_codec
from ptychoproduct.compression.profiles import Storage, tile_shape
from ptychoproduct.hdf5.chunks import CHUNK_BYTES
from ptychoproduct.streaming.sampling import sample_rows, some_tiles, source_to_sample, strips
from ptychoproduct.streaming.sources import RowSource
from ptychoproduct.tuning.trials import Trial, try_writing

# How long measuring may take: so many seconds, or a part of the conversion's time, if that is more.
LEAST_BUDGET_S = 0.3
BUDGET_PART = 0.02
# The network over which "auto" expects its results to be sent: 1 Gbit/s.
SENDING_MB_S = 125.0

# Where nothing can be gained, lz4 is as fast as no codec.
_WHOLE_FRAMES = (
    "bitshuffle-lz4,block=64KiB+fletcher32",
    "lz4+fletcher32",
    "zstd:3+fletcher32",
    "shuffle+zstd:1+fletcher32",
    "bitshuffle-zstd:fast7,block=256KiB+fletcher32",
    "gzip:1+fletcher32",
)
_TILES = (
    "bitshuffle-zstd:lazy7,block=512KiB+fletcher32",
    "bitshuffle-zstd:15,block=256KiB+fletcher32",
    "bzip2:9+fletcher32",
    "shuffle+zstd:9+fletcher32",
)
_TILE = (512, 16, 16)

# Bytes of frames that each codec is tried on: enough for all cores to have work, few enough for the slow ones.
_SAMPLE_BYTES = 4 * 1024**2
_TILES_SAMPLE_BYTES = 2 * 1024**2
_MOST_READ_BYTES = 64 * 1024**2
_MOST_ROUNDS = 10
# A codec that is so much worse than the best, after the first round or later, is not measured again.
_HOPELESS_FIRST, _HOPELESS = 2.0, 1.3
# A codec that is so close to the best is as good; of these, the other quality decides.
_AS_GOOD = 1.02


@dataclass(frozen=True)
class Objective:
    """What a choice is to achieve.

    Parameters
    ----------
    name : str
        The profile's.
    cost : callable
        Of a trial; the least is best.
    unit : str
        What the cost is, for people.
    other : callable
        What decides between trials that are as good.
    candidates : tuple of str
        Codecs to try.
    tiles : bool
        Whether they are tried on tall tiles, or on whole frames, which are quick to read one by one.
    """

    name: str
    cost: Callable[[Trial], float]
    unit: str
    other: Callable[[Trial], float]
    candidates: tuple[str, ...]
    tiles: bool = False


def _send_cost(trial: Trial) -> float:
    """Return the seconds to convert and to send 10⁶ bytes of frames."""
    return 1 / trial.write_mb_s + 1 / (trial.ratio * SENDING_MB_S)


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("auto", _send_cost, "time to convert and send", _send_cost, _WHOLE_FRAMES),
        Objective("auto:ratio", lambda t: 1 / t.ratio, "size", lambda t: 1 / t.write_mb_s, _TILES, tiles=True),
        Objective("auto:speed", lambda t: 1 / t.write_mb_s, "time to convert", lambda t: 1 / t.ratio, _WHOLE_FRAMES),
    )
}


@dataclass(frozen=True)
class Sample:
    """Frames to measure on.

    Parameters
    ----------
    frames : array, [n, H, W]
        At least one, in native byte order.
    seconds : float
        What reading them took.
    """

    frames: Array
    seconds: float = 0.0


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Parameters
    ----------
    codec : str
    chunk_shape : tuple of int or None
        None for whole frames, about 1 MiB of them.
    objective : str
        The profile that was asked for.
    trials : tuple of Trial
        What was tried, best first; empty where the frames could not be sampled.
    seconds : float
        What measuring took, reading included.
    reason : str
    """

    codec: str
    chunk_shape: tuple[int, int, int] | None
    objective: str
    trials: tuple[Trial, ...]
    seconds: float
    reason: str

    @property
    def storage(self) -> Storage:
        """What was chosen."""
        return Storage(parse_codec(self.codec), self.chunk_shape)


def sample_for(compression: str, source: RowSource, reopen: Callable[[], RowSource]) -> Sample | None:
    """Read the frames that a choice is measured on; None where that would be as much work as converting.

    Frames that can be read in any order are sampled across the scan. Of deflated ones only the first are cheap.

    Parameters
    ----------
    compression : str
        A key of `OBJECTIVES`.
    source : RowSource
        All the frames.
    reopen : callable
        Opens them again.
    """
    started = time.perf_counter()
    opened = source_to_sample(source, reopen)
    if opened is None:
        return None
    frame_bytes = max(1, int(np.prod(source.shape[1:])) * source.dtype.itemsize)
    if OBJECTIVES[compression].tiles:
        run, runs, most_bytes = max(1, min(_TILE[0], _MOST_READ_BYTES // frame_bytes)), 1, _MOST_READ_BYTES
    else:
        run, most_bytes = max(1, CHUNK_BYTES // frame_bytes), _SAMPLE_BYTES
        runs = max(2, _SAMPLE_BYTES // (run * frame_bytes))
    parts = strips(source.shape[1], max(1, frame_bytes // source.shape[1]), most_bytes) if source.shape[1] else []
    frames = sample_rows(opened, run, runs, most_bytes, parts if len(parts) > 1 else None)
    return Sample(frames, time.perf_counter() - started)


def unmeasured(compression: str, storage: Storage) -> Choice:
    """Return the choice where the frames could not be sampled."""
    reason = "not measured: the frames' axes have to be reordered first"
    return Choice(str(storage.codec), storage.chunk_shape, compression, (), 0.0, reason)


def choose_storage(
    compression: str, sample: Sample, frames: int | None, threads: int, chunk_shape: tuple[int, int, int] | None = None
) -> Choice:
    """Try codecs on frames, and choose the best.

    Parameters
    ----------
    compression : str
        A key of `OBJECTIVES`.
    sample : Sample
    frames : int or None
        How many the scan has; None where that is not known.
    threads : int
    chunk_shape : tuple of int, optional
        Of the chunks, where that is settled.
    """
    started = time.perf_counter() - sample.seconds
    objective = OBJECTIVES[compression]
    array = sample.frames
    shape, tried = chunk_shape, array
    if objective.tiles and shape is None:
        shape = tile_shape(_TILE, (array.shape[1], array.shape[2]), frames, array.dtype.itemsize)
        tried = some_tiles(array, shape, _TILES_SAMPLE_BYTES)
    elif objective.tiles:
        tried = array[: max(1, _TILES_SAMPLE_BYTES // array[:1].nbytes)]
    storages = {text: Storage(parse_codec(text), shape) for text in objective.candidates}
    try_writing(tried, next(iter(storages.values())), threads)  # loads libraries, and gets memory
    trials = _measure(objective, tried, storages, threads, started, frames)
    best = objective.cost(trials[0][1])
    good = [entry for entry in trials if objective.cost(entry[1]) <= best * _AS_GOOD]
    text, trial = min(good, key=lambda entry: objective.other(entry[1]))
    ordered = (trial, *(other for _, other in trials if other is not trial))
    seconds = time.perf_counter() - started
    return Choice(text, shape, compression, ordered, seconds, _reason(objective, ordered))


def _measure(
    objective: Objective, sample: Array, storages: dict[str, Storage], threads: int, started: float, frames: int | None
) -> list[tuple[str, Trial]]:
    """Try codecs in turn, the promising ones several times; the best time of each counts."""
    best: dict[str, Trial] = {}
    hopeful = list(storages)
    budget_s = LEAST_BUDGET_S
    for turn in range(_MOST_ROUNDS):
        for text in hopeful:
            if text in best and time.perf_counter() - started > 0.8 * budget_s:
                break
            trial = try_writing(sample, storages[text], threads)
            if text not in best or trial.write_mb_s > best[text].write_mb_s:
                best[text] = trial
        least = min(map(objective.cost, best.values()))
        most = least * (_HOPELESS if turn else _HOPELESS_FIRST)
        hopeful = [text for text in hopeful if objective.cost(best[text]) <= most]
        if frames is not None:
            fastest = max(trial.write_mb_s for trial in best.values())
            whole_mb = frames * sample[:1].nbytes / 1e6
            budget_s = max(LEAST_BUDGET_S, BUDGET_PART * whole_mb / fastest)
    return sorted(best.items(), key=lambda entry: objective.cost(entry[1]))


def _reason(objective: Objective, trials: tuple[Trial, ...]) -> str:
    """Say in a line why the first trial won."""
    chosen, *others = trials
    if not others:
        return "nothing else to try"
    next_best = min(others, key=objective.cost)
    gain = objective.cost(next_best) / objective.cost(chosen) - 1
    if gain < 0:
        return f"as good as {next_best.codec} in {objective.unit}, and better otherwise"
    return f"{objective.unit}: {gain:.0%} more with {next_best.codec}, the next best"
