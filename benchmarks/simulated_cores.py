"""How far conversion, reading, import and repacking scale, on cores that are simulated.

A filter that sleeps stands in for lz4: it takes each chunk for as long as a core of a given speed would, and leaves the
real core free. So one sees on few cores what many would do: how much of the codec's time is lost to what is done
beside it. That is limited by the real cores: `limit` is what these reach, one thread each, where nobody sleeps.

    python benchmarks/simulated_cores.py [--threads 1 2 4 8 16 32 64] [--speeds 0.05 0.1] [--rounds 5] [FOLDER]

In the table, all GB are bytes that were encoded or decoded, before compression; repacking does both to each byte.
`efficiency` is the time that the cores had to work, divided by the time that they were there: from the first chunk to
the last; `whole` is the same for the whole call, with what comes before and after. `of limit` is the rate as a part of
the limit where all cores together would be above it, and the efficiency elsewhere. CPU is what the thread that calls,
and all threads, use of the real cores, from the first chunk to the last. Frames are counts of 256 x 256 in chunks of
1 MiB, each all of one frame, of which one is stored; `--keep-all` stores them all. All results are compared with them.
As those of a scan do, chunks take different times: `--spread 0.2` is up to 20 % more or less.

A folder in memory is needed, or the disk is measured; /dev/shm by default. For 64 threads it takes 7 GB there, and 3 GB
of memory; all that is measured by default takes some 15 minutes.
"""

import argparse
import ctypes
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import hdf5plugin
import numpy as np
from rich.console import Console
from rich.table import Table

from ptychoproduct import (
    ExportMeta,
    ExportOptions,
    ProductWarning,
    export_product_from_npz,
    import_product_to_npz,
    open_product,
    repack_product,
)
from ptychoproduct.benchmark.machine import describe_machine
from ptychoproduct.npz.writer import NpzWriter
from ptychoproduct.system.process import available_threads, prepare_process

SIZE_PX = 256
DTYPE = np.dtype(np.uint16)
CHUNK_FRAMES = 8
CHUNK_BYTES = CHUNK_FRAMES * SIZE_PX**2 * DTYPE.itemsize
BATCH = 64
BATCHES = 10
# Blocks are what is stored of a chunk: a frame; or half of one, so that a repacked product has other filters.
CODEC, OTHER_CODEC = "lz4,block=128KiB", "lz4,block=64KiB"
KEEPING = "lz4,block=1MiB", "lz4,block=2MiB"
REAL_THREADS = available_threads()


