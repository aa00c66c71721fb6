"""What storing the photon counts behind amplitudes would bring, and how small counts can become at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ptychoproduct.aliases import Array
from ptychoproduct.compression.profiles import storage_for
from ptychoproduct.model.count_recognition import recognise_counts
from ptychoproduct.tuning.shannon_limit import mean_entropy_bits
from ptychoproduct.tuning.trials import Trial, try_both_ways

_BOUND_ELEMENTS = 4_000_000
_RECOGNISED_ELEMENTS = 200_000


@dataclass(frozen=True)
class CountsGain:
    """What storing the photon counts behind amplitudes would bring.

    Parameters
    ----------
    dtype : str
        Of the counts.
    trial : Trial
        Of the counts with the default profile; its ratio and speeds count the bytes of the amplitudes.
    """

    dtype: str
    trial: Trial


def counts_gain(sample: Array, threads: int, height: int) -> tuple[CountsGain | None, float | None]:
    """Look for photon counts; tell what storing them would bring, and Shannon's limit."""
    counts, gain = sample, None
    if sample.dtype.kind == "f":
        found = _counts_behind(sample)
        if found is None:
            return None, None
        counts = found
        trial = try_both_ways(counts, storage_for("balanced", counts.dtype, counts.shape[1:], len(counts)), threads)
        trial = of_whole_frames(trial, height, sample.shape[1])
        gain = CountsGain(str(counts.dtype), _in_bytes_of(trial, sample.itemsize / counts.itemsize))
    elif counts.min() < 0:
        return None, None
    step = max(1, counts.size // _BOUND_ELEMENTS)
    bits = mean_entropy_bits(counts.reshape(-1)[::step])
    return gain, 8 * sample.itemsize / bits if bits else None


def _counts_behind(amplitudes: Array) -> Array | None:
    """Return the counts that amplitudes are the square roots of; None where they are not."""
    recipe = recognise_counts(amplitudes.reshape(-1)[:: max(1, amplitudes.size // _RECOGNISED_ELEMENTS)])
    try:
        return None if recipe is None else recipe.to_counts(amplitudes)
    except ValueError:  # one of the others is none
        return None


def _in_bytes_of(trial: Trial, factor: float) -> Trial:
    """Count other bytes of input than those that were encoded."""
    assert trial.read_mb_s is not None
    ratio, write_mb_s, read_mb_s = (factor * value for value in (trial.ratio, trial.write_mb_s, trial.read_mb_s))
    return replace(trial, ratio=ratio, write_mb_s=write_mb_s, read_mb_s=read_mb_s)


def of_whole_frames(trial: Trial, height: int, tried_height: int) -> Trial:
    """Estimate from strips what whole frames would come to; the same trial where they were tried."""
    depth, rows, columns = trial.chunk_shape
    frame_ms = None if trial.frame_ms is None else trial.frame_ms * height / tried_height
    return replace(trial, chunk_shape=(depth, height if rows == tried_height else rows, columns), frame_ms=frame_ms)
