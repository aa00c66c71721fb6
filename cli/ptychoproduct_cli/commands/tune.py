"""``ptychoproduct tune``: the codec and chunk shape that suit a scan, found by trying."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct_cli import options
from ptychoproduct_cli.command import EXIT_OK, Command
from ptychoproduct_cli.output import new_console, print_result, print_rows
from ptychoproduct_cli.progress import step_progress
from ptychoproduct_cli.quantities import number_in

if TYPE_CHECKING:
    from ptychoproduct import TuneReport


SUMMARY = "find the codec and chunk shape that suit a scan"
DESCRIPTION = """\
Try codecs, levels, block sizes and chunk shapes on a sample of frames from the whole scan. Each trial compresses the
sample on all cores, as convert does, and reads it back, whole and frame by frame; no file is written. The best trial
for the objective has an arrow. A trial has an asterisk where no other is better in both ratio and writing speed. The
last line of the output is the command that converts the scan with the best trial's codec and chunk shape.
"""
EXAMPLES = (
    "ptychoproduct tune scan.npz",
    "ptychoproduct tune scan.npz --objective ratio --min-write-mb-s 100",
    "ptychoproduct tune scan.npz --seconds 5 --plot tune.png",
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scan", metavar="SCAN", help="scan, as for `ptychoproduct convert`: NPZ, NPY or HDF5")
    wanted = parser.add_argument_group("what is wanted")
    wanted.add_argument(
        "--objective",
        choices=("ratio", "write", "read", "balanced"),
        default="balanced",
        help="ratio: the smallest product; write, read: the fastest to write or to read whole; balanced: the least "
        "time to convert, send over 1 Gbit/s and read once (default: %(default)s)",
    )
    wanted.add_argument(
        "--min-write-mb-s",
        type=number_in("MB/s"),
        default=0.0,
        metavar="MB/s",
        help="least writing speed that the best trial must have (default: none)",
    )
    wanted.add_argument("--threads", type=int, metavar="N", help="number of cores that compress (default: all)")
    wanted.add_argument(
        "--seconds",
        type=number_in("s"),
        default=25.0,
        metavar="s",
        help="about how long to try, in seconds (default: %(default)g)",
    )
    options.add_companion_options(parser)
    options.add_axis_order_option(parser)
    options.add_memory_option(parser)
    options.add_plot_option(parser, "ratio against writing speed")
    options.add_output_options(parser)


def tune(arguments: argparse.Namespace) -> int:
    """Measure, print the table and the command to run."""
    from ptychoproduct import TuneOptions, tune_scan
    from ptychoproduct.plots.files import require_matplotlib

    tune_options = TuneOptions(
        objective=arguments.objective,
        min_write_mb_s=arguments.min_write_mb_s,
        threads=arguments.threads,
        seconds=arguments.seconds,
        axis_order=arguments.axis_order,
        memory_bytes=options.memory_bytes(arguments),
    )
    if arguments.plot:
        require_matplotlib(Path(arguments.plot))
    files = options.scan_files(arguments, arguments.scan)
    with step_progress(arguments) as progress:
        report = tune_scan(files, tune_options, progress)
    if arguments.plot:
        from ptychoproduct.tuning.plot import plot_trials

        plot_trials(report, Path(arguments.plot))
    command = _convert_command(report, arguments)

    def show() -> None:
        _print_table(report)
        _print_notes(report, arguments)
        print(shlex.join(command))

    print_result(asdict(report) | {"convert": command}, show, arguments)
    return EXIT_OK


def _print_table(report: TuneReport) -> None:
    from rich import box
    from rich.table import Table

    from ptychoproduct.errors import counted

    shape, threads = " x ".join(map(str, report.frame_shape)), counted(report.threads, "thread")
    table = Table(
        title=f"{report.sampled} of {counted(report.frames, 'frame')} of {shape}, {report.dtype}; {threads}",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    table.title_justify = "left"
    table.add_column("")
    table.add_column("codec", no_wrap=True)
    for column in ("chunk", "ratio", "write\nMB/s", "read\nMB/s", "frame\nms"):
        table.add_column(column, justify="right", no_wrap=True)
    for number, trial in enumerate(report.trials):
        mark = ("*" if number in report.front else " ") + ("→" if number == report.best else " ")
        table.add_row(
            mark,
            trial.codec,
            "x".join(map(str, trial.chunk_shape)),
            f"{trial.ratio:.2f}",
            f"{trial.write_mb_s:,.0f}",
            f"{trial.read_mb_s:,.0f}",
            f"{trial.frame_ms:.2f}",
            style="bold" if number == report.best else None,
        )
    new_console().print(table)


def _print_notes(report: TuneReport, arguments: argparse.Namespace) -> None:
    best = report.trials[report.best]
    from ptychoproduct.errors import counted

    trials = counted(len(report.trials), "trial")
    rows = {"best": f"{best.codec}  (objective {report.objective}; {trials} in {report.seconds:.0f} s)"}
    if report.sampled_rows is not None:
        part = f"{report.sampled_rows:,} of the {report.frame_shape[0]:,} pixel rows of each frame"
        rows["estimate"] = f"from a part: {part} were tried"
    if not report.fast_enough:
        rows["best"] += f"; none writes {arguments.min_write_mb_s:g} MB/s, this is the fastest"
    if report.bound_ratio is not None:
        rows["limit"] = (
            f"no lossless codec can reach more than ratio {report.bound_ratio:.1f} if counts are Poisson distributed"
        )
    if report.counts is not None:
        trial = report.counts.trial
        rows["counts"] = (
            f"the frames are square roots of counts: --store-counts stores {report.counts.dtype} and loses no bit; "
            f"ratio {trial.ratio:.1f} at {trial.write_mb_s:,.0f} MB/s with {trial.codec}"
        )
    print()
    print_rows(rows)


def _convert_command(report: TuneReport, arguments: argparse.Namespace) -> list[str]:
    path = Path(arguments.scan)
    is_hdf5 = path.suffix.lower() in (".h5", ".hdf5")
    product = path.with_suffix(".product.h5" if is_hdf5 else ".h5")
    words = ["ptychoproduct", "convert", str(path), str(product), "--compression", report.trials[report.best].codec]
    if report.chunk_shape is not None:
        words += ["--chunk-shape", ",".join(map(str, report.chunk_shape))]
    for name in ("dataset", "positions", "positions_in", "positions_columns", "probe", "frames"):
        value = getattr(arguments, name)
        words += [f"--{name.replace('_', '-')}", value] if value is not None else []
    words += ["--crop", ",".join(map(str, arguments.crop))] if arguments.crop is not None else []
    words += ["--allow-gaps"] if arguments.allow_gaps else []
    if arguments.axis_order != "auto":
        words += ["--axis-order", arguments.axis_order]
    return words


COMMAND = Command("ptychoproduct tune", SUMMARY, DESCRIPTION, _add_arguments, tune, EXAMPLES)
build_command_parser = COMMAND.parser
