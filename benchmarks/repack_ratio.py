"""How long `ptychoproduct repack` takes, as a part of what others take for the same product and the same filter.

All run as whole processes, start-up and all, in turn: ours; h5repack, where it is installed (Debian: hdf5-tools); and
the loop over blocks of frames that one would write with h5py and hdf5plugin. The product is a simulated scan. /dev/shm
by default; give another folder to measure its disk.

    python benchmarks/repack_ratio.py [--compression gzip:1] [--chunk-frames 8] [--rounds 5] [FOLDER]
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from ptychoproduct.compression.codecs import parse_codec

PROGRAM = Path(sys.executable).with_name("ptychoproduct")
FRAMES = "raw_data/diffraction"
H5PY_LOOP = """
import sys, h5py, hdf5plugin
from ptychoproduct.compression.codecs import parse_codec
source, target, codec, name = sys.argv[1:]
with h5py.File(source) as before, h5py.File(target, "w", libver=("v108", "v110")) as after:
    for key in before:
        if key != "raw_data":
            before.copy(key, after)
    raw = after.create_group("raw_data")
    for key in before["raw_data"]:
        if key != "diffraction":
            before.copy(f"raw_data/{key}", raw)
    frames = before[name]
    options = parse_codec(codec).dataset_options(frames.dtype)
    new = after.create_dataset(name, frames.shape, frames.dtype, chunks=frames.chunks, **options)
    step = frames.chunks[0]
    for first in range(0, len(frames), step):
        new[first : first + step] = frames[first : first + step]
"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="/dev/shm")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--from", dest="before", default="bitshuffle-zstd:1,block=64KiB", help="codec of the product")
    parser.add_argument("--compression", default="gzip:1")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def h5repack_filters(codec, frames):
    """Spell a codec for h5repack: HDF5's own numbers and the parameters that a user gives."""
    with h5py.File("spelling", "w", driver="core", backing_store=False) as file:
        options = parse_codec(codec).dataset_options(frames.dtype)
        filters = file.create_dataset("a", frames.shape, frames.dtype, chunks=frames.chunks, **options)
        properties = filters.id.get_create_plist()
        names = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    words = []
    for number in names:
        if number == h5py.h5z.FILTER_SHUFFLE:
            words.append("SHUF")
        elif number == h5py.h5z.FILTER_DEFLATE:
            words.append(f"GZIP={options['compression_opts']}")
        else:
            values = options["compression_opts"]
            words.append(f"UD={number},0,{len(values)},{','.join(map(str, values))}")
    return [word for filter_ in words or ["NONE"] for word in ("-f", f"{FRAMES}:{filter_}")]


def commands(before, work, codec):
    """Give the command of each tool that there is."""
    after = {name: str(work / f"{name}.h5") for name in ("ours", "h5repack", "h5py")}
    with h5py.File(before) as file:
        filters = h5repack_filters(codec, file[FRAMES])
    found = {"ours": [str(PROGRAM), "repack", before, after["ours"], "--compression", codec, "--quiet"]}
    program = shutil.which("h5repack")
    if program:
        found["h5repack"] = [program, *filters, before, after["h5repack"]]
    found["h5py"] = [sys.executable, "-c", H5PY_LOOP, before, after["h5py"], codec, FRAMES]
    return found, after


def check(before, after):
    """End, where the frames of a file are not those of the product, or not compressed at all."""
    with h5py.File(before) as one, h5py.File(after) as other:
        if not np.array_equal(one[FRAMES][::97], other[FRAMES][::97]):
            sys.exit(f"{after}: other frames")
        properties = other[FRAMES].id.get_create_plist()
        return [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]


def main():
    arguments = parse_arguments()
    plugins = {"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        work = Path(folder)
        scan, before = str(work / "scan.npz"), str(work / "before.h5")
        size = ["--frames", str(arguments.frames), "--size", str(arguments.size)]
        subprocess.run([PROGRAM, "simulate", scan, *size, "--quiet"], check=True)
        subprocess.run([PROGRAM, "convert", scan, before, "--compression", arguments.before, "--quiet"], check=True)
        Path(scan).unlink()
        run, after = commands(before, work, arguments.compression)
        seconds = {name: [] for name in run}
        for turn in range(arguments.rounds + 1):
            for name, command in run.items():
                start = time.perf_counter()
                environment = os.environ | (plugins if name == "h5repack" else {})
                subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
                if turn > 0:
                    seconds[name].append(time.perf_counter() - start)
        filters = {name: check(before, after[name]) for name in run}
        sizes = {name: Path(after[name]).stat().st_size for name in run}
    print(f"{arguments.before} to {arguments.compression}, medians over --rounds {arguments.rounds}")
    print(f"{'':10}{'s':>8}{'ours is':>10}{'file, MB':>10}   filters")
    for name, values in seconds.items():
        ratio = statistics.median(b / a for a, b in zip(seconds["ours"], values, strict=True))
        print(f"{name:10}{statistics.median(values):8.2f}{ratio:8.2f} x{sizes[name] / 1e6:10.1f}   {filters[name]}")


if __name__ == "__main__":
    main()
