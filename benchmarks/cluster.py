"""How much a cluster helps, and what it costs: a batch and one large scan on 1 and 2 workers, beside one process.

    python benchmarks/cluster.py [--scan-bytes 4e9] [--scans 16] [--small-scans 1000] [--folder DIR]

Prints a table; CPU is that of this process, and of each worker. `convert` and `convert --cluster local:2` are whole
commands, in turn, five times; the start of what is needed counts. Small scans are 64 frames of 64 x 64, one by one and
in one batch with a journal. The last lines are the time of a task that does nothing, and the rate at which one writer
takes finished chunks, from 64 threads that only wait and do not encode.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from ptychoproduct import (
    ExportOptions,
    ProductWarning,
    ScanFiles,
    ScanParameters,
    export_product_from_files,
    simulate_scan,
)
from ptychoproduct.batch.cluster import connected, local_cluster, one_scan_a_task
from ptychoproduct.batch.jobs import Job
from ptychoproduct.batch.journal import JOURNAL_NAME, Journal
from ptychoproduct.batch.one_scan import export_on_cluster
from ptychoproduct.batch.run import one_after_the_other, run_batch
from ptychoproduct.system.process import available_threads

SIZE_PX = 256
OPTIONS = ExportOptions(object_center="auto")


def make(path, nbytes):
    frames = max(1, int(nbytes / (SIZE_PX**2 * 4)))
    simulate_scan(path, ScanParameters(frames=frames, size_px=SIZE_PX))
    return path


def prepared(work):
    return lambda: work


def jobs(scans, out):
    work = {scan: partial(export_product_from_files, ScanFiles(scan), out / f"{scan.stem}.h5") for scan in scans}
    return [Job(scan, out / f"{scan.stem}.h5", prepared(partial(each, options=OPTIONS))) for scan, each in work.items()]


def own_cpu_s():
    return sum(os.times()[:2])


def timed(what, nbytes, work, client=None):
    """Print the time of some work, and the CPU time of this process and of a cluster's workers."""

    def cpu_s():
        return [own_cpu_s(), *(() if client is None else client.run(own_cpu_s).values())]

    cpu_before, started = cpu_s(), time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    cpu = " + ".join(f"{after - before:.2f}" for before, after in zip(cpu_before, cpu_s(), strict=True))
    print(f"{what:44} {seconds:8.2f} s {nbytes / 1e9 / seconds:8.2f} GB/s   CPU {cpu} s", flush=True)


def batch(scans, out, engine):
    outcomes = run_batch(jobs(scans, out), engine)
    assert all(outcome.status == "done" for outcome in outcomes), [outcome.error for outcome in outcomes]


def commands(scan, folder):
    """Time the command for one scan, here and with --cluster local:2, alternating."""
    found = {"convert": [], "convert --cluster local:2": []}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(5):
        for command, times in found.items():
            first, *others = command.split()
            words = [first, scan, folder / "command.h5", "--quiet", *others]
            (folder / "command.h5").unlink(missing_ok=True)
            cpu_before, started = sum(os.times()[2:4]), time.perf_counter()
            subprocess.run([Path(sys.executable).with_name("ptychoproduct"), *words], check=True, env=environment)
            times.append((time.perf_counter() - started, sum(os.times()[2:4]) - cpu_before))
    medians = {
        command: [statistics.median(each) for each in zip(*times, strict=True)] for command, times in found.items()
    }
    for command, (seconds, cpu_s) in medians.items():
        print(f"{command:44} {seconds:8.2f} s   CPU {cpu_s:.2f} s")
    here, there = medians.values()
    print(f"{'':44} {there[0] / here[0]:8.2f} x   CPU {there[1] / here[1]:.2f} x", flush=True)


