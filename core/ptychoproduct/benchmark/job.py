"""One timed job, in a process of its own.

Run as a script, this module does a job and prints, as JSON, how long it took::

    python -P job.py '{"tool": "tensorstore", "action": "convert", ...}'
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.benchmark.tools import (
    TOOLS,
    Settings,
    Tool,
    flush,
    holds_the_frames,
    import_frames,
    is_equal,
    load_frames,
)


@dataclass(frozen=True)
class Job:
    """One thing to be timed.

    Parameters
    ----------
    tool : str
        Name of one of `TOOLS`.
    action : {"convert", "import", "batch"}
    scan : str
        NPZ file.
    product : str
        What the tool writes to convert, and reads otherwise.
    output : str
        NPZ file that an import writes.
    settings : Settings
    batches : list of list of int
        Numbers of the frames of each batch to be read.
    check : bool
        Whether the result is compared with the scan, after the clock has stopped.
    """

    tool: str
    action: str
    scan: str
    product: str
    output: str
    settings: Settings
    batches: list[list[int]]
    check: bool

    def to_json(self) -> str:
        """Write the job for the command line of this script."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read what `to_json` has written."""
        values = json.loads(text)
        return cls(**values | {"settings": Settings(**values["settings"])})


@dataclass(frozen=True)
class Outcome:
    """The result of a job.

    Parameters
    ----------
    seconds : float
        What the action took; of batches, the median one.
    busy_s : float
        From the packages imported to the end, checks and all.
    peak_memory_bytes : int or None
        The most memory held, None where the system does not tell.
    correct : bool
        Whether the result equals the scan; true where it was not compared.
    """

    seconds: float
    busy_s: float
    peak_memory_bytes: int | None
    correct: bool


def do(job: Job) -> Outcome:
    """Do a job in this process."""
    tool, settings = TOOLS[job.tool], job.settings
    scan, product, output = Path(job.scan), Path(job.product), Path(job.output)
    for module in tool.modules:
        importlib.import_module(module)
    correct, start = True, time.perf_counter()
    if job.action == "batch":
        seconds, batches = _time_batches(tool, product, settings, job.batches)
        peak = _peak_memory_bytes()
        if job.check:
            expected = load_frames(scan)
            correct = all(
                is_equal(batch, expected[numbers]) for batch, numbers in zip(batches, job.batches, strict=True)
            )
    elif job.action == "import":
        import_frames(tool, product, output, settings)
        flush(output)
        seconds, peak = time.perf_counter() - start, _peak_memory_bytes()
        correct = not job.check or is_equal(load_frames(output), load_frames(scan))
    else:
        tool.convert(scan, product, settings)
        flush(product)
        seconds, peak = time.perf_counter() - start, _peak_memory_bytes()
        correct = not job.check or holds_the_frames(tool, product, scan, settings)
    return Outcome(seconds, time.perf_counter() - start, peak, correct)


def _time_batches(tool: Tool, product: Path, settings: Settings, batches: list[list[int]]) -> tuple[float, list[Array]]:
    """Return the median time of a batch, the file being open, and the batches."""
    assert tool.frames is not None
    found, seconds = [], []
    with tool.frames(product, settings) as read:
        read(batches[0])  # the first is not counted: threads start, memory is touched
        for numbers in batches:
            start = time.perf_counter()
            found.append(read(numbers))
            seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), found


def _peak_memory_bytes() -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


class JobError(Exception):
    """A process failed; the message is its last line."""


def run_job(job: Job) -> tuple[Outcome, float]:
    """Do a job in a new process; return its result, and for how many seconds the process ran.

    Raises
    ------
    JobError
        The process failed.
    """
    command = [sys.executable, "-P", __file__, job.to_json()]
    start = time.perf_counter()
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    whole_s = time.perf_counter() - start
    if process.returncode:
        lines = process.stderr.strip().splitlines() or [f"ended with code {process.returncode}"]
        raise JobError(lines[-1])
    return Outcome(**json.loads(process.stdout)), whole_s


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")  # they are known: the scan has no object, and Zarr's format 3 is new
    print(json.dumps(asdict(do(Job.from_json(sys.argv[1])))))
