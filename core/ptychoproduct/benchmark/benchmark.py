"""How fast this package is on a machine, on scans of growing size, and how fast its peers are in the same run.

`rounds` says how tools are timed. Ratios are formed within a round, and their medians are reported.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from ptychoproduct.aliases import StepProgress
from ptychoproduct.benchmark.cases import Case
from ptychoproduct.benchmark.machine import available_memory_bytes, describe_machine
from ptychoproduct.benchmark.report import BenchmarkReport, Result, Scaling, Timing
from ptychoproduct.benchmark.rounds import BATCH_FRAMES, Entry, Record, hold
from ptychoproduct.benchmark.tools import ACTIONS, OURS, PEERS, TOOLS, Tool, flush, settings_for
from ptychoproduct.compression.codecs import Codec
from ptychoproduct.compression.profiles import DEFAULT, storage_for
from ptychoproduct.errors import OptionError, OutputError
from ptychoproduct.hdf5.chunks import default_chunk_rows
from ptychoproduct.system.process import available_threads

SMALLEST_MB = 16.0
GROWTH = 4.0
# The slowest peer loads the scan, and what is checked is loaded once more; on a disk in memory the files add to that.
_MEMORY_PART = 6
# The scan, a copy of it, and what is being written.
_DISK_PART = 4
# Where threads are compared as well, this part of the time is left to the sizes.
_SIZES_PART = 0.6


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is measured.

    Parameters
    ----------
    folder : Path
        On the disk to measure.
    action : {"convert", "import", "batch"}
        Scan to product, product to scan, or the reading of 64 random frames of a product that is open.
    quantity, deflated, size_px
        Of the scans, as in `Case`.
    codec : str or Codec
        A profile stands for the codec it has for the scans' type; chunks are whole frames.
    threads : tuple of int
        Numbers of threads to compare; the largest is used for everything else. Empty for all cores.
    megabytes : tuple of float
        Sizes of the frames of the scans, in 10⁶ bytes. Empty for sizes that grow from `SMALLEST_MB` by `GROWTH` until
        memory, disk or time are used up.
    seconds : float
        About how long the measurement may take, where sizes are not given.
    rounds : int
        Runs of each tool on each scan.
    peers : tuple of str or None
        Names of the peers that take part; None for all that are installed.

    Raises
    ------
    OptionError
        A value is not understood.
    """

    folder: Path
    action: Literal["convert", "import", "batch"] = "convert"
    quantity: Literal["amplitude", "counts"] = "amplitude"
    deflated: bool = False
    size_px: int = 256
    codec: str | Codec = DEFAULT
    threads: tuple[int, ...] = ()
    megabytes: tuple[float, ...] = ()
    seconds: float = 60.0
    rounds: int = 3
    peers: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise OptionError("folder", f"there is no folder {self.folder}")
        if self.action not in ACTIONS:
            raise OptionError("action", f"is {self.action!r}; it must be one of {', '.join(ACTIONS)}")
        for name, values in (("threads", self.threads), ("rounds", (self.rounds,))):
            if any(value < 1 for value in values):
                raise OptionError(name, f"is {', '.join(map(str, values))}; it must be at least 1")
        for name, sizes in (("megabytes", self.megabytes), ("seconds", (self.seconds,))):
            if not all(0 < value < float("inf") for value in sizes):
                raise OptionError(name, f"is {', '.join(map(str, sizes))}; it must be more than 0")
        names = [tool.name for tool in PEERS]
        for name in self.peers or ():
            if name not in names:
                raise OptionError("peers", f"there is no {name!r}; choose from {', '.join(names)}")
        _ = self.parsed_codec, self.case(SMALLEST_MB)

    @property
    def parsed_codec(self) -> Codec:
        """The codec; that of the profile where a profile is named."""
        return storage_for(self.codec, self.case(SMALLEST_MB).dtype, (self.size_px, self.size_px)).codec

    @property
    def most_threads(self) -> int:
        """The number of threads that sizes are compared with."""
        return max(self.threads) if self.threads else available_threads()

    def case(self, megabytes: float) -> Case:
        """Return the scan of about this size."""
        one = Case(1, self.size_px, self.quantity, self.deflated)
        frames = max(1, round(megabytes * 1e6 / one.frame_bytes))
        return Case(frames, self.size_px, self.quantity, self.deflated)