@dataclass
class Files:
    """A scan, what is made of it, and how."""

    folder: Path
    chunks: int
    codecs: tuple[str, str]
    array: np.ndarray = field(init=False)

    def __post_init__(self):
        self.scan, self.product, self.repacked, self.back = (
            str(self.folder / name) for name in ("scan.npz", "product.h5", "repacked.h5", "back.npz")
        )
        rng = np.random.default_rng(0)
        half = rng.integers(0, 1000, (SIZE_PX // 2, SIZE_PX), DTYPE)
        self._first = np.concatenate([half, half])
        numbers = np.arange(self.chunks * CHUNK_FRAMES)
        probe = rng.standard_normal((SIZE_PX, SIZE_PX)).astype(np.complex64)
        with NpzWriter(Path(self.scan)) as archive:
            archive.write_array("xcoords.npy", 2.0 * (numbers % 100))
            archive.write_array("ycoords.npy", 2.0 * (numbers // 100))
            archive.write_array("probeGuess.npy", probe)
            with archive.member("diff3d.npy") as member:
                member.write_header((len(numbers), SIZE_PX, SIZE_PX), DTYPE)
                for chunk in range(self.chunks):
                    member.write(np.ascontiguousarray(np.broadcast_to(self.frame(chunk), (8, SIZE_PX, SIZE_PX))))
        self.array = np.empty((len(numbers), SIZE_PX, SIZE_PX), DTYPE)

    def frame(self, chunk):
        """Return what all frames of a chunk are."""
        return self._first + DTYPE.type(chunk % 50_000)

    def check(self, frames, job):
        """End, unless these are all frames."""
        if len(frames) != self.chunks * CHUNK_FRAMES:
            sys.exit(f"{job}: {len(frames)} frames")
        for chunk in range(self.chunks):
            if not (frames[chunk * CHUNK_FRAMES : (chunk + 1) * CHUNK_FRAMES] == self.frame(chunk)).all():
                sys.exit(f"{job}: other frames in chunk {chunk}")


def convert(files, threads):
    # Frames that are alike are no diffraction: physics has nothing to judge.
    options = ExportOptions(compression=files.codecs[0], threads=threads, physics=False, chunk_frames=CHUNK_FRAMES)
    yield
    export_product_from_npz(files.scan, files.product, ExportMeta(object_pixel_width_m=1e-8), options=options)
    yield
    check_product(files, files.product, "convert")


def read(files, threads):  # noqa: ARG001 - as many as there are cores
    with open_product(files.product) as product:
        yield
        product.frames.read_into(files.array)
        yield
    files.check(files.array, "read")


def batches(files, threads):  # noqa: ARG001 - see above
    """Read frames at random, each out of another chunk, where there are so many."""
    rng = np.random.default_rng(0)
    count = min(BATCH, files.chunks)
    with open_product(files.product) as product:
        numbers = [
            rng.choice(files.chunks, count, replace=False) * CHUNK_FRAMES + rng.integers(0, CHUNK_FRAMES, count)
            for _ in range(BATCHES)
        ]
        out = np.empty((BATCHES, count, SIZE_PX, SIZE_PX), DTYPE)
        product.frames.read_into(out[0], numbers[0])  # the threads start
        yield
        for batch, wanted in zip(out, numbers, strict=True):
            product.frames.read_into(batch, wanted)
        yield
    for batch, wanted in zip(out, numbers, strict=True):
        for frame, number in zip(batch, wanted, strict=True):
            if not (frame == files.frame(number // CHUNK_FRAMES)).all():
                sys.exit(f"batches: another frame {number}")


def import_(files, threads):  # noqa: ARG001 - see above
    yield
    import_product_to_npz(files.product, files.back)
    yield
    with np.load(files.back) as back:
        files.check(back["diff3d"], "import")
    Path(files.back).unlink()


def repack(files, threads):
    options = ExportOptions(compression=files.codecs[1], threads=threads)
    yield
    repack_product(files.product, files.repacked, options=options)
    yield
    check_product(files, files.repacked, "repack")
    Path(files.repacked).unlink()


JOBS = {"convert": convert, "read": read, "batches": batches, "import": import_, "repack": repack}


def check_product(files, path, job):
    with open_product(path) as product:
        files.array[:] = 0
        product.frames.read_into(files.array)
    files.check(files.array, job)


@dataclass(frozen=True)
class Run:
    """What was coded, for how long cores had to; how long it took, whole, and from the first chunk to the last."""

    coded_bytes: int
    core_s: float
    whole_s: float
    coding_s: float
    cpu_s: float
    caller_cpu_s: float


@dataclass(frozen=True)
class Row:
    """Medians of the runs of a job."""

    job: str
    gb_s_per_core: float
    threads: int
    coded_bytes: int
    gb_s: float
    efficiency: float
    whole_efficiency: float
    caller_cpu_s_per_gb: float
    cpu_s_per_gb: float
    limit_gb_s: float = 0.0

    @property
    def all_cores_gb_s(self):
        return self.gb_s_per_core * self.threads

    @property
    def of_limit(self):
        return self.efficiency if self.all_cores_gb_s <= self.limit_gb_s else self.gb_s / self.limit_gb_s

    def values(self):
        return asdict(self) | {"of_limit": self.of_limit}

    @classmethod
    def of(cls, job, speed, threads, runs):
        def median(value):
            return statistics.median(map(value, runs))

        return cls(
            job,
            speed,
            threads,
            runs[0].coded_bytes,
            median(lambda run: run.coded_bytes / run.coding_s / 1e9),
            median(lambda run: run.core_s / run.coding_s / threads),
            median(lambda run: run.core_s / run.whole_s / threads),
            median(lambda run: run.caller_cpu_s / run.coded_bytes * 1e9),
            median(lambda run: run.cpu_s / run.coded_bytes * 1e9),
        )


class SimulatedCores:
    """So many cores of one speed in the place of those of this machine."""

    def __init__(self, spread):
        self._spread = spread
        path = hdf5plugin.get_config().registered_filters["lz4"]
        self._library = ctypes.CDLL(path)
        self._library.simulated_begin.argtypes = [ctypes.c_double, ctypes.c_double, ctypes.c_int64]
        self._library.simulated_core_seconds.restype = ctypes.c_double
        self._library.simulated_bytes.restype = ctypes.c_uint64
        self._library.simulated_seconds.restype = ctypes.c_double
        self._clock = time.pthread_getcpuclockid(threading.get_ident())

    def run(self, job, files, threads, speed):
        """Do a job, and compare what it has made."""
        os.sched_getaffinity = lambda _: set(range(threads))  # whence the product knows of cores
        self._library.simulated_begin(0, 0, self._clock)
        steps = JOBS[job](files, threads)
        next(steps)
        self._library.simulated_begin(speed * 1e9, self._spread, self._clock)
        start = time.perf_counter()
        next(steps)
        whole_s = time.perf_counter() - start
        coded, core_s = self._library.simulated_bytes(), self._library.simulated_core_seconds()
        times = [self._library.simulated_seconds(clock) for clock in range(3)]
        self._library.simulated_begin(0, 0, self._clock)
        next(steps, None)
        return Run(coded, core_s, whole_s, *times)


def measure(arguments, folder):
    """Give rows, and rows without sleep on the real cores, with the most chunks that there are."""
    cores, rows, limits = SimulatedCores(arguments.spread), [], {}
    for threads in arguments.threads:
        files = Files(
            folder, threads * arguments.chunks_per_thread, KEEPING if arguments.keep_all else (CODEC, OTHER_CODEC)
        )
        cases = [(job, speed, threads) for speed in arguments.speeds for job in JOBS]
        if threads == max(arguments.threads):
            cases += [(job, 0.0, REAL_THREADS) for job in JOBS]
        for job in JOBS:  # makes the files, and warms up
            cores.run(job, files, threads, 0.0)
        runs = {case: [] for case in cases}
        for number in range(arguments.rounds):
            print(f"{threads} threads: round {number + 1} of {arguments.rounds}", file=sys.stderr)
            for case in cases[number % len(cases) :] + cases[: number % len(cases)]:
                job, speed, count = case
                runs[case].append(cores.run(job, files, count, speed))
        for (job, speed, count), found in runs.items():
            row = Row.of(job, speed, count, found)
            if speed:
                rows.append(row)
            else:
                limits[job] = row
    return rows, limits


def goals(rows):
    """Give what is wanted, for whom, and what was reached at the worst."""
    slow = [row for row in rows if row.gb_s_per_core == 0.05 and row.threads == 64]
    fast = [row for row in rows if row.gb_s_per_core == 0.1 and row.all_cores_gb_s <= row.limit_gb_s]
    for job in JOBS:
        for name, goal, wanted in (
            ("efficiency, 64 threads of 0.05 GB/s", 0.95, slow),
            ("efficiency, 0.1 GB/s each, up to the limit", 0.9, fast),
        ):
            reached = [row.efficiency for row in wanted if row.job == job]
            if reached:
                yield {"job": job, "goal": name, "wanted": goal, "reached": min(reached), "met": min(reached) >= goal}


def show(rows, limits):
    console = Console(width=100)
    table = Table("job", "GB/s a core", "threads", "GB/s", "efficiency", "whole", "of limit", title="Simulated cores")
    table.add_column("CPU s/GB: caller")
    table.add_column("all")
    for column in table.columns[1:]:
        column.justify = "right"
    for job in JOBS:
        for row in rows:
            if row.job == job:
                shares = (f"{share:.3f}" for share in (row.efficiency, row.whole_efficiency, row.of_limit))
                cpu = f"{row.caller_cpu_s_per_gb:.3f}", f"{row.cpu_s_per_gb:.3f}"
                table.add_row(job, f"{row.gb_s_per_core:g}", str(row.threads), f"{row.gb_s:.2f}", *shares, *cpu)
        limit = limits[job]
        cpu = f"{limit.caller_cpu_s_per_gb:.3f}", f"{limit.cpu_s_per_gb:.3f}"
        table.add_row(job, "limit", str(limit.threads), f"{limit.gb_s:.2f}", "", "", "", *cpu, end_section=True)
    console.print(table)
    for goal in goals(rows):
        word = "met" if goal["met"] else "not met"
        console.print(f"{goal['job']:8} {goal['goal']}: {goal['reached']:.3f}, wanted {goal['wanted']}: {word}")


def with_simulated_lz4(folder):
    """Make a copy of hdf5plugin, of links, with the filter in place of lz4; return the environment that it is in."""
    installed = Path(importlib.util.find_spec("hdf5plugin").origin).parent
    package = folder / "hdf5plugin"
    (package / "plugins").mkdir(parents=True)
    for file in [*installed.glob("*.py"), *(installed / "plugins").iterdir()]:
        (package / file.relative_to(installed)).symlink_to(file)
    (library,) = (package / "plugins").glob("libh5lz4.*")
    library.unlink()
    source = Path(__file__).with_name("simulated_cores.c")
    strict = ("-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2")
    subprocess.run(["cc", *strict, "-shared", "-fPIC", "-o", library, source], check=True)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    environment.pop("HDF5_PLUGIN_PATH", None)  # HDF5 would find another lz4
    return environment


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--speeds", nargs="+", type=float, default=[0.05, 0.1], help="GB/s of a core")
    parser.add_argument("--chunks-per-thread", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spread", type=float, default=0.2, help="of the times of chunks")
    parser.add_argument("--keep-all", action="store_true", help="store all frames, not one of eight")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--simulated", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if not arguments.simulated:
            environment = with_simulated_lz4(Path(folder))
            words = [sys.executable, __file__, "--simulated", *sys.argv[1:]]
            sys.exit(subprocess.run(words, env=environment, check=False).returncode)
        prepare_process()  # as the command does
        warnings.simplefilter("ignore", ProductWarning)  # of a scan without an object
        machine = describe_machine(arguments.folder)
        with suppress(OSError):  # Linux ends sleeps up to 50 µs late
            Path("/proc/self/timerslack_ns").write_text("1")
        rows, limits = measure(arguments, Path(folder))
        rows = [Row(**asdict(row) | {"limit_gb_s": limits[row.job].gb_s}) for row in rows]
        if arguments.json:
            found = {"rows": [row.values() for row in rows], "limits": [asdict(row) for row in limits.values()]}
            print(json.dumps({"machine": asdict(machine), **found, "goals": list(goals(rows))}, indent=1))
        else:
            show(rows, limits)


if __name__ == "__main__":
    main()
