"""Running a command for many inputs: one bar, a list of failures, one JSON object a scan."""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptychoproduct_cli.batch_options import NAMES, given_inputs
from ptychoproduct_cli.command import EXIT_BAD_INPUT, EXIT_DAMAGED, EXIT_OK
from ptychoproduct_cli.output import print_json, reason_of
from ptychoproduct_cli.signals import raise_signal

if TYPE_CHECKING:
    from distributed import Client

    from ptychoproduct.batch.jobs import Job
    from ptychoproduct.batch.journal import Journal
    from ptychoproduct.batch.run import Engine, Outcome

# Options that change no byte of an output.
_NOT_CONTENT = (*NAMES, "threads", "memory_bytes", "quiet", "json", "no_clobber", "verify", "warnings", "damage")
# Options that name a file, perhaps with a key behind it.
_FILES = ("positions", "probe", "object", "mask", "bad_pixels", "frames", "metadata", "source", "source_npz")
Message = Callable[[Exception], str]
Advance = Callable[[int], None]


def run_batch(arguments: argparse.Namespace, message_of: Message) -> int:
    """Do a command for many inputs, and print what became of them.

    Raises
    ------
    ProductError
        The batch cannot be started.
    """
    from ptychoproduct.batch.run import run_batch

    batch, started = arguments.command.batch, time.perf_counter()
    jobs, journal = _jobs(arguments), _journal(arguments)
    if jobs and batch.check is not None:
        batch.check(arguments)
    if arguments.dry_run:
        return _list(jobs, journal, arguments)
    with ExitStack() as stack:
        engine = _engine(arguments, stack)
        show = stack.enter_context(_bar(jobs, arguments))

        seen: list[Outcome] = []

        def on_outcome(outcome: Outcome) -> None:
            seen.append(outcome)
            show(outcome)
            if arguments.json:
                result = {} if outcome.attempt.summary is None else batch.result(outcome.attempt.summary)
                print_json({**_line(outcome), **result})
            elif not arguments.quiet:
                for warning in outcome.attempt.warnings:
                    print(f"warning: {warning}", file=sys.stderr)

        stack.enter_context(_told_if_interrupted(seen, len(jobs), arguments))
        outcomes = run_batch(
            jobs,
            engine,
            journal,
            resume=getattr(arguments, "resume", False),
            fail_fast=arguments.fail_fast,
            progress=show.advance,
            on_outcome=on_outcome,
            problem_of=batch.problem_of,
            message_of=lambda error: _one_line(error, message_of),
        )
    _summarise(outcomes, len(jobs), time.perf_counter() - started, journal, arguments)
    if any(outcome.status == "failed" for outcome in outcomes):
        return EXIT_BAD_INPUT
    return EXIT_DAMAGED if any(outcome.attempt.damage for outcome in outcomes) else EXIT_OK


def _jobs(arguments: argparse.Namespace) -> list[Job]:
    from ptychoproduct import OptionError
    from ptychoproduct.batch.jobs import Job
    from ptychoproduct.batch.sources import absolute_name, find_sources, name_outputs

    batch, folder = arguments.command.batch, getattr(arguments, "output_dir", None)
    if folder is None and hasattr(arguments, "output_dir"):
        raise OptionError("list", "needs a folder for the outputs; give --output-dir DIR")
    sources = find_sources(given_inputs(arguments), batch.suffixes, arguments.list, folder, batch.output_suffix)
    outputs = [None] * len(sources) if folder is None else name_outputs(sources, folder, batch.output_suffix)
    inputs = tuple(_files(arguments))
    beside_folder = None if batch.beside is None else _beside_folder(batch.beside, arguments)

    def beside(output: Path | None) -> tuple[Path, ...]:
        return () if beside_folder is None or output is None else (Path(beside_folder) / output.name,)

    def prepare(source: Path, output: Path | None) -> Callable[..., Any]:
        one = copy.copy(arguments)
        for name, value in zip(batch.positionals, (source, output), strict=False):
            setattr(one, name, None if value is None else str(value))
        if _address(arguments):  # workers run in other folders
            for name in (*_FILES, batch.positionals[0]):
                setattr(one, name, absolute_name(getattr(one, name, None)))
            if output is not None:
                setattr(one, batch.positionals[1], str(output.absolute()))
        for path in beside(output):
            setattr(one, batch.beside, str(path.absolute()))
        work: Callable[..., Any] = batch.work(one)
        return work

    return [
        Job(source, output, partial(prepare, source, output), inputs, beside(output))
        for source, output in zip(sources, outputs, strict=True)
    ]