def small_scans(number, folder):
    """Time many small scans, in one batch and one by one in this process; then a batch that has all of them done."""
    folder.mkdir()
    warnings.simplefilter("ignore", ProductWarning)  # of frames as high as they are many
    first = folder / "0.npz"
    simulate_scan(first, ScanParameters(frames=64, size_px=64))
    scans = [first, *(Path(shutil.copy(first, folder / f"{scan}.npz")) for scan in range(1, number))]
    (alone, together), nbytes = (folder / name for name in ("alone", "together")), number * first.stat().st_size
    for out in (alone, together):
        out.mkdir()

    def one_by_one():
        for scan in scans:
            export_product_from_files(ScanFiles(scan), alone / f"{scan.stem}.h5", options=OPTIONS)

    def in_a_batch(status):
        outcomes = run_batch(
            jobs(scans, together), one_after_the_other, Journal(together / JOURNAL_NAME, "convert", {}), resume=True
        )
        assert [outcome.status for outcome in outcomes] == [status] * number

    cpu_s = []
    for what, work in (
        ("one by one", one_by_one),
        ("in a batch", partial(in_a_batch, "done")),
        ("resumed, all done", partial(in_a_batch, "skipped")),
    ):
        before = sum(os.times()[:2])
        timed(f"{number} scans of 64x64x64, {what}", nbytes, work)
        cpu_s.append(sum(os.times()[:2]) - before)
    print(f"CPU ms a scan: {', '.join(f'{each / number * 1e3:.2f}' for each in cpu_s)}")


def overhead_s(client, tasks=200):
    started = time.perf_counter()
    client.gather(client.map(lambda number: number, range(tasks), pure=False))
    return (time.perf_counter() - started) / tasks


def writer_bytes_s(client, folder, tasks=64, chunk_bytes=500_000):
    """Return the raw bytes a second that one writer takes of workers that have chunks of 1 MiB, encoded, in 0.1 s."""

    def encoded(number):
        time.sleep(0.1)
        blob = np.random.default_rng(number).bytes(chunk_bytes)
        return [bytes(bytearray(blob)) for _ in range(32)]

    started = time.perf_counter()
    with h5py.File(folder / "writer.h5", "w") as file:
        dataset = file.create_dataset("d", (tasks * 32, 2**20), "u1", chunks=(1, 2**20), compression=1)
        futures = client.map(encoded, range(tasks), pure=False)
        for number, future in enumerate(futures):
            for place, chunk in enumerate(future.result()):
                dataset.id.write_direct_chunk((number * 32 + place, 0), chunk)
    return tasks * 32 * 2**20 / (time.perf_counter() - started)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan-bytes", type=float, default=4e9)
    parser.add_argument("--scans", type=int, default=16)
    parser.add_argument("--batch-bytes", type=float, default=2e8, help="of each scan of the batch")
    parser.add_argument("--small-scans", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        big = make(folder / "big.npz", given.scan_bytes)
        first = make(folder / "s0.npz", given.batch_bytes)
        scans = [first, *(Path(shutil.copy(first, folder / f"s{number}.npz")) for number in range(1, given.scans))]
        total = sum(scan.stat().st_size for scan in scans)
        threads = available_threads()
        print(f"{threads} cores; {given.scans} scans of {total / 1e6:.0f} MB, one of {big.stat().st_size / 1e6:.0f} MB")
        for _ in range(2):  # the first fills the page cache
            timed("batch, one process", total, lambda: batch(scans, folder, one_after_the_other))
            timed("one scan, one process", big.stat().st_size, lambda: convert_here(big, folder))
        for workers in (1, 2):
            with local(workers, 1) as client:
                engine = partial(one_scan_a_task, client)
                timed(f"batch, {workers} workers of 1 thread", total, partial(batch, scans, folder, engine), client)
                work = partial(export_on_cluster, client, ScanFiles(big), folder / "there.h5", options=OPTIONS)
                timed(f"one scan, {workers} workers of 1 thread", big.stat().st_size, work, client)
                assert (folder / "there.h5").read_bytes() == (folder / "here.h5").read_bytes()
        commands(big, folder)
        small_scans(given.small_scans, folder / "small")
        with local(2, 32) as client:
            print(f"{overhead_s(client) * 1e3:.2f} ms a task")
            rate = writer_bytes_s(client, folder)
            print(f"one writer, 64 threads: {rate / 1e9:.2f} GB/s of frames, {rate / 300e6:.0f} cores of 300 MB/s")
    finally:
        shutil.rmtree(folder)


@contextmanager
def local(workers, threads):
    with local_cluster(workers, threads) as cluster, connected(cluster.scheduler_address) as client:
        yield client


def convert_here(scan, folder):
    export_product_from_files(ScanFiles(scan), folder / "here.h5", options=OPTIONS)


if __name__ == "__main__":
    main()
