"""Pictures in a terminal: two pixels a character in colours, or one in shades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text


_SHADES = " ░▒▓█"
# Equal steps of a value look equal. Viridis, of matplotlib (CC0), and the hues of OKLCh in steps of 30 degrees, at
# lightness 0.72 and chroma 0.12 (https://bottosson.github.io/posts/oklab/).
_SEQUENTIAL = bytes.fromhex("440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725")
_CYCLIC = bytes.fromhex("e183a1 e68677 db9152 c2a140 9bb054 69ba7c 2fbda7 1db8ce 55aee8 87a0f0 b093e5 cf88c8 e183a1")


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


def _colour(value: float, is_cyclic: bool) -> str:
    """Return the colour of a value from 0 to 1, interpolated between those of the table."""
    table = _CYCLIC if is_cyclic else _SEQUENTIAL
    place = value * (len(table) // 3 - 1)
    first = min(int(place), len(table) // 3 - 2)
    anchors = table[3 * first : 3 * first + 6]
    return "#" + "".join(
        f"{round(a + (place - first) * (b - a)):02x}" for a, b in zip(anchors[:3], anchors[3:], strict=True)
    )