def _beside_folder(name: str, arguments: argparse.Namespace) -> str | None:
    """Return the folder for other outputs, which have the names of the first ones."""
    from ptychoproduct import OptionError

    folder: str | None = getattr(arguments, name)
    if folder is None:
        return None
    path = Path(folder)
    if path.is_file() or path.suffix in (".h5", ".hdf5") or path.resolve() == Path(arguments.output_dir).resolve():
        raise OptionError(name, "with --output-dir, this is a folder, and another one", found=folder)
    return folder


def _files(arguments: argparse.Namespace) -> Iterator[Path]:
    """Give the files that options name."""
    for name in _FILES:
        value = getattr(arguments, name, None)
        if value is not None:
            found = [part for part in (value, value.rpartition(":")[0]) if part and Path(part).is_file()]
            yield from map(Path, found[:1])


def _journal(arguments: argparse.Namespace) -> Journal | None:
    if getattr(arguments, "output_dir", None) is None:
        return None
    from ptychoproduct.batch.journal import JOURNAL_NAME, Journal

    left_out = {*_NOT_CONTENT, *arguments.command.batch.positionals}
    defaults = {action.dest: action.default for action in arguments.parser._actions if action.dest not in left_out}
    options = {name: value for name, value in vars(arguments).items() if defaults.get(name, value) != value}
    return Journal(Path(arguments.output_dir) / JOURNAL_NAME, arguments.command.prog.split()[-1], options)


def _engine(arguments: argparse.Namespace, stack: ExitStack) -> Engine:
    from ptychoproduct.batch.run import one_after_the_other

    address = _address(arguments)
    if not address:
        return one_after_the_other
    from ptychoproduct.batch.cluster import one_scan_a_task

    return partial(one_scan_a_task, stack.enter_context(cluster(address, arguments)))


def _address(arguments: argparse.Namespace) -> str:
    """Return where the cluster is, "" for none."""
    return arguments.cluster or os.environ.get("DASK_SCHEDULER_ADDRESS", "")


@contextmanager
def cluster(address: str, arguments: argparse.Namespace, *, in_process: bool = False) -> Iterator[Client]:
    """Give a client of a cluster, and print where its dashboard is."""
    from ptychoproduct.batch.cluster import connected

    with connected(address, in_process=in_process) as client:
        if not arguments.quiet:
            print(f"cluster: {client.scheduler.address}, dashboard: {client.dashboard_link}", file=sys.stderr)
        yield client


def check_cluster(arguments: argparse.Namespace) -> None:
    """Raise OptionError where a command for one input cannot use a cluster."""
    from ptychoproduct import OptionError

    batch = arguments.command.batch
    if batch is not None and not batch.splits and arguments.cluster is not None:
        raise OptionError("cluster", "is for several inputs; give --output-dir DIR")
    if getattr(arguments, "cluster", None) is None:
        if getattr(arguments, "shards", None) is not None:
            raise OptionError("shards", "needs --cluster; --cluster local uses the cores of this machine")
        if getattr(arguments, "resume", False):
            raise OptionError("resume", "is for several inputs, or for one scan with --cluster")


def _list(jobs: Sequence[Job], journal: Journal | None, arguments: argparse.Namespace) -> int:
    """Print what would be done."""
    for job in jobs:
        is_done = getattr(arguments, "resume", False) and journal is not None and journal.has_done(job)
        what = "skip" if is_done else arguments.command.prog.split()[-1]
        if arguments.json:
            print_json({"source": job.source, "output": job.output, "would": what})
        else:
            print(f"{what} {job.source}" + ("" if job.output is None else f" -> {job.output}"))
    return EXIT_OK


