"""Pictures in a terminal: two pixels a character in colours, or one in shades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text


_SHADES = " ░▒▓█"


def coloured(rows: Sequence[Sequence[float]], is_cyclic: bool) -> Text:
    """Draw values from 0 to 1, two pixel rows in one line; NaN is left out.

    Parameters
    ----------
    rows : sequence of sequence of float
    is_cyclic : bool
        Whether 0 and 1 are the same colour.
    """
    from rich.style import Style
    from rich.text import Text

    from ptychoproduct.plots.colours import CYCLIC, SEQUENTIAL, css_colour

    table = CYCLIC if is_cyclic else SEQUENTIAL
    text = Text(no_wrap=True)
    for top in range(0, len(rows), 2):
        upper = rows[top]
        lower = rows[top + 1] if top + 1 < len(rows) else [math.nan] * len(upper)
        for above, below in zip(upper, lower, strict=True):
            colours = [None if math.isnan(value) else css_colour(value, table) for value in (above, below)]
            if colours[0] is None:
                text.append(" " if colours[1] is None else "▄", Style(color=colours[1]))
            else:
                text.append("▀", Style(color=colours[0], bgcolor=colours[1]))
        text.append("\n")
    text.rstrip()
    return text


def shaded(rows: Sequence[Sequence[float]]) -> Text:
    """Draw values from 0 to 1 without any colour, two pixel rows in one line that shows their mean; NaN is blank."""
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
