"""A worker, the scheduler or the client is killed at any moment, and the same command with --resume does the rest.

    python tests/campaigns/cluster_kills.py              50 kills of each: of a batch, of a batch with patterns files
                                                         over older ones, of one scan, and of one in shards
    python tests/campaigns/cluster_kills.py --kills 2    2 of each

Then every file is there, byte for byte that of an undisturbed run; nothing that the journal had as done was made
again; and nothing is left over. The cluster's processes are forked from this one, which has imported what they need.
"""

import argparse
import asyncio
import collections
import contextlib
import hashlib
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from distributed import Client, Scheduler, Worker

from ptychoproduct.batch import encoding, one_scan  # noqa: F401 - the children have them, too
from ptychoproduct.convert import export  # noqa: F401
from ptychoproduct_cli.main import main as run_ptychoproduct

END_S = 300
VICTIMS = ("worker", "scheduler", "client")
PIXELS = ["--detector-pixel-size-m", "75e-6"]
JOBS = {
    "batch": ["convert", "in/s*.npz", "--output-dir", "out"],
    "pairs": ["convert", "in/s*.npz", "--output-dir", "out", "--diffraction-output", "out/patterns", *PIXELS],
    "one scan": ["convert", "in/big.npz", "out/big.h5", "--chunk-frames", "4"],
    "shards": ["convert", "in/big.npz", "out/big.h5", "--chunk-frames", "4", "--shards", "16"],
}


class Cluster:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.workers = []
        self.start()

    def start(self):
        """Start all."""
        self.file.unlink(missing_ok=True)
        self.scheduler = forked(lambda: asyncio.run(_scheduler(self.file)))
        while not (self.file.exists() and self.file.stat().st_size):
            time.sleep(0.01)
        time.sleep(0.05)
        self.address = json.loads(self.file.read_text())["address"]
        self.workers = [self._worker(), self._worker()]

    def _worker(self):
        return forked(lambda: asyncio.run(_worker(self.address, str(self.folder))))

    def strike(self, victim):
        """Kill the scheduler or a worker, and start another."""
        if victim == "scheduler":
            self.end()
            self.start()
        else:
            number = random.randrange(2)
            kill(self.workers[number])
            self.workers[number] = self._worker()

    def end(self):
        """Kill all, the scheduler first."""
        for process in (self.scheduler, *self.workers):
            kill(process)


async def _scheduler(file):
    async with Scheduler(port=0, host="127.0.0.1", dashboard=False, scheduler_file=str(file)) as scheduler:
        await scheduler.finished()


async def _worker(address, folder):
    async with Worker(address, nthreads=1, dashboard=False, local_directory=folder) as worker:
        await worker.finished()


def forked(function):
    """Run a function in a child, and return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        for name in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        function()
        code = 0
    except SystemExit as ended:
        code = ended.code
    finally:
        os._exit(code if isinstance(code, int) else 1)


def kill(process):
    """End a child at once."""
    os.kill(process, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, 0)


def started(folder, words, cluster, handed_out):
    """Start the command; what it hands out to workers is noted, one name a line."""

    def run():
        os.chdir(folder)
        submit = Client.submit

        def noted(client, function, *arguments, key=None, **others):
            with handed_out.open("a") as file:
                file.write(f"{key}\n")
            return submit(client, function, *arguments, key=key, **others)

        Client.submit = noted
        errors = os.open(folder / "errors.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(errors, 2)
        sys.argv = ["ptychoproduct", *words, "--cluster", str(cluster.file), "--resume", "--quiet", "--no-physics"]
        run_ptychoproduct()

    return forked(run)


def ended(process):
    """Wait for a child; return its exit code, or what killed it, negative; None where it does not end."""
    end = time.monotonic() + END_S
    while time.monotonic() < end:
        with contextlib.suppress(ChildProcessError):
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    kill(process)
    return None


def files_of(folder):
    """Return digests of all files but journals, by name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "ptychoproduct-batch.jsonl":
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def noted_as_done(out, before):
    """Return what journals have as done: products with the time of the file, and ranges by their first frames.

    What was done of older scans is not meant.
    """
    done = {}
    journal, old = out / "ptychoproduct-batch.jsonl", before / "ptychoproduct-batch.jsonl"
    new = slice(len(old.read_bytes()) if old.exists() else 0, None)
    for line in journal.read_bytes()[new].splitlines() if journal.exists() else ():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if record["error"] is None:
                done[record["output"]] = record["product"]["mtime_ns"]
    ranges = set()
    for journal in out.glob(".*.part/ranges.jsonl"):
        if not journal.with_name("product.h5").exists():  # it has its name already
            continue
        for line in journal.read_text().splitlines()[2:]:
            with contextlib.suppress(ValueError):
                ranges.add(json.loads(line)["first"])
    return done, ranges


def mixed_pairs(out, before, reference):
    """Return how many products stand beside a patterns file of another scan than theirs."""
    old, found = files_of(before), files_of(out)
    pairs = [(name, f"patterns/{name}") for name in reference if f"patterns/{name}" in reference]
    whole = [[tuple(map(files.get, pair)) for files in (old, reference)] for pair in pairs]
    return sum(tuple(map(found.get, pair)) not in each for pair, each in zip(pairs, whole, strict=True))


