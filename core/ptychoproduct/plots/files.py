"""Pictures as files, with matplotlib where that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct.errors import OptionError
from ptychoproduct.system.atomic import atomic_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_FORMATS = (".png", ".pdf", ".svg")


def require_matplotlib(path: Path | None = None) -> None:
    """Check that a picture can be drawn, before time is spent on its content.

    Parameters
    ----------
    path : Path, optional
        Where it shall be written.

    Raises
    ------
    OptionError
        matplotlib is not installed, or the file is to be something else than PNG, PDF or SVG.
    """
    if path is not None and path.suffix.lower() not in _FORMATS:
        raise OptionError("plot", f"{path.name!r} must end in one of {', '.join(_FORMATS)}")
    try:
        import matplotlib.figure  # noqa: F401 - is it there?
    except ImportError as error:
        raise OptionError("plot", "needs matplotlib: pip install matplotlib") from error


def save_picture(figure: Figure, path: Path, sources: tuple[Path, ...] = ()) -> None:
    """Write a figure to a file, which appears when it is complete.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : Path
        ``*.png``, ``*.pdf`` or ``*.svg``.
    sources : tuple of Path
        Files that `path` must not be.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with atomic_output(path, sources=sources) as part:
        figure.savefig(part, format=path.suffix.lower().removeprefix("."))
