"""``ptychoproduct bench``: how fast this machine converts, compared with other tools."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct_cli.command import EXIT_OK, Command
from ptychoproduct_cli.options import add_output_options, add_plot_option, whole_numbers
from ptychoproduct_cli.output import new_console, print_result, print_rows
from ptychoproduct_cli.progress import step_progress
from ptychoproduct_cli.quantities import number_in, numbers_in, whole_number_in

if TYPE_CHECKING:
    from rich.table import Table

    from ptychoproduct.benchmark.benchmark import BenchmarkOptions
    from ptychoproduct.benchmark.machine import Machine
    from ptychoproduct.benchmark.report import BenchmarkReport


SUMMARY = "measure the speed on this machine, and that of other tools"
DESCRIPTION = """\
Measure the throughput on this machine with simulated scans, each larger than the one before, until memory, disk or
time run out. Every other tool that is installed does the same work: h5py with hdf5plugin, PtychoPINN's exporter, zarr,
tensorstore. np.load alone and cp show how fast reading and copying are. Each run is a process of its own; its time
starts after its imports and ends when its output is on the disk. The tools take turns, and every result is compared
with the scan. A ratio is the time of ptychoproduct divided by the time of the other tool.
"""
EXAMPLES = (
    "ptychoproduct bench",
    "ptychoproduct bench --action import --seconds 30 --plot throughput.png",
    "ptychoproduct bench --megabytes 16,64 --rounds 1 --peers h5py,zarr",
)


# Processes that want a core, for each core, from which on a machine is not idle.
_BUSY_LOAD = 0.25


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what is measured")
    what.add_argument(
        "--action",
        choices=("convert", "import", "batch"),
        default="convert",
        help="convert: scan to product; import: product to scan; batch: read 64 random frames (default: %(default)s)",
    )
    what.add_argument(
        "--quantity",
        choices=("amplitude", "counts"),
        default="amplitude",
        help="what frames hold: float32 amplitudes, which are square roots of photon counts, or uint16 photon counts "
        "(default: %(default)s)",
    )
    what.add_argument("--deflated", action="store_true", help="compress the NPZ scans (deflate)")
    what.add_argument(
        "--size",
        type=whole_number_in("px"),
        default=256,
        metavar="px",
        help="width and height of a frame (default: %(default)s)",
    )
    what.add_argument(
        "--compression",
        default="balanced",
        metavar="CODEC|PROFILE",
        help="as for `ptychoproduct convert`; zarr and tensorstore use the nearest codec they have "
        "(default: %(default)s)",
    )
    what.add_argument(
        "--threads",
        type=whole_numbers,
        default=(),
        metavar="N,N,...",
        help="number of threads; several numbers are compared on one size, and the largest is used for all sizes "
        "(default: all cores)",
    )
    what.add_argument(
        "--peers",
        type=_words,
        metavar="NAME,...",
        help="other tools to measure (default: all that are installed)",
    )
    extent = parser.add_argument_group("how much is measured")
    extent.add_argument(
        "--seconds",
        type=number_in("s"),
        default=60.0,
        metavar="s",
        help="about how long to measure, in seconds; slow tools are left out where a size would take longer "
        "(default: %(default)g)",
    )
    extent.add_argument(
        "--megabytes",
        type=numbers_in("MB"),
        default=(),
        metavar="MB,MB,...",
        help="sizes of the scans' frames; all are measured, however long it takes (default: 16, 64, 256 and so on)",
    )
    extent.add_argument(
        "--rounds",
        type=int,
        default=3,
        metavar="N",
        help="runs of each tool; the median is reported (default: %(default)s)",
    )
    extent.add_argument(
        "--folder",
        metavar="DIR",
        help="folder to work in, on the disk to measure; all files are removed afterwards (default: the system's "
        "temporary folder)",
    )
    add_plot_option(parser, "throughput against size")
    add_output_options(parser)


def bench(arguments: argparse.Namespace) -> int:
    """Measure, and print tables."""
    from ptychoproduct.benchmark.benchmark import run_benchmark
    from ptychoproduct.benchmark.plot import plot_report
    from ptychoproduct.plots.files import require_matplotlib

    options = _options(arguments)
    if arguments.plot:
        require_matplotlib(Path(arguments.plot))
    with step_progress(arguments) as progress:
        report = run_benchmark(options, progress)
    ratios = [result.ratio_to_best for result in report.results]
    print_result(asdict(report) | {"ratios_to_best": ratios}, partial(_print_tables, report), arguments)
    if arguments.plot:
        plot_report(report, Path(arguments.plot))
    return EXIT_OK


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _options(arguments: argparse.Namespace) -> BenchmarkOptions:
    import tempfile

    from ptychoproduct.benchmark.benchmark import BenchmarkOptions

    return BenchmarkOptions(
        folder=Path(arguments.folder or tempfile.gettempdir()),
        action=arguments.action,
        quantity=arguments.quantity,
        deflated=arguments.deflated,
        size_px=arguments.size,
        codec=arguments.compression,
        threads=arguments.threads,
        megabytes=arguments.megabytes,
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        peers=arguments.peers,
    )


def _print_tables(report: BenchmarkReport) -> None:
    from ptychoproduct.errors import counted

    console = new_console()
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    load = "" if machine.load is None else f", load {machine.load:.1f} before the start"
    print_rows(
        {
            "machine": f"{machine.cpu}, {counted(machine.cores, 'core')}, {machine.memory_bytes / 1e9:.0f} GB{load}",
            "folder": f"{machine.folder} ({machine.file_system})",
            "versions": versions,
            "codec": f"{report.codec}, {counted(report.threads, 'thread')}",
            **_not_idle(machine),
        }
    )
    tables = [_size_table(report), _tool_table(report)]
    if report.scaling:
        tables.append(_scaling_table(report))
    for table in tables:
        console.print()
        console.print(table)
    problems = {timing.tool: timing.problem for result in report.results for timing in result.timings if timing.problem}
    for name, reason in (report.absent | problems).items():
        console.print(f"{name}: {reason}", style="dim", markup=False, highlight=False)


def _not_idle(machine: Machine) -> dict[str, str]:
    """Say that other programs were running, which makes times longer and ratios uncertain."""
    if machine.load is None or machine.load < _BUSY_LOAD * machine.cores:
        return {}
    return {"not idle": "other programs were running; measure again when they are not"}


def _size_table(report: BenchmarkReport) -> Table:
    """Tabulate throughput, with a line for each size."""
    names = list(dict.fromkeys(timing.tool for result in report.results for timing in result.timings))
    case = report.results[0].case
    storage = "deflated" if case.deflated else "stored"
    table = _table(
        f"{report.action}, {case.quantity} {case.dtype}, {storage}: MB/s of frames",
        "MB",
        *names,
        "ratio",
        caption="ratio: time of ptychoproduct divided by that of the fastest other tool that compresses",
    )
    for result in report.results:
        speeds = [timing.mb_s if (timing := result.of(name)) else None for name in names]
        table.add_row(f"{result.megabytes:,.0f}", *(_number(speed) for speed in speeds), _ratio(result.ratio_to_best))
    return table


def _tool_table(report: BenchmarkReport) -> Table:
    """Tabulate the largest scan, with a line for each tool."""
    result = report.results[-1]
    table = _table(f"{result.megabytes:,.0f} MB", "tool", "MB/s", "ratio", "output, MB", "memory, MB", "start-up, s")
    table.columns[0].justify = "left"
    for timing in result.timings:
        if timing.median_s is None:
            continue
        table.add_row(
            timing.tool,
            _number(timing.mb_s),
            _ratio(timing.ratio),
            _number(timing.output_bytes / 1e6),
            _number(timing.peak_memory_bytes and timing.peak_memory_bytes / 1e6),
            _ratio(timing.start_up_s),
        )
    return table


def _scaling_table(report: BenchmarkReport) -> Table:
    table = _table(
        f"threads, on {report.scaling_megabytes:,.0f} MB", "tool", "threads", "MB/s", "speed-up", "efficiency"
    )
    table.columns[0].justify = "left"
    for scaling in report.scaling:
        table.add_row(
            scaling.tool,
            str(scaling.threads),
            _number(scaling.mb_s),
            _ratio(scaling.speed_up),
            f"{scaling.efficiency:.0%}",
        )
    return table


def _table(title: str, *columns: str, caption: str | None = None) -> Table:
    from rich import box
    from rich.table import Table

    # All tools side by side fit 80 columns without padding.
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.title_justify = table.caption_justify = "left"
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


COMMAND = Command("ptychoproduct bench", SUMMARY, DESCRIPTION, _add_arguments, bench, EXAMPLES)
build_command_parser = COMMAND.parser
