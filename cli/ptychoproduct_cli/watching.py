"""``ptychoproduct inspect --watch``: a product while it grows."""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct_cli.command import EXIT_OK
from ptychoproduct_cli.output import new_console

if TYPE_CHECKING:
    from rich.text import Text

_EVERY_S = 0.5
# A look at a file at the moment that it changes may fail.
_MOST_FAILURES = 6
_ROWS, _COLUMNS = 38, 38


def watch(arguments: argparse.Namespace) -> int:
    """Show a product again and again until it is complete; in a pipe, print a line whenever it has grown."""
    from rich.live import Live
    from rich.text import Text

    console = new_console()
    shown, failures = -1, 0
    with Live(Text(), console=console, auto_refresh=False, transient=False) as live:
        while True:
            try:
                frames, is_live, picture = _look(Path(arguments.product), console.is_terminal)
                failures = 0
            except Exception:
                failures += 1
                if failures > _MOST_FAILURES or shown < 0:
                    raise
                time.sleep(_EVERY_S)
                continue
            line = f"{frames:,} frames{'' if is_live else ', complete'}"
            if not console.is_terminal and (frames != shown or not is_live):
                print(line, flush=True)
            elif console.is_terminal:
                live.update(Text.assemble((f"{line}\n", "bold"), picture), refresh=True)
            shown = frames
            if not is_live:
                return EXIT_OK
            time.sleep(_EVERY_S)


def _look(path: Path, with_picture: bool) -> tuple[int, bool, Text]:
    """Return how many frames a product has now, whether it is being written, and a picture of their mean."""
    from rich.text import Text

    from ptychoproduct import ProductWarning, open_product
    from ptychoproduct.plots.thumbnails import product_thumbnails
    from ptychoproduct_cli.terminal_image import coloured

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_product(path) as product:
            frames = 0 if product.frames is None else len(product.frames)
            picture = Text()
            if with_picture and frames:
                pattern = product_thumbnails(product, _ROWS, _COLUMNS)[-1]
                picture = coloured(pattern.values.tolist(), pattern.is_cyclic)
    said = (str(warning.message) for warning in caught if issubclass(warning.category, ProductWarning))
    is_live = any("another program is writing it" in text for text in said)
    return frames, is_live, picture
