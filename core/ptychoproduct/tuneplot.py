"""A picture of what tuning found: ratio against writing speed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ptychoproduct.pictures import require_matplotlib, save_picture
from ptychoproduct.trials import Trial
from ptychoproduct.tuning import TuneReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

# Okabe and Ito's colours, which the colour-blind can tell apart.
_FRONT, _OTHER, _BEST, _BOUND = "#0072B2", "0.55", "#D55E00", "#009E73"
_RADIUS_PT = 4.0
_LABEL_DISTANCES_PT = (7, 14, 24, 36, 50, 66, 84, 104, 130, 160, 200, 240)
_DIRECTIONS = 24
_CROWD_PT = 80


def plot_trials(report: TuneReport, path: Path) -> None:
    """Draw ratio against writing speed, every trial labelled, and the front that nothing else beats.

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
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="writing (MB/s of frames, uncompressed)",
        ylabel="compression ratio",
        title=f"{report.scan.name}: {report.sampled} of {report.frames:,} frames of {shape}, {report.dtype}, "
        f"{report.threads} threads",
    )
    axes.margins(x=0.12, y=0.08)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower left", frameon=False)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # labels have to stay where there was room
    _label(axes, report.trials, front)
    save_picture(figure, path)


def trial_label(trial: Trial) -> str:
    """Name a trial: its codec, and its chunks where they are tiles."""
    depth, rows, columns = trial.chunk_shape
    return f"{trial.codec}  {depth}x{rows}x{columns}"


def _points(trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
    return [trial.write_mb_s for trial in trials], [trial.ratio for trial in trials]


def _label(axes: Axes, trials: Sequence[Trial], front: Sequence[Trial]) -> None:
    """Write each point's name beside it, or further away with a line to it, where there is room."""
    pixels = axes.figure.dpi / 72
    centres = axes.transData.transform(list(zip(*_points(trials), strict=True)))
    taken = [_box_around(centre, (_RADIUS_PT + 1) * pixels) for centre in centres]
    corners = axes.transData.transform(list(zip(*_points(front), strict=True)))
    for start, stop in itertools.pairwise(corners):
        taken += [_box_around(point, pixels) for point in _along(start, stop, 3 * pixels)]
    legend = axes.get_legend()
    taken += [legend.get_window_extent()] if legend is not None else []
    # Those in a crowd choose first.
    crowd = [sum(math.dist(one, other) < _CROWD_PT * pixels for other in centres) for one in centres]
    for number in sorted(range(len(trials)), key=lambda number: -crowd[number]):
        label = axes.annotate(
            trial_label(trials[number]),
            (trials[number].write_mb_s, trials[number].ratio),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=6.5,
            verticalalignment="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "shrinkA": 0, "shrinkB": _RADIUS_PT},
        )
        taken += _place(label, centres[number], axes.get_window_extent(), taken, pixels)


def _place(label: Annotation, centre: Sequence[float], frame: Bbox, taken: Sequence[Bbox], pixels: float) -> list[Bbox]:
    """Move a label to the nearest place inside the frame that is free, and return what it and its line cover."""
    from matplotlib.text import Text

    for x_pt, y_pt, side in _offsets():
        label.set_position((x_pt, y_pt))
        label.set_horizontalalignment(side)
        label.get_window_extent()  # puts it there; its own box has the line in it
        box = Text.get_window_extent(label)
        middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        line = [point for point in _along(centre, middle, 3 * pixels) if not box.contains(*point)]
        outside = [point for point in line if math.dist(point, centre) > (_RADIUS_PT + 2) * pixels]
        covered = [box, *(_box_around(point, pixels / 2) for point in outside)]
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        if inside and not any(part.overlaps(other) for part in covered for other in taken):
            break
    return covered


def _box_around(point: Sequence[float], radius: float) -> Bbox:
    from matplotlib.transforms import Bbox

    return Bbox.from_extents(point[0] - radius, point[1] - radius, point[0] + radius, point[1] + radius)


def _along(start: Sequence[float], stop: Sequence[float], step: float) -> list[tuple[float, float]]:
    """Return points on a line, a step apart."""
    count = max(1, round(math.dist(start, stop) / step))
    parts = [number / count for number in range(count + 1)]
    return [(start[0] + part * (stop[0] - start[0]), start[1] + part * (stop[1] - start[1])) for part in parts]


def _offsets() -> Iterator[tuple[float, float, Literal["left", "right", "center"]]]:
    """Give places around a point, nearest first: offsets, and the side of the text that is towards the point."""
    for distance in _LABEL_DISTANCES_PT:
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * step / _DIRECTIONS
            x_pt, y_pt = distance * math.cos(angle), distance * math.sin(angle)
            yield x_pt, y_pt, "left" if x_pt > 1 else "right" if x_pt < -1 else "center"
