"""How fast frames are read, as a multiple of what h5py and hdf5plugin reach on the same product.

Whole: all frames of a product into a new array. Batch: 64 frames drawn at random into an array that is reused, as a
training loader asks; h5py does it one by one, one by one in ascending order, and as one list, and its best counts.
One: a frame of each chunk, the middle one, and what that takes of the time of the whole chunk. Import: the product to a
stored NPZ file, against h5py and np.savez. All in turn, on a simulated scan, in the codec that `convert` takes by
default. Give a folder on the disk to measure; /dev/shm by default.

CPU time is that of all threads. On a busy machine only its ratio means something; both cores at work make the ratio of
times up to twice as large.

    python benchmarks/read_ratio.py [--quantity counts] [--pairs 15] [FOLDER]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np

from ptychoproduct import import_product_to_npz, open_product

BATCH = 64
FRAMES = "raw_data/diffraction"


def seconds(function, *arguments):
    """Return the time that a call takes, and the CPU time of all threads."""
    start, cpu_start = time.perf_counter(), time.process_time()
    function(*arguments)
    return time.perf_counter() - start, time.process_time() - cpu_start


def read_whole(product):
    with open_product(product) as opened:
        return opened.frames[:]


def h5py_whole(product):
    with h5py.File(product) as file:
        return file[FRAMES][:]


def h5py_one_by_one(dataset, out, numbers):
    for place, number in enumerate(numbers):
        dataset.read_direct(out, np.s_[number], np.s_[place])


def h5py_ascending(dataset, out, numbers):
    for place in np.argsort(numbers):
        dataset.read_direct(out, np.s_[numbers[place]], np.s_[place])


def h5py_list(dataset, out, numbers):
    distinct, places = np.unique(numbers, return_inverse=True)
    out[:] = dataset[distinct][places]


def h5py_import(product, archive):
    np.savez(archive, diff3d=h5py_whole(product))


def in_turn(pairs, *calls):
    """Time calls one after the other, many times, and every second time backwards; the first round warms up."""
    rounds = []
    for number in range(pairs + 1):
        order = [*range(len(calls))][:: -1 if number % 2 else 1]
        times = {place: seconds(*calls[place]) for place in order}
        rounds.append([times[place] for place in range(len(calls))])
    return list(zip(*rounds[1:], strict=True))


def one_frame(product, pairs):
    """Time a frame in the middle of chunks that were not met before, and these chunks whole."""
    rng = np.random.default_rng(0)
    with open_product(product) as opened:
        rows = opened.frames.chunks[0]
        firsts = rng.permutation(len(opened.frames) // rows)[: 2 * pairs + 2] * rows
        out = np.empty((rows, *opened.frames.shape[1:]), opened.frames.dtype)
        frames, read = range(len(firsts) // 2), opened.frames.read_into
        ones = [seconds(read, out[0], int(firsts[2 * i] + rows // 2)) for i in frames]
        whole = [seconds(read, out, slice(int(firsts[2 * i + 1]), int(firsts[2 * i + 1]) + rows)) for i in frames]
    return ones[1:], whole[1:], rows


def batches(product, pairs):
    """Time random batches: ours, and the best that h5py does with the same numbers."""
    rng = np.random.default_rng(0)
    ours, best = [], []
    with open_product(product) as opened, h5py.File(product) as file:
        dataset = file[FRAMES]
        out = np.empty((BATCH, *dataset.shape[1:]), dataset.dtype)
        for _ in range(pairs + 1):
            numbers = rng.choice(len(dataset), BATCH, replace=False)
            ours.append(seconds(opened.frames.read_into, out, numbers))
            ways = (h5py_one_by_one, h5py_ascending, h5py_list)
            times = [seconds(way, dataset, out, numbers) for way in ways]
            best.append(tuple(map(min, zip(*times, strict=True))))
    return ours[1:], best[1:]


def report(name, ours, theirs, other="h5py"):
    """Print medians of times and CPU times, and of the pairs' ratios."""
    cells = [f"{name:8}"]
    for kind, a, b in zip(("time", "CPU"), zip(*ours, strict=True), zip(*theirs, strict=True), strict=True):
        ratio = statistics.median(y / x for x, y in zip(a, b, strict=True))
        a, b = 1000 * statistics.median(a), 1000 * statistics.median(b)
        cells.append(f"{kind} {a:8.1f} ms, {other} {b:8.1f} ms: x {ratio:.2f}")
    print("   ".join(cells), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default="/dev/shm")
    parser.add_argument("--quantity", choices=("amplitude", "counts"), default="amplitude")
    parser.add_argument("--pairs", type=int, default=15)
    arguments = parser.parse_args()
    pairs = arguments.pairs
    program = Path(sys.executable).with_name("ptychoproduct")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
        scan, product, back = (str(Path(work, name)) for name in ("scan.npz", "product.h5", "back.npz"))
        subprocess.run([program, "simulate", scan, "--quantity", arguments.quantity, "--quiet"], check=True)
        subprocess.run([program, "convert", scan, product, "--quiet"], check=True)
        report("whole", *in_turn(pairs, (read_whole, product), (h5py_whole, product)))
        report("batch", *batches(product, pairs))
        ones, whole, rows = one_frame(product, pairs)
        report("one", ones, whole, f"chunk of {rows}")
        report("import", *in_turn(pairs, (import_product_to_npz, product, back), (h5py_import, product, back)))


if __name__ == "__main__":
    main()
