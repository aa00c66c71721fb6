"""A picture of what tuning found: ratio against writing speed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import counted
from ptychoproduct.plots.files import require_matplotlib, save_picture
from ptychoproduct.tuning.trials import Trial
from ptychoproduct.tuning.tune import TuneReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

_Side = Literal["left", "right", "center"]

# Okabe and Ito's colours, which the colour-blind can tell apart.
_FRONT, _OTHER, _BEST, _BOUND = "#0072B2", "0.55", "#D55E00", "#009E73"
_RADIUS_PT = 4.0
_LABEL_DISTANCES_PT = (7, 14, 24, 36, 50, 66, 84, 104, 130, 160, 200, 240)
_DIRECTIONS = 24
_CROWD_PT = 80


def plot_trials(report: TuneReport, path: Path) -> None:
    """Draw ratio against writing speed, and the front that nothing else beats, with the names of its trials.

    Parameters
    ----------
    report : TuneReport
    path : Path
        ``*.png``, ``*.pdf`` or ``*.svg``; appears when it is complete.

    Raises
    ------
    OptionError
        matplotlib is not installed, or the file is to be something else than PNG, PDF or SVG.
    OutputError
        The file cannot be written.
    """
    require_matplotlib(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.5), dpi=150, layout="constrained")
    axes = figure.subplots()
    front = [report.trials[number] for number in report.front]
    front.sort(key=lambda trial: trial.write_mb_s)
    best = report.trials[report.best]
    axes.plot(*_points(front), "-", color=_FRONT, linewidth=1.2, alpha=0.7, label="nothing is better in both", zorder=2)
    others = [trial for trial in report.trials if trial not in front and trial is not best]
    for trials, color, name in (
        (others, _OTHER, None),
        (front, _FRONT, None),
        ([best], _BEST, f"best: {report.objective}"),
    ):
        axes.plot(*_points(trials), "o", color=color, markersize=2 * _RADIUS_PT, label=name, zorder=3)
    if report.bound_ratio is not None:
        axes.axhline(report.bound_ratio, linestyle="--", color=_BOUND, label="Shannon's limit of Poisson counts")
    shape = " x ".join(map(str, report.frame_shape))
    frames = f"{report.sampled} of {counted(report.frames, 'frame')} of {shape}, {report.dtype}"
    if report.sampled_rows is not None:
        frames += f", {report.sampled_rows:,} pixel rows of each"
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="writing (MB/s of frames, uncompressed)",
        ylabel="compression ratio",
        title=f"{report.scan.name}: {frames}, {counted(report.threads, 'thread')}",
    )
    axes.margins(x=0.12, y=0.08)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower left", frameon=False)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # labels must stay where there was room for them
    _label(axes, report.trials, [*front, *([] if best in front else [best])])
    save_picture(figure, path)


def trial_label(trial: Trial) -> str:
    """Name a trial: its codec, and its chunks where they are tiles."""
    depth, rows, columns = trial.chunk_shape
    return f"{trial.codec}  {depth}x{rows}x{columns}"


def _points(trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
    return [trial.write_mb_s for trial in trials], [trial.ratio for trial in trials]


def _label(axes: Axes, trials: Sequence[Trial], named: Sequence[Trial]) -> None:
    """Write the names of some points beside them, or further away with a line to them, where there is room."""
    pixels = axes.figure.dpi / 72
    centres = axes.transData.transform(np.transpose(_points(trials)))
    solid = _around(centres, (_RADIUS_PT + 1) * pixels)
    legend = axes.get_legend()
    if legend is not None:
        solid = np.vstack([solid, legend.get_window_extent().extents])
    corners = axes.transData.transform(np.transpose(_points(named)))
    lines = [_around(_along(*ends, 3 * pixels), pixels) for ends in itertools.pairwise(corners)]
    thin = np.vstack([np.empty((0, 4)), *lines])
    # Points in a crowd choose first; points without a name are in the way, too.
    crowd = [np.sum(np.linalg.norm(centres - centre, axis=1) < _CROWD_PT * pixels) for centre in centres]
    numbers = [number for number, trial in enumerate(trials) if trial in named]
    for number in sorted(numbers, key=lambda number: -crowd[number]):
        label = axes.annotate(
            trial_label(trials[number]),
            (trials[number].write_mb_s, trials[number].ratio),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=6.5,
            verticalalignment="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "shrinkA": 0, "shrinkB": _RADIUS_PT},
        )
        box, line = _place(label, centres[number], np.array(axes.get_window_extent().extents), solid, thin, pixels)
        solid, thin = np.vstack([solid, box]), np.vstack([thin, line])


def _place(
    label: Annotation, centre: Array, frame: Array, solid: Array, thin: Array, pixels: float
) -> tuple[Array, Array]:
    """Move a label to the nearest free place, and return what it and the line to it cover.

    It stays inside the frame and clear of points and other labels, `solid`; if possible its line does, too, and it is
    clear of lines, `thin`. Boxes are x0, y0, x1, y1.
    """
    possible = []
    for offset in _offsets():
        box = _moved(label, offset)
        if np.any(box[:2] < frame[:2]) or np.any(box[2:] > frame[2:]) or _touch(box, solid):
            continue
        points = _along(centre, (box[:2] + box[2:]) / 2, 3 * pixels)
        away = np.linalg.norm(points - centre, axis=1) > (_RADIUS_PT + 2) * pixels
        outside = np.any((points < box[:2]) | (points > box[2:]), axis=1)
        line = _around(points[away & outside], pixels / 2)
        if not _touch(box, thin) and not any(_touch(part, solid) for part in line):
            return box, line
        possible.append((offset, line))
    offset, line = possible[0] if possible else (next(_offsets()), np.empty((0, 4)))
    return _moved(label, offset), line


def _moved(label: Annotation, offset: tuple[float, float, _Side]) -> Array:
    """Move a label, and return the box of its text."""
    from matplotlib.text import Text

    label.set_position(offset[:2])
    label.set_horizontalalignment(offset[2])
    label.get_window_extent()  # moves it; this box includes the line, the next one does not
    return np.array(Text.get_window_extent(label).extents)


def _touch(box: Array, boxes: Array) -> bool:
    return bool(np.any(np.all((boxes[:, :2] < box[2:]) & (boxes[:, 2:] > box[:2]), axis=1)))


def _around(points: Array, radius: float) -> Array:
    return np.hstack([points - radius, points + radius])


def _along(start: Array, stop: Array, step: float) -> Array:
    """Return points on a line, a step apart."""
    count = max(2, round(float(np.linalg.norm(stop - start)) / step) + 1)
    return np.linspace(start, stop, count)


def _offsets() -> Iterator[tuple[float, float, _Side]]:
    """Give places around a point, nearest first: offsets, and the side of the text that is towards the point."""
    for distance in _LABEL_DISTANCES_PT:
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * step / _DIRECTIONS
            x_pt, y_pt = distance * math.cos(angle), distance * math.sin(angle)
            yield x_pt, y_pt, "left" if x_pt > 1 else "right" if x_pt < -1 else "center"
