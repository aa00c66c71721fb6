"""Which other convention predicts the frames: all of them are tried roughly, and the best ones in full."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from ptychoproduct.model.transforms import (
    parse_array_transform,
    parse_positions_transform,
    transformed_array,
    transformed_positions,
)
from ptychoproduct.validation.hypotheses import (
    AS_IT_IS,
    DIRECTIONS,
    FRAMES,
    ORDERS,
    PROBES,
    Hypothesis,
    centers,
    scales,
)
from ptychoproduct.validation.physics_model import Agreement, contrast, thinned
from ptychoproduct.validation.physics_sample import Evidence

# By how many standard deviations what belongs together agrees better than what does not.
SURE = 8.0
# With fewer pixels and frames these deviations are fewer; where they are still so few, nothing belongs together.
PROMISING = SURE / 2
# Of what photon noise leaves: so much, and nothing needs to be explained.
NEAR = 0.93
_ALIKE = 0.97
_WORTH_TRYING = 0.8
# Positions are scaled by up to this, in steps that move the outermost by so many pixels.
_MOST_SCALE = 2.0
_SCALE_STEP_PX = 6.0
_MOST_SCALES = 60


class Other(NamedTuple):
    """Another convention, and how well it predicts the frames.

    Parameters
    ----------
    hypothesis : Hypothesis
    agreement : Agreement
    """

    hypothesis: Hypothesis
    agreement: Agreement

    @property
    def correlation(self) -> float:
        """See `Agreement`."""
        return self.agreement.correlation

    @property
    def is_sure(self) -> bool:
        """Whether it is no chance that it predicts the frames."""
        return self.agreement.deviations > SURE and self.agreement.correlation > 0


def best_other(evidence: Evidence, correlation: float, frames: int, limit: float, thorough: bool) -> Other | None:
    """Find the convention that predicts the frames best; None where none does for sure.

    Parameters
    ----------
    evidence : Evidence
    correlation : float
        As it is.
    frames : int
        How many have their patch on the object as it is.
    limit : float
        The highest correlation that photon noise leaves.
    thorough : bool
        See `judge_physics`.
    """
    screen = _Screen(evidence)
    tried: list[tuple[float, Hypothesis]] = []
    best: Other | None = None
    stages = _stages(evidence)
    for stage in stages if thorough else stages[: 1 if frames else 2]:
        tried += screen.compare(stage())
        tried.sort(key=lambda pair: -pair[0])
        found = _simplest(evidence, tried[:6])
        if found is not None and found.is_sure and found.correlation > (best.correlation if best else correlation):
            best = found
        if best is not None and best.correlation >= NEAR * limit:
            break
    explained = best.correlation if best else 0.0
    if best is not None and "offset" in best.hypothesis.positions:
        searched = [_moved(evidence, screen, best.hypothesis)]
        least = explained
    elif thorough and explained < NEAR * limit:
        starts = dict.fromkeys((AS_IT_IS, best.hypothesis if best else AS_IT_IS))
        searched = [search(evidence, screen, start) for search in (_moved, _scaled) for start in starts]
        least = max(explained, correlation) / NEAR
    else:
        return best
    better = [other for other in searched if other is not None and other.is_sure and other.correlation > least]
    return max(better, key=lambda other: other.correlation, default=best)


def _stages(evidence: Evidence) -> list[Callable[[], list[Hypothesis]]]:
    """Return what is tried, the likely first; frames are tried in all orientations with each."""
    return [
        lambda: [AS_IT_IS, *DIRECTIONS, *ORDERS],
        lambda: _other_centers(evidence),
        lambda: list(PROBES),
    ]


def _other_centers(evidence: Evidence) -> list[Hypothesis]:
    """Return other units and centres, and both, and both with other directions."""
    found = []
    factors = [AS_IT_IS, *scales(evidence.pixel_m)]
    for directed in (AS_IT_IS, *DIRECTIONS):
        for factor in factors if directed is AS_IT_IS else factors[:1]:
            base = ",".join(filter(None, (directed.positions, factor.positions)))
            sentence = ", and ".join(filter(None, (directed.sentence, factor.sentence)))
            if factor is not AS_IT_IS:
                found.append(Hypothesis(sentence, base))
            x_px, y_px = transformed_positions(
                parse_positions_transform(base), evidence.x_px, evidence.y_px, lambda *_: evidence.center_px
            )
            middle = (float(np.min(x_px) + np.max(x_px)) / 2, float(np.min(y_px) + np.max(y_px)) / 2)
            shapes = evidence.optics.probe.shape, evidence.optics.object.shape
            for name, (dx, dy) in centers(middle, evidence.center_px, *shapes):
                words = ", and ".join(filter(None, (sentence, f"the positions count from {name}")))
                found.append(Hypothesis(words, ",".join(filter(None, (base, f"offset={dx:.10g}:{dy:.10g}")))))
    return found


def _simplest(evidence: Evidence, tried: list[tuple[float, Hypothesis]]) -> Other | None:
    """Return the simplest of those that agree like the best one."""
    results: list[Other] = []
    for value, one in tried:
        if one.steps and value >= _WORTH_TRYING * tried[0][0]:
            if not results and evidence.glance(one).deviations < PROMISING:
                return None
            results.append(Other(one, evidence.agreement(one)))
            if not results[0].is_sure:
                return None
    most = max((result.correlation for result in results), default=0.0)
    alike = [result for result in results if result.correlation >= _ALIKE * most]
    return min(alike, key=lambda result: (result.hypothesis.steps, -result.correlation), default=None)


def _moved(evidence: Evidence, screen: _Screen, start: Hypothesis) -> Other | None:
    """Move the positions as long as that predicts better; None where no move of a pixel does."""
    base, _, numbers = start.positions.partition("offset=")
    first = tuple(map(float, numbers.split(":"))) if numbers else (0.0, 0.0)
    words = start.sentence
    if not numbers:
        words = ", and ".join(filter(None, (words, "the positions are off by some pixels of the object")))

    def at(x: float, y: float) -> Hypothesis:
        text = ",".join(filter(None, (base.rstrip(","), f"offset={x:.10g}:{y:.10g}")))
        return Hypothesis(words, text, start.frames, start.probe)

    here, _ = screen.climb(at, (first[0], first[1]), (8.0, 4.0, 2.0, 1.0))
    if max(abs(here[0] - first[0]), abs(here[1] - first[1])) < 1:
        return None
    near = [(x + i, y + j) for x, y in [np.floor(here)] for i in (0, 1) for j in (0, 1)]
    candidates = [Other(one, evidence.agreement(one)) for one in (at(*here), *(at(*move) for move in near))]
    return max(candidates, key=lambda other: other.correlation)


def _scaled(evidence: Evidence, screen: _Screen, start: Hypothesis) -> Other | None:
    """Scale the positions, about zero and about the object's centre, to where that predicts best."""
    x_px, y_px = evidence.patches(start.positions)
    height, width = evidence.optics.object.shape[-2:]
    reach_px = float(max(np.abs(x_px - width / 2).max(), np.abs(y_px - height / 2).max(), 1.0))
    if not reach_px < _MOST_SCALE * max(height, width):
        return None
    reason = "the positions have another scale, as where a pixel size or an energy is wrong"
    words = ", and ".join(filter(None, (start.sentence, reason)))

    def at(move_px: float, center_px: tuple[float, float]) -> Hypothesis:
        """Return a scale by which the outermost positions move by so much, to the first order."""
        factor = float(f"{np.exp(move_px / reach_px):.6g}")
        offsets = [center * (1 - factor) for center in center_px]
        text = f"scale={factor!r}" + (f",offset={offsets[0]:.10g}:{offsets[1]:.10g}" if any(offsets) else "")
        return Hypothesis(words, ",".join(filter(None, (start.positions, text))), start.frames, start.probe)

    most_px = float(np.log(_MOST_SCALE)) * reach_px
    step = max(_SCALE_STEP_PX, most_px / _MOST_SCALES)
    tried = {
        (screen.correlation(at(move, center)), move, center)
        for center in {(0.0, 0.0), evidence.center_px}
        for move in np.arange(-most_px, most_px, step).tolist()
    }
    while step > 0.1:
        step /= 2
        _, move, center = max(tried)
        tried |= {(screen.correlation(at(near, center)), near, center) for near in (move - step, move + step)}
    _, move, center = max(tried)
    one = at(move, center)
    return Other(one, evidence.agreement(one))


