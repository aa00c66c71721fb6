"""The verdict of physics: whether probe, object and positions of a product predict its frames.

What is compared, and when an alarm is given, is in `judge`; the numbers come from ``tests/campaigns/physics.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from ptychoproduct.aliases import Array
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
from ptychoproduct.validation.physics_model import (
    NO_AGREEMENT,
    Agreement,
    Optics,
    agreement,
    contrast,
    noise_limit,
    on_object,
    predicted_amplitudes,
)

LEAST_FRAMES = 8
MOST_FRAMES = 64
# As many pixels are predicted as that, 12 frames at least: 12 of 256 x 256, 64 of 64 x 64.
_PIXELS = 3 * 2**18
_USUAL_FRAMES = 12
SURE = 8.0
_NEAR = 0.93
_BEATEN = 0.8
_ALIKE = 0.97
_EXPLAINED = 0.85
_PROMISING = 0.8
_LEAST_SCAN_PX = 2.0

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
        return (
            f"{self.better.sentence}: that predicts the frames with {self.better_correlation:.2f}, and the product "
            f"as it is with {self.correlation:.2f}; convert the scan with {self.flags}"
        )


def frames_to_judge(frames: int, frame_shape: tuple[int, ...]) -> Array:
    """Choose some frames that are spread over a scan, and over the rows of a raster: int, in rising order."""
    pixels = max(1, int(np.prod(frame_shape)))
    wanted = min(frames, max(_USUAL_FRAMES, min(MOST_FRAMES, _PIXELS // pixels)))
    golden = (5**0.5 - 1) / 2
    spread = (np.arange(wanted) + np.arange(wanted) * golden % 1) * frames / max(1, wanted)
    return np.unique(spread.astype(int))


@dataclass(frozen=True)
class Evidence:
    """What is judged.

    Parameters
    ----------
    amplitudes : array, [n, H, W], float32
        Of some frames.
    used : array, [H, W], bool
        The pixels that are not bad.
    rows : array, [n], int
        Which frames of the scan they are.
    x_px, y_px : array, [N], pixels
        Of all positions, as the product has them.
    center_px : tuple of float
        The object's centre, in the same pixels.
    pixel_m : tuple of float
        Width and height of an object pixel.
    optics : Optics
    are_counts : bool
        Whether the amplitudes are roots of photon counts.
    """

    amplitudes: Array
    used: Array
    rows: Array
    x_px: Array
    y_px: Array
    center_px: tuple[float, float]
    pixel_m: tuple[float, float]
    optics: Optics
    are_counts: bool = False
    _seen: dict[str, tuple[Array, Array]] = field(default_factory=dict)

    @cached_property
    def pixels(self) -> Array:
        """The pixels that tell something: good ones that are not the same in all frames, [H, W], bool."""
        told: Array = self.used & (np.ptp(self.amplitudes, axis=0) > 0)
        return told

    def patches(self, positions: str) -> tuple[Array, Array]:
        """Return x and y of the frames' patches under another convention, [n], from the object's first pixel."""
        if positions not in self._seen:
            steps = parse_positions_transform(positions)
            x_px, y_px = transformed_positions(steps, self.x_px, self.y_px, lambda *_: self.center_px)
            height, width = self.optics.object.shape[-2:]
            self._seen[positions] = (
                x_px[self.rows] - self.center_px[0] + (width - 1) / 2,
                y_px[self.rows] - self.center_px[1] + (height - 1) / 2,
            )
        return self._seen[positions]

    def predicted(self, hypothesis: Hypothesis, whole_pixels: bool = False) -> tuple[Array, Array]:
        """Predict frames under another convention of positions and probe; and tell which are on the object, [n]."""
        x_px, y_px = self.patches(hypothesis.positions)
        optics = self.optics
        if hypothesis.probe:
            steps = parse_array_transform(hypothesis.probe, "probe_transform")
            optics = optics.with_probe(transformed_array(steps, optics.probe))
        inside = on_object(x_px, y_px, optics.probe.shape, optics.object.shape)
        if np.count_nonzero(inside) < LEAST_FRAMES or optics.probe.shape != self.optics.probe.shape:
            return np.empty(0), np.zeros(len(inside), np.bool_)
        if max(np.ptp(x_px[inside]), np.ptp(y_px[inside])) < _LEAST_SCAN_PX:
            return np.empty(0), np.zeros(len(inside), np.bool_)
        rows = self.rows[inside]
        return predicted_amplitudes(optics, x_px[inside], y_px[inside], rows, whole_pixels=whole_pixels), inside

    def agreement(self, hypothesis: Hypothesis) -> Agreement:
        """Compare the frames with what a convention predicts."""
        predicted, inside = self.predicted(hypothesis)
        steps = parse_array_transform(hypothesis.frames)
        pixels = transformed_array(steps, self.pixels)
        if not inside.any() or not pixels.any() or pixels.shape != predicted.shape[1:]:
            return NO_AGREEMENT
        measured = transformed_array(steps, self.amplitudes[inside])
        return agreement(contrast(measured, pixels), contrast(predicted, pixels))


class _Screen:
    """The frames in all orientations, to be compared with many predictions at little cost."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        frames = np.zeros(evidence.amplitudes.shape, np.float32)
        frames[:, evidence.pixels] = contrast(evidence.amplitudes, evidence.pixels)
        shape = evidence.optics.probe.shape[-2:]
        self._hypotheses: list[Hypothesis] = []
        turned, masks = [], []
        for hypothesis in (AS_IT_IS, *FRAMES):
            steps = parse_array_transform(hypothesis.frames)
            array = transformed_array(steps, frames)
            if array.shape[1:] == shape:
                self._hypotheses.append(hypothesis)
                turned.append(array.reshape(len(array), -1))
                masks.append(transformed_array(steps, evidence.pixels).reshape(-1))
        self._frames = np.stack(turned) if turned else np.empty((0, 0, 0), np.float32)
        self._masks = np.stack(masks).astype(np.float32) if masks else np.empty((0, 0), np.float32)

    def compare(self, hypotheses: Iterable[Hypothesis]) -> list[tuple[float, Hypothesis]]:
        """Correlate the frames in all orientations with each prediction, roughly."""
        found = []
        for hypothesis in hypotheses:
            predicted, inside = self._evidence.predicted(hypothesis, whole_pixels=True)
            if not inside.any():
                continue
            values = contrast(predicted)
            squares = np.einsum("np,np->p", values, values)
            lengths = np.sqrt(np.maximum(self._masks @ squares, 1e-30))
            frames = self._frames if inside.all() else self._frames[:, inside]
            products = frames.reshape(len(frames), -1) @ values.reshape(-1)
            for turned, correlation in zip(self._hypotheses, products / lengths, strict=True):
                found.append((float(correlation), hypothesis.beside(turned)))
        return found


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
    frame on, they are above 20. Bad positions, probes and objects bring the ratio for a sound scan down to 0.89. Other
    conventions are only tried where the correlation is below 0.93 of what photon noise leaves.
    """
    if len(evidence.rows) < LEAST_FRAMES:
        return _undecided(f"there are {len(evidence.rows)} frames; {LEAST_FRAMES} are needed")
    if not is_structured(evidence.optics.object):
        return _undecided("the object is the same everywhere, as a first guess is")
    if not evidence.pixels.any():
        return _undecided("all frames are the same")
    limit = noise_limit(evidence.amplitudes, evidence.pixels) if evidence.are_counts else 1.0
    as_it_is = evidence.agreement(AS_IT_IS)
    numbers = (as_it_is.correlation, as_it_is.deviations, limit, as_it_is.frames)
    is_sure = as_it_is.deviations > SURE and as_it_is.correlation > 0
    if is_sure and as_it_is.correlation >= _NEAR * limit:
        return PhysicsReport("consistent", *numbers)
    best, found = _best_other(evidence, as_it_is, limit, thorough)
    beaten = _NEAR if found.correlation >= _NEAR * limit else _BEATEN
    if best is not None and as_it_is.correlation < beaten * found.correlation:
        return PhysicsReport("another convention", *numbers, better=best, better_correlation=found.correlation)
    if is_sure:
        return PhysicsReport("consistent", *numbers)
    return PhysicsReport("undecided", *numbers, reason=f"probe and object do not predict the frames{_why(as_it_is)}")


def _undecided(reason: str) -> PhysicsReport:
    return PhysicsReport("undecided", reason=reason)


def _why(as_it_is: Agreement) -> str:
    return "" if as_it_is.frames else "; the patches under the probe are not on the object"


def is_structured(object_: Array) -> bool:
    """Whether an object differs from place to place."""
    some = object_[..., ::2, ::2]
    size = float(np.abs(some).mean())
    return size > 0 and float(np.abs(some - some.mean(axis=(-2, -1), keepdims=True)).mean()) > 1e-3 * size


def _best_other(
    evidence: Evidence, as_it_is: Agreement, limit: float, thorough: bool
) -> tuple[Hypothesis | None, Agreement]:
    """Find the convention that predicts the frames best; None where none does for sure."""
    screen = _Screen(evidence)
    tried: list[tuple[float, Hypothesis]] = []
    best: Hypothesis | None = None
    found = NO_AGREEMENT
    stages = _stages(evidence)
    for stage in stages if thorough else stages[: 2 if as_it_is.frames else 3]:
        tried += screen.compare(stage())
        tried.sort(key=lambda pair: -pair[0])
        candidate, result = _simplest(evidence, tried[:6])
        if result.deviations > SURE and result.correlation > found.correlation:
            best, found = candidate, result
        if best is not None and found.correlation >= _EXPLAINED * limit:
            break
    is_moved = best is not None and "offset" in best.positions
    if is_moved or (thorough and found.correlation < _EXPLAINED * limit):
        moved, result = _searched(evidence, screen, best or AS_IT_IS)
        least = found.correlation if is_moved else max(found.correlation, as_it_is.correlation) / _NEAR
        if moved is not None and result.deviations > SURE and result.correlation > least:
            best, found = moved, result
    return best, found


def _stages(evidence: Evidence) -> list[Callable[[], list[Hypothesis]]]:
    """Return what is tried, the likely first; frames are tried in all orientations with each."""
    return [
        lambda: [AS_IT_IS, *DIRECTIONS],
        lambda: list(ORDERS),
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


def _simplest(evidence: Evidence, tried: list[tuple[float, Hypothesis]]) -> tuple[Hypothesis, Agreement]:
    """Return the simplest of those that agree like the best one."""
    promising = [one for value, one in tried if one.steps and value >= _PROMISING * tried[0][0]]
    results = []
    for one in promising:
        results.append((evidence.agreement(one), one))
        if results[0][0].deviations <= SURE:
            return one, results[0][0]
    if not results:
        return AS_IT_IS, NO_AGREEMENT
    most = max(result.correlation for result, _ in results)
    alike = [(result, one) for result, one in results if result.correlation >= _ALIKE * most or len(results) == 1]
    result, one = min(alike or results, key=lambda pair: (pair[1].steps, -pair[0].correlation))
    return one, result


def _searched(evidence: Evidence, screen: _Screen, start: Hypothesis) -> tuple[Hypothesis | None, Agreement]:
    """Move the positions, coarse to fine, as long as that predicts better; None where no move of a pixel does."""
    base, _, numbers = start.positions.partition("offset=")
    first = tuple(map(float, numbers.split(":"))) if numbers else (0.0, 0.0)
    words = start.sentence
    if not numbers:
        words = ", and ".join(filter(None, (words, "the positions are off by some pixels of the object")))

    def at(x: float, y: float) -> Hypothesis:
        text = ",".join(filter(None, (base.rstrip(","), f"offset={x:.10g}:{y:.10g}")))
        return Hypothesis(words, text, start.frames, start.probe)

    def correlation(x: float, y: float) -> float:
        same = Hypothesis(words, at(x, y).positions, probe=start.probe)
        return max((value for value, one in screen.compare([same]) if one.frames == start.frames), default=-1.0)

    here, best = first, correlation(*first)
    for step in (8.0, 4.0, 2.0, 1.0):
        moves = [(here[0] + i * step, here[1] + j * step) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
        values = [correlation(*move) for move in moves]
        if max(values) > best:
            best = max(values)
            here = moves[values.index(best)]
    if max(abs(here[0] - first[0]), abs(here[1] - first[1])) < 1:
        return None, NO_AGREEMENT
    near = [(x + i, y + j) for x, y in [np.floor(here)] for i in (0, 1) for j in (0, 1)]
    candidates = [(evidence.agreement(one), one) for one in (at(*here), *(at(*move) for move in near))]
    result, one = max(candidates, key=lambda pair: pair[0].correlation)
    return one, result