def _line(outcome: Outcome) -> Mapping[str, Any]:
    return {
        "source": outcome.job.source,
        "output": outcome.job.output,
        "status": outcome.status,
        "seconds": outcome.attempt.seconds,
        "warnings": outcome.attempt.warnings,
        "error": outcome.error,
    }


def _summarise(
    outcomes: Sequence[Outcome], jobs: int, seconds: float, journal: Journal | None, arguments: argparse.Namespace
) -> None:
    counts = {status: sum(outcome.status == status for outcome in outcomes) for status in ("done", "skipped", "failed")}
    left = jobs - len(outcomes)
    failures = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failures:
        print(f"{len(failures)} of {jobs} failed:", file=sys.stderr)
        width = max(len(outcome.job.source.name) for outcome in failures)
        for outcome in failures:
            source = outcome.job.source
            reason = (outcome.error or "").removeprefix(f"{source}: ").removeprefix(f"{source.absolute()}: ")
            print(f"  {outcome.job.source.name:{width}}  {reason}", file=sys.stderr)
    if arguments.json:
        path = None if journal is None else journal.path
        print_json({"summary": {**counts, "not_started": left, "seconds": seconds, "journal": path}})
    elif not arguments.quiet:
        parts = [f"{number:,} {status}" for status, number in {**counts, "not started": left}.items() if number]
        nbytes = sum(getattr(outcome.attempt.summary, "frame_bytes", 0) for outcome in outcomes)
        speed = f", {nbytes / 1e9 / seconds:.2f} GB/s" if nbytes else ""
        print(f"{', '.join(parts)}; {seconds:.1f} s{speed}" + ("" if journal is None else f"; journal: {journal.path}"))


@contextmanager
def _told_if_interrupted(seen: Sequence[Outcome], jobs: int, arguments: argparse.Namespace) -> Iterator[None]:
    """Say how much is done when the batch does not come to its end."""
    try:
        yield
    except BaseException:
        done = sum(outcome.status != "failed" for outcome in seen)
        advice = "; the same command with --resume does the rest" if hasattr(arguments, "resume") else ""
        print(f"{done} of {jobs} are done{advice}", file=sys.stderr)
        raise


def _one_line(error: Exception, message_of: Message) -> str:
    from ptychoproduct import ProductError

    if isinstance(error, ProductError):
        return message_of(error)
    return reason_of(error) or f"{type(error).__name__}: {error}".splitlines()[0]


class _Shown:
    """The bar of a batch, where standard error is a terminal: it grows with the sizes of the inputs that are done."""

    def __init__(self, progress: Any = None, task: Any = None, sizes: Mapping[Path, int] | None = None) -> None:
        self._progress, self._task, self._sizes = progress, task, sizes or {}
        self._done = self._failed = self._nbytes = 0
        self._started = time.perf_counter()

    def advance(self, nbytes: int) -> None:
        """Count bytes of frames."""
        raise_signal()
        self._nbytes += nbytes
        self._show(0)

    def __call__(self, outcome: Outcome) -> None:
        """Count a scan."""
        self._done += 1
        self._failed += outcome.status == "failed"
        self._show(self._sizes.get(outcome.job.source, 0))

    def _show(self, size: int) -> None:
        if self._progress is None:
            return
        speed = self._nbytes / 1e9 / max(1e-9, time.perf_counter() - self._started)
        text = f"{self._done} of {len(self._sizes)}, {self._failed} failed, {speed:.2f} GB/s"
        self._progress.update(self._task, advance=size, description=text)


@contextmanager
def _bar(jobs: Sequence[Job], arguments: argparse.Namespace) -> Iterator[_Shown]:
    if arguments.quiet or not sys.stderr.isatty():
        yield _Shown()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    sizes = {job.source: job.source.stat().st_size if job.source.is_file() else 0 for job in jobs}
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True), transient=True) as progress:
        yield _Shown(progress, progress.add_task("", total=max(1, sum(sizes.values()))), sizes)
