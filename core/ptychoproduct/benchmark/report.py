"""What a benchmark has measured, and the ratios that follow."""

from __future__ import annotations

from dataclasses import dataclass

from ptychoproduct.benchmark.cases import Case
from ptychoproduct.benchmark.machine import Machine
from ptychoproduct.benchmark.tools import PEERS


@dataclass(frozen=True)
class Timing:
    """A tool's runs on one scan.

    Parameters
    ----------
    tool : str
    threads : int or None
        None for a tool whose number of threads cannot be set.
    seconds : tuple of float
        One for each round; of batches, the median one of the round. Empty where there is a problem.
    median_s : float or None
    mb_s : float or None
        Frames, in 10⁶ bytes before compression, a second.
    ratio : float or None
        Our time divided by the tool's: the median of the rounds' ratios.
    start_up_s : float or None
        What a process takes besides the work: Python, the packages, the end.
    output_bytes : int
        Size of what was written.
    peak_memory_bytes : int or None
    problem : str or None
        Why the tool was not measured.
    """

    tool: str
    threads: int | None
    seconds: tuple[float, ...]
    median_s: float | None
    mb_s: float | None
    ratio: float | None
    start_up_s: float | None
    output_bytes: int
    peak_memory_bytes: int | None
    problem: str | None


@dataclass(frozen=True)
class Result:
    """All tools on one scan, ours first; those that were too slow for the time left are absent."""

    case: Case
    megabytes: float
    timings: tuple[Timing, ...]

    def of(self, tool: str) -> Timing | None:
        """Return a tool's timing, None where it has none."""
        return next((timing for timing in self.timings if timing.tool == tool and timing.median_s), None)

    @property
    def ratio_to_best(self) -> float | None:
        """Our time divided by that of the fastest peer that does the same job."""
        timings = (self.of(tool.name) for tool in PEERS if tool.compresses)
        return max((timing.ratio for timing in timings if timing and timing.ratio), default=None)


@dataclass(frozen=True)
class Scaling:
    """What is gained by more threads.

    Parameters
    ----------
    tool : str
    threads : int
    mb_s : float
    speed_up : float
        Against the smallest number of threads: the median of the rounds' ratios.
    efficiency : float
        The speed-up, divided by how many times as many threads there are.
    """

    tool: str
    threads: int
    mb_s: float
    speed_up: float
    efficiency: float


@dataclass(frozen=True)
class BenchmarkReport:
    """A machine, what was measured on it, and the results.

    Parameters
    ----------
    machine : Machine
    action, codec : str
    threads : int
        That sizes were measured with.
    rounds : int
    results : tuple of Result
        By size.
    scaling_megabytes : float or None
        Size of the scan that threads were compared on.
    scaling : tuple of Scaling
        Empty where only one number of threads was asked for.
    absent : dict of str
        Why a peer took no part, by its name.
    """

    machine: Machine
    action: str
    codec: str
    threads: int
    rounds: int
    results: tuple[Result, ...]
    scaling_megabytes: float | None
    scaling: tuple[Scaling, ...]
    absent: dict[str, str]
