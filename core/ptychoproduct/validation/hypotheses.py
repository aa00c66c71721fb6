"""Conventions that a product may have in place of its own, as data: what each is, and the options that mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Hypothesis:
    """A convention: with these transforms a product is as it should be.

    Parameters
    ----------
    sentence : str
        What it says of the product.
    positions, frames, probe : str
        See `parse_positions_transform` and `parse_array_transform`.
    """

    sentence: str
    positions: str = ""
    frames: str = ""
    probe: str = ""

    @property
    def options(self) -> dict[str, str]:
        """The options of an export that mend it, by their names in Python."""
        transforms = {"positions": self.positions, "frames": self.frames, "probe": self.probe}
        return {f"{name}_transform": text for name, text in transforms.items() if text}

    @property
    def steps(self) -> int:
        """How many steps it takes to mend, a reflection being two: of two that explain alike, the simpler is told."""
        texts = (self.positions, self.frames, self.probe)
        return sum(text.count(",") + text.count("reflect") + 1 for text in texts if text)

    def beside(self, other: Hypothesis) -> Hypothesis:
        """Return this and another one together."""
        sentences = [sentence for sentence in (self.sentence, other.sentence) if sentence]
        return Hypothesis(
            ", and ".join(sentences),
            self.positions or other.positions,
            self.frames or other.frames,
            self.probe or other.probe,
        )


AS_IT_IS = Hypothesis("")

DIRECTIONS = (
    Hypothesis("x and y of the positions are exchanged", "swap"),
    Hypothesis("x of the positions is reversed", "flip-x"),
    Hypothesis("y of the positions is reversed", "flip-y"),
    Hypothesis("x and y of the positions are reversed", "flip-x,flip-y"),
    Hypothesis("x and y of the positions are exchanged, and x is reversed then", "swap,flip-x"),
    Hypothesis("x and y of the positions are exchanged, and y is reversed then", "swap,flip-y"),
    Hypothesis("x and y of the positions are exchanged and reversed", "swap,flip-x,flip-y"),
)
ORDERS = (
    Hypothesis("the positions are in reverse order", "reverse"),
    Hypothesis("the positions are one frame early", "roll=1"),
    Hypothesis("the positions are one frame late", "roll=-1"),
    Hypothesis("every second row of the scan runs the other way", "unsnake"),
)


def _orientations(subject: str) -> list[tuple[str, str]]:
    """Return the eight orientations of pixel rows and columns: what each says, and how it is mended."""
    turned = [(f"{subject} transposed", "transpose"), ("", "")]
    flips = [
        ("", ""),
        ("the pixel rows in reverse", "flip-rows"),
        ("the columns in reverse", "flip-columns"),
        ("pixel rows and columns in reverse", "flip-rows,flip-columns"),
    ]
    found = []
    for (first, transpose), (second, flip) in product(turned, flips):
        words = " with ".join(filter(None, (first or (subject if second else ""), second)))
        found.append((words, ",".join(filter(None, (transpose, flip)))))
    return found


def _arrays(subject: str, field: str) -> list[Hypothesis]:
    corner = f"{subject} with zero frequency at the corner" if field == "frames" else f"{subject} centred at the corner"
    found = []
    for (sentence, steps), shifted in product(_orientations(subject), (False, True)):
        words = ", and ".join(filter(None, (sentence, corner if shifted else "")))
        text = ",".join(filter(None, ("fftshift" if shifted else "", steps)))
        found.append(Hypothesis(f"{words}" if words else "", **{field: text}))
    return [hypothesis for hypothesis in found if hypothesis.steps]


FRAMES = tuple(
    Hypothesis(f"the product has {hypothesis.sentence}", frames=hypothesis.frames)
    for hypothesis in _arrays("frames", "frames")
)
# Of detectors that are read the other way round, and of transforms of the other sign, which the conjugates of probe and
# object have, too: these differ by one pixel.
FRAMES += (
    Hypothesis(
        "the product has frames with each frequency at its negative, or probe and object are conjugates",
        frames="point-reflect",
    ),
)
PROBES = tuple(
    Hypothesis(f"the product has {hypothesis.sentence}", probe=hypothesis.probe)
    for hypothesis in _arrays("a probe", "probe")
    if "fftshift," not in hypothesis.probe
)
CONJUGATE = Hypothesis("the product has the conjugate of the probe", probe="conjugate")
PROBES += (
    CONJUGATE,
    *(Hypothesis(f"{one.sentence}, as its conjugate", probe=f"{one.probe},conjugate") for one in PROBES),
)


def scales(pixel_m: tuple[float, float]) -> list[Hypothesis]:
    """Return what positions may have been multiplied by.

    Parameters
    ----------
    pixel_m : tuple of float
        Width and height of an object pixel.
    """
    width, height = pixel_m
    found = [
        Hypothesis(f"the positions are in another unit, {factor:.0e} times as large", f"scale={factor!r}")
        for factor in (1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9)
    ]
    for unit_m, name in ((1.0, "metres"), (1e-6, "micrometres"), (1e-9, "nanometres")):
        for word, factor in ((f"{name} taken as pixels", unit_m / width), (f"pixels taken as {name}", width / unit_m)):
            found.append(Hypothesis(f"the positions are {word}", f"scale={factor!r}"))
    if abs(width / height - 1) > 0.01:
        found.append(
            Hypothesis("the two pixel sizes are exchanged", f"scale={width / height!r}:{height / width!r}"),
        )
    return found


def centers(
    middle_px: tuple[float, float],
    center_px: tuple[float, float],
    probe_shape: Sequence[int],
    object_shape: Sequence[int],
) -> list[tuple[str, tuple[float, float]]]:
    """Return what positions may count from: a name, and x and y of the offset in pixels that mends it.

    Parameters
    ----------
    middle_px : tuple of float
        The middle of the scan, as positions have it.
    center_px : tuple of float
        The centre of the object, as the product has it.
    probe_shape, object_shape : sequence of int
        Rows and columns last.
    """
    half_object = ((object_shape[-1] - 1) / 2, (object_shape[-2] - 1) / 2)
    half_probe = ((probe_shape[-1] - 1) / 2, (probe_shape[-2] - 1) / 2)
    named = [
        ("the object's first pixel", tuple(c - half for c, half in zip(center_px, half_object, strict=True))),
        ("the object's middle", center_px),
        ("the corner of the patch under the probe", half_probe),
        ("the middle of the patch under the probe", tuple(-half for half in half_probe)),
        ("the scan's middle", tuple(c - middle for c, middle in zip(center_px, middle_px, strict=True))),
    ]
    first = named[0][1]
    named.append(
        (
            "the object's first pixel, for the corner of the patch",
            tuple(offset + half for offset, half in zip(first, half_probe, strict=True)),
        )
    )
    return [(name, (offset[0], offset[1])) for name, offset in named if max(abs(v) for v in offset) >= 1]
