"""A picture of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptychoproduct.benchmark.report import BenchmarkReport
from ptychoproduct.benchmark.tools import OURS, TOOLS
from ptychoproduct.errors import counted
from ptychoproduct.plots.files import require_matplotlib, save_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Okabe and Ito's colours, which the colour-blind can tell apart; a marker each, for prints in grey.
_STYLES = dict(
    zip(
        TOOLS,
        (
            ("#000000", "o"),
            ("#0072B2", "s"),
            ("#D55E00", "v"),
            ("#009E73", "^"),
            ("#CC79A7", "D"),
            ("#E69F00", "P"),
            ("#56B4E9", "X"),
        ),
        strict=True,
    )
)
_CLOSEST_LABELS = 1.25  # on a logarithmic axis
_TITLES = {
    "convert": "NPZ to product",
    "import": "product to NPZ",
    "batch": "64 random frames of an open product",
}


def plot_report(report: BenchmarkReport, path: Path) -> None:
    """Draw throughput against size, a line for each tool; beside it the speed-up with threads, where it was measured.

    Parameters
    ----------
    report : BenchmarkReport
    path : Path
        ``*.png``, ``*.pdf`` or ``*.svg``; appears when it is complete.

    Raises
    ------
    OptionError
        matplotlib is not installed.
    OutputError
        The file cannot be written.
    """
    require_matplotlib(path)
    from matplotlib.figure import Figure

    panels = 2 if report.scaling else 1
    figure = Figure(figsize=(6.8 * panels, 5.4), dpi=150, layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _plot_sizes(axes[0], report)
    if report.scaling:
        _plot_scaling(axes[1], report)
    machine = report.machine
    medians = "1 round" if report.rounds == 1 else f"medians of {report.rounds} rounds"
    figure.suptitle(
        f"{machine.cpu}, {counted(machine.cores, 'core')}, {machine.file_system}\n"
        f"{report.codec}, {counted(report.threads, 'thread')}, {medians}",
        fontsize="small",
    )
    save_picture(figure, path)


def _plot_sizes(axes: Axes, report: BenchmarkReport) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    for name in TOOLS:
        points = [(result.megabytes, timing.mb_s) for result in report.results if (timing := result.of(name))]
        if points:
            color, marker = _STYLES[name]
            axes.plot(*zip(*points, strict=True), **_line(name), color=color, marker=marker)
    case = report.results[0].case
    storage = "deflated" if case.deflated else "stored"
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=f"dataset size (MB), frames of {case.size_px} x {case.size_px} px",
        ylabel="throughput (MB/s of frames, uncompressed)",
        title=f"{_TITLES[report.action]}: {case.quantity} {case.dtype}, {storage}",
    )
    _label_ticks(axes.xaxis, [result.megabytes for result in report.results])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.25)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, frameon=False)


def _plot_scaling(axes: Axes, report: BenchmarkReport) -> None:
    counts = sorted({scaling.threads for scaling in report.scaling})
    axes.plot(counts, [count / counts[0] for count in counts], "--", color="0.6", label="ideal")
    for name in TOOLS:
        points = [(scaling.threads, scaling.speed_up) for scaling in report.scaling if scaling.tool == name]
        if points:
            color, marker = _STYLES[name]
            axes.plot(*zip(*points, strict=True), **_line(name), color=color, marker=marker)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="threads",
        ylabel=f"speed-up over {counts[0]} thread{'s' if counts[0] > 1 else ''}",
        title=f"scaling on {report.scaling_megabytes:,.0f} MB",
    )
    _label_ticks(axes.xaxis, counts)
    _label_ticks(axes.yaxis, [count / counts[0] for count in counts])
    axes.grid(alpha=0.25)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, frameon=False)


def _line(name: str) -> dict[str, Any]:
    """Return how a tool's line looks: ours above the others."""
    is_ours = name == OURS.name
    return {"label": name, "linewidth": 2.8 if is_ours else 1.4, "zorder": 3 if is_ours else 2}


def _label_ticks(axis: Any, values: Sequence[float]) -> None:
    """Label a logarithmic axis with the values measured, but for those too close to the label before."""
    labelled: list[float] = []
    for value in values:
        if not labelled or value >= labelled[-1] * _CLOSEST_LABELS:
            labelled.append(value)
    axis.set_ticks(labelled, [f"{value:,.3g}" if value < 100 else f"{value:,.0f}" for value in labelled])
    axis.set_ticks([], minor=True)
