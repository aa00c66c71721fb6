"""``ptychoproduct bench``: how fast this machine converts, beside other tools."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct_cli.command import EXIT_OK, Command
from ptychoproduct_cli.options import add_output_options
from ptychoproduct_cli.output import print_json, print_rows
from ptychoproduct_cli.progress import step_progress
from ptychoproduct_cli.quantities import number_in, numbers_in, whole_number_in

if TYPE_CHECKING:
    from rich.table import Table

    from ptychoproduct.benchmark.benchmark import BenchmarkOptions
    from ptychoproduct.benchmark.report import BenchmarkReport


SUMMARY = "measure the throughput on this machine, beside other tools"
DESCRIPTION = """\
Measure the throughput on this machine, on simulated scans that grow until memory, disk or the time given are used up.
Every tool that is installed does the same: h5py with hdf5plugin, PtychoPINN's way, zarr, tensorstore; np.load alone
and cp show what cannot be undercut. Each run is a process of its own, timed from its packages imported to its output
on the disk; tools take turns; every result is compared with the scan. A ratio is our time divided by the other's.
"""
EXAMPLES = (
    "ptychoproduct bench",
    "ptychoproduct bench --action import --seconds 30 --plot throughput.png",
    "ptychoproduct bench --megabytes 16,64 --rounds 1 --peers h5py,zarr",
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what is measured")
    what.add_argument(
        "--action",
        choices=("convert", "import", "batch"),
        default="convert",
        help="scan to product, product to scan, or reading 64 random frames (default: %(default)s)",
    )
    what.add_argument(
        "--quantity",
        choices=("amplitude", "counts"),
        default="amplitude",
        help="float32 square roots of counts, or uint16 counts (default: %(default)s)",
    )
    what.add_argument("--deflated", action="store_true", help="deflate the members of the scans")
    what.add_argument(
        "--size",
        type=whole_number_in("px"),
        default=256,
        metavar="px",
        help="rows and columns of a frame (default: %(default)s)",
    )
    what.add_argument(
        "--compression",
        default="balanced",
        metavar="CODEC|PROFILE",
        help="as for ptychoproduct convert; zarr and tensorstore get the nearest that they have (default: %(default)s)",
    )
    what.add_argument(
        "--threads",
        type=_whole_numbers,
        default=(),
        metavar="N,N,...",
        help="threads; several numbers are compared, and the largest is used for all sizes (default: all cores)",
    )
    what.add_argument(
        "--peers",
        type=_words,
        metavar="NAME,...",
        help="tools to measure beside ours (default: all that are installed)",
    )
    extent = parser.add_argument_group("how much is measured")
    extent.add_argument(
        "--seconds",
        type=number_in("s"),
        default=60.0,
        metavar="s",
        help="about how long it may take; the slowest tools are left out of sizes that would take longer "
        "(default: %(default)g)",
    )
    extent.add_argument(
        "--megabytes",
        type=numbers_in("MB"),
        default=(),
        metavar="MB,MB,...",
        help="sizes of the frames of the scans, however long they take (default: from 16 MB on, by fours)",
    )
    extent.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="runs of each tool; medians count (default: %(default)s)"
    )
    extent.add_argument(
        "--folder",
        metavar="DIR",
        help="folder on the disk to measure; what is written there is removed (default: the system's temporary folder)",
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="draw throughput against size, as PNG, PDF or SVG; needs matplotlib"
    )
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
    if arguments.json:
        ratios = [result.ratio_to_best for result in report.results]
        print_json(asdict(report) | {"ratios_to_best": ratios})
    elif not arguments.quiet:
        _print_tables(report)
    if arguments.plot:
        plot_report(report, Path(arguments.plot))
    return EXIT_OK


def _whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


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
    from rich.console import Console

    console = Console()
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    load = "" if machine.load is None else f", load {machine.load:.1f} before"
    print_rows(
        {
            "machine": f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 1e9:.0f} GB{load}",
            "folder": f"{machine.folder} ({machine.file_system})",
            "versions": versions,
            "codec": f"{report.codec}, {report.threads} threads",
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


def _size_table(report: BenchmarkReport) -> Table:
    """Tabulate throughput, a row a size."""
    names = list(dict.fromkeys(timing.tool for result in report.results for timing in result.timings))
    case = report.results[0].case
    storage = "deflated" if case.deflated else "stored"
    table = _table(
        f"{report.action}, {case.quantity} {case.dtype}, {storage}: MB/s of frames",
        "MB",
        *names,
        "ratio",
        caption="ratio: our time divided by that of the fastest other tool that compresses",
    )
    for result in report.results:
        speeds = [timing.mb_s if (timing := result.of(name)) else None for name in names]
        table.add_row(f"{result.megabytes:,.0f}", *(_number(speed) for speed in speeds), _ratio(result.ratio_to_best))
    return table


def _tool_table(report: BenchmarkReport) -> Table:
    """Tabulate the largest scan, a row a tool."""
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
