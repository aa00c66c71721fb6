"""How near a conversion comes to the codec's own limit: all cores, doing nothing but compressing what is in memory.

The limit is the codec on buffers that hold frames already, a thread a core. The conversion is `ptychoproduct convert`
of the same frames in a stored NPZ file in the page cache, from opening the product to its appearance; only start-up is
not in it. Both in turn, on a simulated scan. Give a folder on the disk to measure; /dev/shm by default.

    python benchmarks/codec_limit.py [--megabytes 2000] [--quantity counts] [--compression CODEC ...] [FOLDER]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from ptychoproduct import ScanParameters, simulate_scan
from ptychoproduct.compression.codecs import parse_codec
from ptychoproduct.compression.filters import filter_pipeline
from ptychoproduct.hdf5.chunks import create_chunked
from ptychoproduct.system.process import available_threads, prepare_process
from ptychoproduct_native import ChunkBuffer

CODECS = ("zstd:1", "bitshuffle-zstd:1,block=64KiB", "bitshuffle-lz4")


def codec_alone(frames, codec, threads):
    """Return the MB/s of all cores on one filled buffer a chunk."""
    with h5py.File.in_memory() as file:
        dataset = create_chunked(file, "frames", frames.shape[1:], frames.dtype, parse_codec(codec), len(frames))
        pipeline, chunk_rows = filter_pipeline(dataset), dataset.chunks[0]
        chunks = []
        for first in range(0, len(frames) - chunk_rows + 1, chunk_rows):
            rows = frames[first : first + chunk_rows]
            chunks.append(ChunkBuffer(rows.nbytes))
            memoryview(chunks[-1])[:] = memoryview(rows).cast("B")
        nbytes = sum(map(len, chunks))

        def encode(place):
            pipeline.encode(chunks[place])
            chunks[place] = None  # memory that is free again is quicker than more of it

        with ThreadPoolExecutor(threads) as pool:
            start = time.perf_counter()
            list(pool.map(encode, range(len(chunks))))
            return nbytes / 1e6 / (time.perf_counter() - start)


def conversion(scan, product, codec):
    """Return the MB/s of the command, start-up taken off."""
    program = Path(sys.executable).with_name("ptychoproduct")
    command = [program, "convert", scan, product, "--compression", codec, "--json", "--quiet"]
    result = subprocess.run(command, check=True, capture_output=True)
    return json.loads(result.stdout)["throughput_mb_s"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default="/dev/shm")
    parser.add_argument("--megabytes", type=float, default=2000)
    parser.add_argument("--quantity", choices=("amplitude", "counts"), default="amplitude")
    parser.add_argument("--compression", nargs="+", default=CODECS)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    prepare_process()  # as the command does
    threads = available_threads()
    itemsize = 4 if arguments.quantity == "amplitude" else 2
    count = round(arguments.megabytes * 1e6 / (256 * 256 * itemsize))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
        scan, product = Path(work, "scan.npz"), Path(work, "product.h5")
        simulate_scan(scan, ScanParameters(frames=count, quantity=arguments.quantity))
        frames = np.load(scan)["diff3d"][:2000]
        for codec in arguments.compression:
            rounds = [
                (codec_alone(frames, codec, threads), conversion(scan, product, codec)) for _ in range(arguments.rounds)
            ]
            limit, reached = map(statistics.median, zip(*rounds, strict=True))
            share = statistics.median(whole / alone for alone, whole in rounds)
            print(f"{codec:32} {threads} x codec alone {limit:6.0f} MB/s, convert {reached:6.0f} MB/s: {share:.2f}")


if __name__ == "__main__":
    main()
