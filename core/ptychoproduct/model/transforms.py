"""Other conventions of positions, frames and probes, written as options: ``swap,flip-x`` or ``transpose,flip-rows``.

Every transform is a list of steps, done from left to right. Positions are in object pixels here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError
from ptychoproduct.model.ascending import median

Steps = tuple[tuple[str, tuple[float, ...]], ...]

# How many numbers each step of a positions transform takes.
POSITION_STEPS = {
    "swap": (0,),
    "flip-x": (0,),
    "flip-y": (0,),
    "scale": (1, 2),
    "offset": (2,),
    "reverse": (0,),
    "roll": (1,),
    "unsnake": (0,),
}


def _point_reflected(array: Array) -> Array:
    """Exchange each frequency with its negative: what the conjugates of probe and object give in the far field."""
    shifts = [1 - size % 2 for size in array.shape[-2:]]  # an even number of pixels has one more on one side of zero
    return np.roll(array[..., ::-1, ::-1], shifts, (-2, -1))


_ARRAY_STEPS: dict[str, Callable[[Array], Array]] = {
    "transpose": lambda array: np.swapaxes(array, -1, -2),
    "flip-rows": lambda array: array[..., ::-1, :],
    "flip-columns": lambda array: array[..., ::-1],
    "point-reflect": _point_reflected,
    "fftshift": lambda array: np.fft.fftshift(array, (-2, -1)),
    "ifftshift": lambda array: np.fft.ifftshift(array, (-2, -1)),
    "conjugate": np.conj,
}
PROBE_STEPS = tuple(_ARRAY_STEPS)
FRAME_STEPS = PROBE_STEPS[:-1]
_INVERSES = {"fftshift": "ifftshift", "ifftshift": "fftshift"}


def parse_positions_transform(text: str) -> Steps:
    """Read a transform of positions.

    Parameters
    ----------
    text : str
        Steps with commas between them: ``swap``; ``flip-x`` and ``flip-y``, about the object's centre; ``scale=S`` or
        ``scale=SX:SY``; ``offset=DX:DY`` in object pixels; ``reverse`` the list; ``roll=N`` moves it on by N;
        ``unsnake`` reverses every second row of the scan.

    Raises
    ------
    OptionError
        It is none.
    """
    steps = []
    for word in filter(None, text.split(",")):
        name, _, numbers = word.strip().partition("=")
        try:
            values = tuple(float(number) for number in numbers.split(":")) if numbers else ()
        except ValueError:
            values = (np.nan,)
        unusable = not np.isfinite(values).all() or (name == "scale" and 0 in values)
        if len(values) not in POSITION_STEPS.get(name, ()) or unusable:
            known = "swap, flip-x, flip-y, scale=S, scale=SX:SY, offset=DX:DY, reverse, roll=N, unsnake"
            raise OptionError("positions_transform", f"{word!r} is none of {known}")
        steps.append((name, values))
    return tuple(steps)


def parse_array_transform(text: str, option: str = "frames_transform") -> tuple[str, ...]:
    """Read a transform of frames or of a probe.

    Parameters
    ----------
    text : str
        Steps with commas between them: ``transpose``; ``flip-rows``, so that the first pixel row is the last;
        ``flip-columns``; ``point-reflect`` exchanges each frequency with its negative; ``fftshift``, which moves the
        first pixel to the middle; ``ifftshift``, which undoes that; for a probe also ``conjugate``.
    option : {"frames_transform", "probe_transform"}
        Which of the two; a message names it.

    Raises
    ------
    OptionError
        It is none.
    """
    known = FRAME_STEPS if option == "frames_transform" else PROBE_STEPS
    steps = tuple(word.strip() for word in text.split(",") if word)
    for word in steps:
        if word not in known:
            raise OptionError(option, f"{word!r} is none of {', '.join(known)}")
    return steps


def transformed_array(steps: tuple[str, ...], array: Array) -> Array:
    """Transform the last two axes of an array; a view of it, but for reflections, shifts and the conjugate."""
    for step in steps:
        array = _ARRAY_STEPS[step](array)
    return array


def inverse_steps(steps: tuple[str, ...]) -> tuple[str, ...]:
    """Return the steps that undo a transform of frames or of a probe."""
    return tuple(_INVERSES.get(step, step) for step in reversed(steps))


def transformed_positions(
    steps: Steps, x_px: Array, y_px: Array, center_px: Callable[[Array, Array], tuple[float, float]]
) -> tuple[Array, Array]:
    """Transform positions.

    Parameters
    ----------
    steps : Steps
    x_px, y_px : array, [N] or [K, N], pixels
        Of several lists, the first one says where the centre is, and which order the others get.
    center_px : callable
        Returns x and y of the object's centre, given the positions so far, [N].

    Returns
    -------
    x_px, y_px : array, as before, pixels
        float64, but where the steps only change the order.
    """
    first = (0,) * (x_px.ndim - 1)
    for name, values in steps:
        if name == "swap":
            x_px, y_px = y_px, x_px
        elif name == "flip-x":
            x_px = 2 * center_px(x_px[first], y_px[first])[0] - x_px.astype(np.float64)
        elif name == "flip-y":
            y_px = 2 * center_px(x_px[first], y_px[first])[1] - y_px.astype(np.float64)
        elif name == "scale":
            x_px, y_px = x_px * np.float64(values[0]), y_px * np.float64(values[-1])
        elif name == "offset":
            x_px, y_px = x_px + np.float64(values[0]), y_px + np.float64(values[1])
        else:
            order = reordering(name, values, x_px[first], y_px[first])
            x_px, y_px = x_px[..., order], y_px[..., order]
    return x_px, y_px


def reordering(name: str, values: tuple[float, ...], x_px: Array, y_px: Array) -> Array:
    """Return the order in which a step takes positions, [N], int."""
    numbers = np.arange(len(x_px))
    if name == "reverse":
        return numbers[::-1]
    if name == "roll":
        return np.roll(numbers, int(values[0]))
    parts = np.split(numbers, row_starts(x_px, y_px))
    return np.concatenate([part[::-1] if i % 2 else part for i, part in enumerate(parts)])


def row_starts(x_px: Array, y_px: Array) -> Array:
    """Find where the rows of a raster begin, but the first: where the fast axis jumps back.

    Returns
    -------
    array, int
        Empty where positions are no raster.
    """
    steps = [np.diff(np.asarray(values, np.float64)) for values in (x_px, y_px)]
    fast = max(steps, key=lambda step: abs(median(step)) if step.size else 0.0)
    usual = median(fast) if fast.size else 0.0
    found: Array = np.flatnonzero(fast * np.sign(usual) < -2 * abs(usual)) + 1
    return found
