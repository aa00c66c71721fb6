"""Tools take turns at one scan, each run in a process of its own.

A process of its own, so that none inherits another's memory, threads or imports. The clock starts when the packages are
imported, and stops when the output is on the disk. A round is one run of each, and the next round begins with another,
so that other work of the machine slows all of them alike. A round that is not counted comes first: it warms the page
cache, and in it every result is compared with the scan. A tool whose result is wrong is not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ptychoproduct.aliases import StepProgress
from ptychoproduct.benchmark.job import Job, JobError, Outcome, run_job
from ptychoproduct.benchmark.tools import TOOLS, Settings, remove, size_bytes

BATCH_FRAMES = 64
_BATCHES = 5


@dataclass(frozen=True)
class Entry:
    """A tool that takes part, and how it is set.

    Parameters
    ----------
    tool : str
        Name of one of `tools.TOOLS`.
    settings : Settings
    """

    tool: str
    settings: Settings


@dataclass(frozen=True)
class Run:
    """One process: what it reported, how long it ran, and the size of its output."""

    outcome: Outcome
    whole_s: float
    output_bytes: int


@dataclass(frozen=True)
class Record:
    """The results of an entry on one scan.

    Parameters
    ----------
    entry : Entry
    runs : tuple of Run
        One for each round; empty where there is a problem.
    problem : str or None
        Why it was not measured.
    start_up_s, busy_s : float
        What all its processes took, those that are not counted among them: Python and packages, and all else.
    """

    entry: Entry
    runs: tuple[Run, ...]
    problem: str | None
    start_up_s: float
    busy_s: float


def hold(
    scan: Path, frames: int, action: str, entries: Sequence[Entry], rounds: int, work: Path, progress: StepProgress
) -> list[Record]:
    """Let all entries take turns at a scan.

    Parameters
    ----------
    scan : Path
        NPZ file.
    frames : int
        How many frames it has.
    action : {"convert", "import", "batch"}
    entries : sequence of Entry
    rounds : int
    work : Path
        Folder on the disk to measure; what is written there is removed again.
    progress : callable
        See `StepProgress`.
    """
    lanes = [_Lane(entry, action, scan, work / f"lane-{number}") for number, entry in enumerate(entries)]
    try:
        for turn in range(rounds + 1):
            batches = random_batches(frames, turn) if action == "batch" else []
            title = f"round {turn} of {rounds}" if turn else "check"
            for step in range(len(lanes)):
                lane = lanes[(turn + step) % len(lanes)]
                progress(f"{title}: {lane.entry.tool}", turn * len(lanes) + step, (rounds + 1) * len(lanes))
                lane.run(batches, check=turn == 0)
    finally:
        for lane in lanes:
            remove(lane.folder)
    return [lane.record() for lane in lanes]


class _Lane:
    """An entry's own folder, and its runs."""

    def __init__(self, entry: Entry, action: str, scan: Path, folder: Path) -> None:
        self.entry = entry
        self.folder = folder
        self._action = action
        self._scan = scan
        self._product = folder / f"product{TOOLS[entry.tool].suffix}"
        self._output = folder / "again.npz"
        self._runs: list[Run] = []
        self._problem: str | None = None
        self._start_up_s = self._busy_s = 0.0

    def run(self, batches: list[list[int]], *, check: bool) -> None:
        """Run once more, unless there is a problem; a run that checks is not counted."""
        if self._problem:
            return
        try:
            if check:
                self.folder.mkdir()
                if self._action != "convert":
                    self._start("convert", [], check=False)
            run = self._start(self._action, batches, check=check)
        except JobError as error:
            self._problem = str(error)
            return
        finally:
            remove(self._output)
            if self._action == "convert":
                remove(self._product)
        if not check:
            self._runs.append(run)
        elif not run.outcome.correct:
            self._problem = "its frames differ from the scan's"

    def record(self) -> Record:
        """Return the results so far."""
        runs = () if self._problem else tuple(self._runs)
        return Record(self.entry, runs, self._problem, self._start_up_s, self._busy_s)

    def _start(self, action: str, batches: list[list[int]], *, check: bool) -> Run:
        job = Job(
            tool=self.entry.tool,
            action=action,
            scan=str(self._scan),
            product=str(self._product),
            output=str(self._output),
            settings=self.entry.settings,
            batches=batches,
            check=check,
        )
        outcome, whole_s = run_job(job)
        self._start_up_s += whole_s - outcome.busy_s
        self._busy_s += outcome.busy_s
        return Run(outcome, whole_s, size_bytes(self._output if action == "import" else self._product))


def random_batches(frames: int, seed: int) -> list[list[int]]:
    """Draw batches as a training loader does, without repetition, in ascending order."""
    rng = np.random.default_rng(seed)
    size = min(BATCH_FRAMES, frames)
    return [sorted(rng.choice(frames, size, replace=False).tolist()) for _ in range(_BATCHES)]