def trial(folder, cluster, job, victim, reference, seconds, counts):
    """Kill once, and go on; give what is wrong then."""
    out, handed_out = folder / "out", folder / "handed_out"
    shutil.rmtree(out, ignore_errors=True)
    before = folder / "before" / job
    shutil.copytree(before, out)
    for file in (handed_out, folder / "errors.txt"):
        file.unlink(missing_ok=True)
    client = started(folder, JOBS[job], cluster, handed_out)
    time.sleep(random.uniform(0, seconds))
    if victim == "client":
        kill(client)
        code = -signal.SIGKILL
    else:
        cluster.strike(victim)
        code = ended(client)
    counts[f"{job}: {victim}: went on by itself"] += code == 0
    if victim == "worker" and code != 0:
        print(f"{job}: {victim}: exit code {code}: {(folder / 'errors.txt').read_text()[-300:]}", flush=True)
    if job == "pairs" and victim == "scheduler":  # else workers still write, or all is done
        counts[f"{job}: {victim}: mixed before it went on"] += mixed_pairs(out, before, reference)
    for _ in range(3):
        if code == 0 or (job == "shards" and files_of(out) == reference):  # it was killed when all was done
            code = 0
            break
        done, ranges = noted_as_done(out, before)
        counts[f"{job}: {victim}: done before"] += len(done) + len(ranges)
        handed_out.unlink(missing_ok=True)
        code = ended(started(folder, JOBS[job], cluster, handed_out))
        again = handed_out.read_text().split() if handed_out.exists() else []
        if job == "one scan":
            twice = ranges & {int(key.rpartition("-")[2]) for key in again}
            if twice:
                yield f"made again: frames from {sorted(twice)}"
        for name, mtime_ns in done.items():
            if (out / name).stat().st_mtime_ns != mtime_ns:
                yield f"made again: {name}"
    if code != 0:
        yield f"exit code {code}: {(folder / 'errors.txt').read_text()[-300:]}"
    found = files_of(out)
    if found != reference:
        names = sorted(name for name in {*found, *reference} if found.get(name) != reference.get(name))
        yield f"differs: {', '.join(names)}"


def make_scans(folder, scans, frames, seed):
    """Write small scans and a larger one, all of amplitudes."""
    rng = np.random.default_rng(seed)
    probe = np.ones((32, 32), np.complex64)
    for name, length in {**{f"s{number}": 24 for number in range(scans)}, "big": frames}.items():
        counts = rng.poisson(2, (length, 32, 32))
        x, y = rng.uniform(16, 80, (2, length))
        stack = np.sqrt(counts).astype(np.float32)
        np.savez(folder / f"{name}.npz", diff3d=stack, xcoords=x, ycoords=y, probeGuess=probe)


def undisturbed(folder, job, cluster):
    """Run the command with no output there; return its seconds, and the digests of what it has made."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    began = time.monotonic()
    code = ended(started(folder, JOBS[job], cluster, folder / "handed_out"))
    assert code == 0, (folder / "errors.txt").read_text()
    return time.monotonic() - began, files_of(folder / "out")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS)
    parser.add_argument("--scans", type=int, default=20, help="of the batch")
    parser.add_argument("--frames", type=int, default=1200, help="of the one scan")
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = random.randrange(2**32) if given.seed is None else given.seed
    random.seed(seed)
    print(f"seed {seed}", flush=True)
    encoding.RANGE_BYTES = 40_000
    folder, failures, counts = Path(tempfile.mkdtemp(prefix="kills-")), 0, collections.Counter()
    (folder / "in").mkdir()
    make_scans(folder / "in", given.scans, given.frames, seed=1)
    cluster = Cluster(folder / "in")
    try:
        for job in given.jobs:
            before = folder / "before" / job
            before.mkdir(parents=True)
            if job == "pairs":  # older ones stand there
                make_scans(folder / "in", given.scans, given.frames, seed=2)
                undisturbed(folder, job, cluster)
                shutil.copytree(folder / "out", before, dirs_exist_ok=True)
                make_scans(folder / "in", given.scans, given.frames, seed=1)
            seconds, reference = undisturbed(folder, job, cluster)
            print(f"{job}: {seconds:.1f} s undisturbed, {len(reference)} files", flush=True)
            for victim in given.victims:
                for number in range(given.kills):
                    for problem in trial(folder, cluster, job, victim, reference, seconds, counts):
                        failures += 1
                        print(f"VIOLATION: {job}: {victim} {number}: {problem}", flush=True)
                    if number % 10 == 9:
                        print(f"{job}: {victim}: {number + 1} done", flush=True)
                print(f"{job}: {given.kills} x {victim}", flush=True)
    finally:
        cluster.end()
        shutil.rmtree(folder, ignore_errors=True)
    for name, number in counts.items():
        print(f"{name}: {number}")
    print(f"{failures} violations")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
