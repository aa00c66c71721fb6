"""What is judged by physics: some frames of a scan, and what predicts them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError
from ptychoproduct.model.counts import CountsRecipe, InexactError
from ptychoproduct.model.gaps import are_no_counts, have_marks, usual_marks
from ptychoproduct.model.patterns import choose_patterns
from ptychoproduct.model.transforms import (
    parse_array_transform,
    parse_positions_transform,
    transformed_array,
    transformed_positions,
)
from ptychoproduct.validation.hypotheses import Hypothesis
from ptychoproduct.validation.physics_model import (
    NO_AGREEMENT,
    Agreement,
    Optics,
    agreement,
    contrast,
    on_object,
    predicted_amplitudes,
    thinned,
)

LEAST_FRAMES = 8
# What is left of each frame where it is thinned.
_THIN_PIXELS = 2**11
_THIN_FRAMES = 16
_LEAST_SCAN_PX = 2.0
_ELEMENTS = 2**15


def as_amplitudes(frames: Array, recipe: CountsRecipe | None = None) -> tuple[Array, bool]:
    """Return amplitudes of frames of either quantity, float32, and whether these are roots of photon counts.

    Parameters
    ----------
    frames : array, [n, H, W]
        What is no count becomes 0.
    recipe : CountsRecipe, optional
        The frames are counts, of which it makes amplitudes.
    """
    values = np.where(are_no_counts(frames), frames.dtype.type(0), frames)
    if recipe is not None or values.dtype.kind in "biu":
        return np.sqrt(values, dtype=np.float32), True
    some = np.ascontiguousarray(values.reshape(-1)[:: max(1, values.size // _ELEMENTS)])
    try:
        patterns = choose_patterns(some, "auto", "", "")
        counts = np.empty(values.shape, patterns.dtype)
        patterns.fill(np.ascontiguousarray(values), counts)
    except (OptionError, InexactError):
        return values.astype(np.float32), False
    return np.sqrt(counts, dtype=np.float32), True


@dataclass(frozen=True)
class Evidence:
    """What is judged.

    Parameters
    ----------
    frames : array, [n, H, W]
        Some frames, amplitudes or counts.
    rows : array, [n], int
        Which frames of the scan they are.
    x_px, y_px : array, [N], pixels
        Of all positions, as the product has them.
    center_px : tuple of float
        The object's centre, in the same pixels.
    pixel_m : tuple of float
        Width and height of an object pixel.
    optics : Optics
    recipe : CountsRecipe, optional
        How amplitudes were made of the counts that `frames` are.
    every : int
        Of how many pixels of the detector, in either direction, `frames` have one; see `thin`.
    """

    frames: Array
    rows: Array
    x_px: Array
    y_px: Array
    center_px: tuple[float, float]
    pixel_m: tuple[float, float]
    optics: Optics
    recipe: CountsRecipe | None = None
    every: int = 1
    _seen: dict[str, tuple[Array, Array]] = field(default_factory=dict)

    @cached_property
    def _amplitudes(self) -> tuple[Array, bool]:
        return as_amplitudes(self.frames, self.recipe)

    @property
    def amplitudes(self) -> Array:
        """Amplitudes of the frames, [n, H, W], float32."""
        return self._amplitudes[0]

    @property
    def are_counts(self) -> bool:
        """Whether the amplitudes are roots of photon counts."""
        return self._amplitudes[1]

    @cached_property
    def pixels(self) -> Array:
        """The pixels that tell something: good ones that are not the same in all frames, [H, W], bool."""
        marks = usual_marks(self.frames.dtype, None)
        bad = np.any(are_no_counts(self.frames), axis=0)
        if marks and self.frames.max(initial=0) >= min(marks):
            bad |= np.all(have_marks(self.frames, marks), axis=0)
        told: Array = ~bad & (self.amplitudes != self.amplitudes[:1]).any(axis=0)
        return told

    @cached_property
    def thinning(self) -> int:
        """Of how many pixels, in either direction, one is enough for a first look."""
        height, width = self.optics.probe.shape[-2:]
        common = math.gcd(height, width)
        return max(
            k for k in range(1, common + 1) if common % k == 0 and (k == 1 or height * width >= _THIN_PIXELS * k * k)
        )

    @cached_property
    def thin(self) -> Evidence:
        """Fewer frames of fewer pixels, for a first look."""
        some = slice(None, None, max(1, len(self.rows) // _THIN_FRAMES))
        frames = thinned(self.frames[some], self.thinning)
        return replace(self, frames=frames, rows=self.rows[some], every=self.thinning, _seen={})

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

    def predicted(self, hypothesis: Hypothesis, whole_pixels: bool = False, every: int = 0) -> tuple[Array, Array]:
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
        where = x_px[inside], y_px[inside], self.rows[inside]
        return predicted_amplitudes(optics, *where, whole_pixels=whole_pixels, every=every or self.every), inside

    def glance(self, hypothesis: Hypothesis) -> Agreement:
        """Compare some of the pixels with what a convention predicts."""
        steps = parse_array_transform(hypothesis.frames)
        turned = replace(self, frames=transformed_array(steps, self.frames), _seen={})
        return turned.thin.agreement(replace(hypothesis, frames=""))

    def agreement(self, hypothesis: Hypothesis) -> Agreement:
        """Compare the frames with what a convention predicts; those off the object are not predicted at all."""
        predicted, inside = self.predicted(hypothesis)
        steps = parse_array_transform(hypothesis.frames)
        pixels = transformed_array(steps, self.pixels)
        if not inside.any() or not pixels.any() or pixels.shape != predicted.shape[1:]:
            return NO_AGREEMENT
        measured = transformed_array(steps, self.amplitudes[inside])
        found = agreement(contrast(measured, pixels), contrast(predicted, pixels))
        return replace(found, correlation=found.correlation * float(inside.mean()))