def run_benchmark(options: BenchmarkOptions, progress: StepProgress | None = None) -> BenchmarkReport:
    """Measure, with every peer that is installed.

    Parameters
    ----------
    options : BenchmarkOptions
    progress : callable, optional
        See `StepProgress`.

    Raises
    ------
    OutputError
        Our own result is wrong or missing, or the folder cannot be written to.
    """
    start = time.monotonic()
    machine = describe_machine(options.folder, [module for tool in PEERS for module in tool.modules])
    tools, absent = _tools(options)
    thread_numbers = sorted(set(options.threads))
    compares_threads = len(thread_numbers) > 1
    try:
        with tempfile.TemporaryDirectory(prefix="ptychoproduct-bench-", dir=options.folder) as work:
            bench = _Bench(options, Path(work), progress or _say_nothing)
            until = start + options.seconds * (_SIZES_PART if compares_threads else 1)
            results = tuple(_measure_sizes(bench, tools, until))
            scaling: tuple[Scaling, ...] = ()
            if compares_threads:
                case = _case_for_scaling(results, thread_numbers, options, start + options.seconds - time.monotonic())
                scaling = _measure_scaling(bench, [tool for tool in tools if tool.has_threads], thread_numbers, case)
    except OSError as error:
        raise OutputError(options.folder, f"cannot be written: {error.strerror or error}") from error
    return BenchmarkReport(
        machine=machine,
        action=options.action,
        codec=str(options.parsed_codec),
        threads=options.most_threads,
        rounds=options.rounds,
        results=results,
        scaling_megabytes=case.nbytes / 1e6 if compares_threads else None,
        scaling=scaling,
        absent=absent,
    )


def entry(tool: Tool, case: Case, codec: Codec, threads: int) -> Entry:
    """Return the entry of a tool for a case; all tools write the chunks that we choose by default."""
    chunk_frames = min(default_chunk_rows((case.size_px, case.size_px), case.dtype), case.frames)
    return Entry(tool.name, settings_for(codec, case.dtype, chunk_frames, threads))


@dataclass
class _Bench:
    """Where and how scans are measured, and how long the last one took to make."""

    options: BenchmarkOptions
    work: Path
    progress: StepProgress
    making_s: float = 0.0

    def measure(self, case: Case, entries: Sequence[Entry]) -> list[Record]:
        """Make a scan, let all entries take turns at it, and remove it."""
        size, scan = f"{case.nbytes / 1e6:,.0f} MB", self.work / "scan.npz"
        self.progress(f"{size}: making the scan", 0, 1)
        start = time.monotonic()
        case.write(scan)
        flush(scan)
        self.making_s = time.monotonic() - start
        records = hold(
            scan, case.frames, self.options.action, entries, self.options.rounds, self.work,
            lambda text, done, total: self.progress(f"{size}, {text}", done, total),
        )  # fmt: skip
        scan.unlink()
        for record in records:
            if record.entry.tool == OURS.name and record.problem:
                raise OutputError(self.options.folder, f"{OURS.name}, {size}: {record.problem}")
        return records


def _say_nothing(text: str, done: int, total: int) -> None:
    """Report no steps; a `StepProgress`."""


def _tools(options: BenchmarkOptions) -> tuple[list[Tool], dict[str, str]]:
    """Return the tools that take part, and why the others do not."""
    tools, absent = [OURS], {}
    for tool in PEERS:
        if options.peers is not None and tool.name not in options.peers:
            continue
        missing = tool.missing()
        if not tool.takes(options.action):
            absent[tool.name] = f"cannot be measured with --action {options.action}"
        elif missing:
            absent[tool.name] = f"not installed: pip install {missing}"
        else:
            tools.append(tool)
    return tools, absent


def _measure_sizes(bench: _Bench, tools: list[Tool], until: float) -> Iterator[Result]:
    """Measure the sizes that were asked for, or as many as there is room and time for."""
    options = bench.options
    for size in options.megabytes or _growing_sizes(options.folder):
        case = options.case(size)
        records = bench.measure(case, [entry(tool, case, options.parsed_codec, options.most_threads) for tool in tools])
        yield _result(case, records, options.action)
        if not options.megabytes:
            left_s = until - time.monotonic() - bench.making_s * GROWTH
            tools = affordable({record.entry.tool: _expected_s(record) for record in records}, left_s)
            if not tools:
                return