class _Screen:
    """The frames in all orientations, to be compared with many predictions at little cost."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        shape = evidence.optics.probe.shape[-2:]
        self._hypotheses: list[Hypothesis] = []
        turned, masks = [], []
        for hypothesis in (AS_IT_IS, *FRAMES):
            steps = parse_array_transform(hypothesis.frames)
            frames = transformed_array(steps, evidence.amplitudes)
            if frames.shape[1:] != shape:
                continue
            frames, mask = (
                thinned(array, evidence.thinning) for array in (frames, transformed_array(steps, evidence.pixels))
            )
            self._hypotheses.append(hypothesis)
            turned.append(contrast(frames * mask))
            masks.append(mask.reshape(-1))
        self._frames = np.stack(turned) if turned else np.empty((0, 0, 0), np.float32)
        self._masks = np.stack(masks).astype(np.float32) if masks else np.empty((0, 0), np.float32)

    def compare(self, hypotheses: Iterable[Hypothesis]) -> list[tuple[float, Hypothesis]]:
        """Correlate the frames in all orientations with each prediction, roughly."""
        found = []
        for hypothesis in hypotheses:
            predicted, inside = self._evidence.predicted(hypothesis, True, self._evidence.thinning)
            if not inside.any():
                continue
            values = contrast(predicted)
            squares = np.einsum("np,np->p", values, values)
            lengths = np.sqrt(np.maximum(np.einsum("tp,p->t", self._masks, squares), 1e-30))
            frames = self._frames if inside.all() else self._frames[:, inside]
            products = np.einsum("tnp,np->t", frames, values)  # the threads of a matrix product would cost more
            for turned, correlation in zip(self._hypotheses, products / lengths, strict=True):
                found.append((float(correlation * inside.mean()), hypothesis.beside(turned)))
        return found

    def correlation(self, hypothesis: Hypothesis) -> float:
        """Correlate the frames with one prediction; -1 where there is none."""
        same = Hypothesis(hypothesis.sentence, hypothesis.positions, probe=hypothesis.probe)
        return max((value for value, one in self.compare([same]) if one.frames == hypothesis.frames), default=-1.0)

    def climb(
        self, at: Callable[[float, float], Hypothesis], start: tuple[float, float], steps: tuple[float, ...]
    ) -> tuple[tuple[float, float], float]:
        """Move two numbers, coarse to fine, to where the prediction is best; return them, and the correlation."""
        here, best = start, self.correlation(at(*start))
        for step in steps:
            moves = [(here[0] + i * step, here[1] + j * step) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
            values = [self.correlation(at(*move)) for move in moves]
            if max(values) > best:
                best = max(values)
                here = moves[values.index(best)]
        return here, best
