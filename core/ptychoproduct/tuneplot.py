"""A picture of what tuning found: ratio against writing speed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ptychoproduct.atomic import atomic_output
from ptychoproduct.benchplot import require_matplotlib
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
_DIRECTIONS = 16


def plot_trials(report: TuneReport, path: Path) -> None:
    """Draw ratio against writing speed, every trial labelled, and the front that nothing else beats.

    Parameters
    ----------
    report : TuneReport
    path : Path
        ``*.png``; appears when it is complete.

    Raises
    ------
    OptionError
        matplotlib is not installed, or the file is to be something else than a PNG.
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
    _label(axes, report.trials)
    with atomic_output(path) as part:
        figure.savefig(part, format="png")


def trial_label(trial: Trial) -> str:
    """Name a trial: its codec, and its chunks where they are tiles."""
    depth, rows, columns = trial.chunk_shape
    return f"{trial.codec}  {depth}x{rows}x{columns}"


def _points(trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
    return [trial.write_mb_s for trial in trials], [trial.ratio for trial in trials]


def _label(axes: Axes, trials: Sequence[Trial]) -> None:
    """Write each point's name beside it, or further away with a line to it, where there is room."""
    from matplotlib.transforms import Bbox

    figure = axes.figure
    pixels = figure.dpi / 72
    centres = axes.transData.transform(list(zip(*_points(trials), strict=True)))
    radius = (_RADIUS_PT + 1) * pixels
    taken = [Bbox.from_extents(x - radius, y - radius, x + radius, y + radius) for x, y in centres]
    legend = axes.get_legend()
    taken += [legend.get_window_extent()] if legend is not None else []
    frame = axes.get_window_extent()
    # Those in a crowd choose first.
    crowd = [sum(math.dist(one, other) < 80 * pixels for other in centres) for one in centres]
    for number in sorted(range(len(trials)), key=lambda number: -crowd[number]):
        label = axes.annotate(
            trial_label(trials[number]),
            (trials[number].write_mb_s, trials[number].ratio),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=6.5,
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "shrinkA": 0, "shrinkB": _RADIUS_PT},
        )
        taken.append(_placed(label, frame, taken))


def _placed(label: Annotation, frame: Bbox, taken: Sequence[Bbox]) -> Bbox:
    """Move a label to the nearest place inside the frame that is free, and return where it is."""
    from matplotlib.text import Text

    label.set_verticalalignment("center")
    for x_pt, y_pt, side in _offsets():
        label.set_position((x_pt, y_pt))
        label.set_horizontalalignment(side)
        label.get_window_extent()  # puts it there; its own box has the line in it
        box = Text.get_window_extent(label)
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        if inside and not any(box.overlaps(other) for other in taken):
            break
    return box


def _offsets() -> Iterator[tuple[float, float, Literal["left", "right", "center"]]]:
    """Give places around a point, nearest first: offsets, and the side of the text that is towards the point."""
    for distance in _LABEL_DISTANCES_PT:
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * step / _DIRECTIONS
            x_pt, y_pt = distance * math.cos(angle), distance * math.sin(angle)
            yield x_pt, y_pt, "left" if x_pt > 1 else "right" if x_pt < -1 else "center"