def _growing_sizes(folder: Path) -> Iterator[float]:
    """Give sizes, in 10⁶ bytes, as long as there is room; the first in any case."""
    room_mb = min(available_memory_bytes() / _MEMORY_PART, shutil.disk_usage(folder).free / _DISK_PART) / 1e6
    size = SMALLEST_MB
    yield size
    while (size := size * GROWTH) <= room_mb:
        yield size


def _expected_s(record: Record) -> float:
    """Return how long an entry will take on the next size."""
    return 0.0 if record.problem else record.start_up_s + record.busy_s * GROWTH


def affordable(expected_s: dict[str, float], left_s: float) -> list[Tool]:
    """Return the tools that there is time for: all, or all but the slowest peers, or none if there is none for ours.

    Parameters
    ----------
    expected_s : dict of float
        How long each tool will take, by its name.
    left_s : float
    """
    names = sorted(expected_s, key=lambda name: (name != OURS.name, expected_s[name]))
    while names and sum(expected_s[name] for name in names) > left_s:
        names.pop()
    return [TOOLS[name] for name in expected_s if name in names]


def _result(case: Case, records: Sequence[Record], action: str) -> Result:
    our_seconds = _seconds(records[0])
    megabytes = _measured_mb(case, action)
    timings = []
    for record in records:
        seconds, runs = _seconds(record), record.runs
        peaks = [run.outcome.peak_memory_bytes or 0 for run in runs]
        timings.append(
            Timing(
                tool=record.entry.tool,
                threads=record.entry.settings.threads if TOOLS[record.entry.tool].has_threads else None,
                seconds=seconds,
                median_s=median(seconds) if seconds else None,
                mb_s=megabytes / median(seconds) if seconds else None,
                ratio=_median_ratio(our_seconds, seconds) if seconds else None,
                start_up_s=median(run.whole_s - run.outcome.busy_s for run in runs) if runs else None,
                output_bytes=max((run.output_bytes for run in runs), default=0),
                peak_memory_bytes=max(peaks, default=0) or None,
                problem=record.problem,
            )
        )
    return Result(case, case.nbytes / 1e6, tuple(timings))


def _measured_mb(case: Case, action: str) -> float:
    """Return the size of the frames that one run reads or writes."""
    frames = min(BATCH_FRAMES, case.frames) if action == "batch" else case.frames
    return frames * case.frame_bytes / 1e6


def _seconds(record: Record) -> tuple[float, ...]:
    return tuple(run.outcome.seconds for run in record.runs)


def _median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    return median(a / b for a, b in zip(above, below, strict=True))


def _case_for_scaling(
    results: Sequence[Result], thread_numbers: Sequence[int], options: BenchmarkOptions, left_s: float
) -> Case:
    """Return the largest scan measured that there is time to compare threads on, or the smallest."""
    chosen = results[0].case
    for result in results:
        one_thread_s = sum(
            timing.median_s * options.most_threads for timing in result.timings if timing.threads and timing.median_s
        )
        if (options.rounds + 1) * sum(one_thread_s / threads for threads in thread_numbers) <= left_s:
            chosen = result.case
    return chosen


def _measure_scaling(
    bench: _Bench, tools: Sequence[Tool], thread_numbers: Sequence[int], case: Case
) -> tuple[Scaling, ...]:
    """Measure tools with each number of threads, all in turn."""
    codec = bench.options.parsed_codec
    entries = [entry(tool, case, codec, threads) for tool in tools for threads in thread_numbers]
    records = [record for record in bench.measure(case, entries) if not record.problem]
    megabytes = _measured_mb(case, bench.options.action)
    scaling = []
    for record in records:
        name, threads = record.entry.tool, record.entry.settings.threads
        first = next(other for other in records if other.entry.tool == name)
        speed_up = _median_ratio(_seconds(first), _seconds(record))
        scaling.append(
            Scaling(
                tool=name,
                threads=threads,
                mb_s=megabytes / median(_seconds(record)),
                speed_up=speed_up,
                efficiency=speed_up * first.entry.settings.threads / threads,
            )
        )
    return tuple(scaling)
