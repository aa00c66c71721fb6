"""How fast frames are read, as a multiple of what h5py and hdf5plugin reach on the same product.

Whole: all frames of a product into a new array. Batch: 64 frames drawn at random into an array that is reused, as a
training loader asks; h5py does it one by one, one by one in ascending order, and as one list, and its best counts.
Import: the product to a stored NPZ file, against h5py and np.savez. All in turn, on a simulated scan, in the codec that
`convert` takes by default. Give a folder on the disk to measure; /dev/shm by default.

    python benchmarks/read_ratio.py [FOLDER]
"""

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

PAIRS = 15
BATCH = 64
FRAMES = "raw_data/diffraction"


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


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


def in_turn(*calls):
    """Time calls one after the other, many times; the first round warms up."""
    rounds = [[seconds(*call) for call in calls] for _ in range(PAIRS + 1)][1:]
    return list(zip(*rounds, strict=True))


def batches(product):
    """Time random batches: ours, and the best that h5py does with the same numbers."""
    rng = np.random.default_rng(0)
    ours, best = [], []
    with open_product(product) as opened, h5py.File(product) as file:
        dataset = file[FRAMES]
        out = np.empty((BATCH, *dataset.shape[1:]), dataset.dtype)
        for _ in range(PAIRS + 1):
            numbers = rng.choice(len(dataset), BATCH, replace=False)
            ours.append(seconds(opened.frames.read_into, out, numbers))
            ways = (h5py_one_by_one, h5py_ascending, h5py_list)
            best.append(min(seconds(way, dataset, out, numbers) for way in ways))
    return ours[1:], best[1:]


def report(name, ours, theirs):
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"{name:8}{a * 1000:8.1f} ms   h5py {b * 1000:8.1f} ms   {ratio:.2f} x h5py's speed, median of {PAIRS} pairs")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "/dev/shm"
    program = Path(sys.executable).with_name("ptychoproduct")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        scan, product, back = (str(Path(work, name)) for name in ("scan.npz", "product.h5", "back.npz"))
        subprocess.run([program, "simulate", scan, "--quiet"], check=True)
        subprocess.run([program, "convert", scan, product, "--quiet"], check=True)
        report("whole", *in_turn((read_whole, product), (h5py_whole, product)))
        report("batch", *batches(product))
        report("import", *in_turn((import_product_to_npz, product, back), (h5py_import, product, back)))


if __name__ == "__main__":
    main()
