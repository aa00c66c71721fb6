"""The verdict of physics: whether probe, object and positions of a product predict its frames.

What is compared, and when an alarm is given, is in `judge`; the numbers come from ``tests/campaigns/physics.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.validation.hypotheses import AS_IT_IS, Hypothesis
from ptychoproduct.validation.physics_model import noise_limit
from ptychoproduct.validation.physics_sample import LEAST_FRAMES, Evidence
from ptychoproduct.validation.physics_search import NEAR, PROMISING, SURE, best_other

_BEATEN = 0.8
# What belongs together and is predicted as badly as this is worth a thorough search.
_LITTLE = 0.5

Verdict = Literal["consistent", "another convention", "undecided"]


@dataclass(frozen=True)
class PhysicsReport:
    """Whether a product predicts its own frames.

    Parameters
    ----------
    verdict : {"consistent", "another convention", "undecided"}
    correlation : float
        Of measured and predicted amplitudes, see `Agreement`; 0 where nothing was predicted.
    deviations : float
        By how many standard deviations matching pairs of frames and predictions agree better than mismatched ones.
    limit : float
        The highest correlation that photon noise leaves, 1 where the frames are no counts.
    frames : int
        How many frames were compared.
    reason : str
        Why nothing is decided; "" where it is.
    better : Hypothesis or None
        The other convention.
    better_correlation : float
        Its correlation.
    """

    verdict: Verdict
    correlation: float = 0.0
    deviations: float = 0.0
    limit: float = 1.0
    frames: int = 0
    reason: str = ""
    better: Hypothesis | None = None
    better_correlation: float = 0.0

    @property
    def options(self) -> dict[str, str]:
        """The options that mend the product, by their names in Python."""
        return {} if self.better is None else self.better.options

    @property
    def flags(self) -> str:
        """The same for the command line."""
        return " ".join(f"--{name.replace('_', '-')}={text}" for name, text in self.options.items())

    @property
    def brief(self) -> str:
        """The verdict in a few words."""
        return self.sentence if self.better is None else f"another convention: {self.flags}"

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        if self.verdict == "undecided":
            return f"not judged: {self.reason}"
        if self.better is None:
            return f"the frames are predicted, {self.correlation:.2f}"
        return f"{self.finding}; convert the scan with {self.flags}"

    @property
    def finding(self) -> str:
        """What another convention says, and both numbers."""
        return (
            f"{self.better.sentence if self.better else ''}: that predicts the frames with "
            f"{self.better_correlation:.2f}, and the product as it is with {self.correlation:.2f}"
        )


def judge(evidence: Evidence, *, thorough: bool = True) -> PhysicsReport:
    """Judge a product by some of its frames.

    A product is *consistent* where matching pairs of frames and predictions agree better than mismatched ones, by more
    than 8 standard deviations of these, and no other convention predicts clearly better. It has *another convention*
    where one does so with more than 8 standard deviations, and the correlation as it is is below 0.8 of the other
    one's; below 0.93, where the other one comes near what photon noise leaves. Else nothing predicts the frames.

    Parameters
    ----------
    evidence : Evidence
    thorough : bool
        See `judge_physics`.

    Notes
    -----
    Over simulated noise and objects of other scans, deviations stay below 4; over sound scans, from 1000 photons a
    frame on, they are above 10. Bad positions, probes and objects bring the ratio for a sound scan down to 0.89. Other
    conventions are only tried where the correlation is below 0.93 of what photon noise leaves.
    """
    if len(evidence.rows) < LEAST_FRAMES:
        return _undecided(f"there are {len(evidence.rows)} frames; {LEAST_FRAMES} are needed")
    if not is_structured(evidence.optics.object):
        return _undecided("the object is the same everywhere, as a first guess is")
    found = as_it_is(evidence)
    if _is_predicted(found):
        return found
    if not evidence.pixels.any():
        return _undecided("all frames are the same")
    is_little = found.deviations > SURE and found.correlation < _LITTLE * found.limit
    other = best_other(evidence, found.correlation, found.frames, found.limit, thorough or is_little)
    beaten = NEAR if other is not None and other.correlation >= NEAR * found.limit else _BEATEN
    if other is not None and found.correlation < beaten * other.correlation:
        return replace(
            found, verdict="another convention", better=other.hypothesis, better_correlation=other.correlation
        )
    if found.deviations > SURE and found.correlation > 0:
        return found
    reason = "probe and object do not predict the frames"
    if not found.frames:
        reason += "; the patches under the probe are not on the object"
    if not thorough:
        reason += "; `ptychoproduct validate --physics` tries more conventions"
    return replace(found, verdict="undecided", reason=reason)


def as_it_is(evidence: Evidence) -> PhysicsReport:
    """Compare frames with what the product predicts as it is: some of their pixels, and all where these do not do."""
    found = _compared(evidence.thin)
    return found if _is_predicted(found) or found.deviations < PROMISING else _compared(evidence)


def _compared(evidence: Evidence) -> PhysicsReport:
    pixels = evidence.pixels
    limit = noise_limit(evidence.amplitudes, pixels) if evidence.are_counts and pixels.any() else 1.0
    found = evidence.agreement(AS_IT_IS)
    return PhysicsReport("consistent", found.correlation, found.deviations, limit, found.frames)


def _is_predicted(found: PhysicsReport) -> bool:
    return found.deviations > SURE and found.correlation > 0 and found.correlation >= NEAR * found.limit


def _undecided(reason: str) -> PhysicsReport:
    return PhysicsReport("undecided", reason=reason)


def is_structured(object_: Array) -> bool:
    """Whether an object differs from place to place."""
    some = object_[..., ::4, ::4]
    size = float(np.abs(some).mean())
    return size > 0 and float(np.abs(some - some.mean(axis=(-2, -1), keepdims=True)).mean()) > 1e-3 * size
