"""Pictures in a terminal: two pixels a character in colours, or one in shades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text


_SHADES = " ░▒▓█"


def coloured(rows: Sequence[Sequence[float]], is_cyclic: bool) -> Text:
    """Draw values from 0 to 1, two rows in one line; NaN is left out.

    Parameters
    ----------
    rows : sequence of sequence of float
    is_cyclic : bool
        Whether 0 and 1 are the same colour.
    """
    from rich.style import Style
    from rich.text import Text

    text = Text(no_wrap=True)
    for top in range(0, len(rows), 2):
        upper = rows[top]
        lower = rows[top + 1] if top + 1 < len(rows) else [math.nan] * len(upper)
        for above, below in zip(upper, lower, strict=True):
            colours = [None if math.isnan(value) else _colour(value, is_cyclic) for value in (above, below)]
            if colours[0] is None:
                text.append(" " if colours[1] is None else "▄", Style(color=colours[1]))
            else:
                text.append("▀", Style(color=colours[0], bgcolor=colours[1]))
        text.append("\n")
    text.rstrip()
    return text


def shaded(rows: Sequence[Sequence[float]]) -> Text:
    """Draw values from 0 to 1 without any colour, two rows in one line that shows their mean; NaN is blank."""
    from rich.text import Text

    lines = []
    for top in range(0, len(rows), 2):
        pair = rows[top : top + 2]
        means = [sum(column) / len(pair) for column in zip(*pair, strict=True)]
        lines.append("".join(_shade(mean) for mean in means))
    return Text("\n".join(lines), no_wrap=True)


def _shade(value: float) -> str:
    if math.isnan(value):
        return " "
    return _SHADES[min(int(value * len(_SHADES)), len(_SHADES) - 1)]


def _colour(value: float, is_cyclic: bool) -> str:
    """Return a colour in which equal steps of the value look equal: in lightness, or in hue where it is cyclic."""
    if is_cyclic:
        return _oklch(0.72, 0.12, 2 * math.pi * value)
    return _oklch(0.12 + 0.83 * value, 0.13 * math.sin(math.pi * min(value, 0.85)), math.radians(300 + 150 * value))


def _oklch(lightness: float, chroma: float, hue: float) -> str:
    """Convert OKLCh, a perceptually uniform space, to sRGB: https://bottosson.github.io/posts/oklab/."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _gamma(min(max(part, 0.0), 1.0))):02x}" for part in linear)


def _gamma(linear: float) -> float:
    """Encode linear light for sRGB."""
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
