"""How long `ptychoproduct convert` takes, as a part of what other tools take for the same file.

All run as whole processes, start-up and all, in turn, on a simulated scan. /dev/shm by default; give another folder to
measure its disk.

    python benchmarks/convert_ratio.py [--deflated] [--quantity counts] [--rounds 9] [FOLDER]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ptychoproduct.benchmark.benchmark import entry
from ptychoproduct.benchmark.cases import Case
from ptychoproduct.benchmark.job import Job, run_job
from ptychoproduct.benchmark.tools import PEERS, remove, size_bytes
from ptychoproduct.compression.codecs import parse_codec
from ptychoproduct.system.process import available_threads

PROGRAM = Path(sys.executable).with_name("ptychoproduct")
OURS = "ptychoproduct convert"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="/dev/shm")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--quantity", choices=("amplitude", "counts"), default="amplitude")
    parser.add_argument("--deflated", action="store_true")
    parser.add_argument("--compression", default="zstd:1")
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


def simulate(case, scan):
    words = ["--frames", str(case.frames), "--size", str(case.size_px), "--quantity", case.quantity, "--quiet"]
    subprocess.run([PROGRAM, "simulate", scan, *words, *(["--compress"] if case.deflated else [])], check=True)


def run_ours(scan, product, compression):
    """Give the seconds of the command, and what it tells of itself."""
    command = [PROGRAM, "convert", scan, product, "--compression", compression, "--json"]
    start = time.perf_counter()
    process = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return time.perf_counter() - start, json.loads(process.stdout)


def run_peer(tool, settings, scan, work, check):
    """Give the seconds of a peer's process, its memory, and the size of what it has written."""
    output = work / f"peer{tool.suffix}"
    outcome, seconds = run_job(Job(tool.name, "convert", str(scan), str(output), "", settings, [], check=check))
    if not outcome.correct:
        sys.exit(f"{tool.name}: its frames differ from the scan's")
    nbytes = size_bytes(output)
    remove(output)
    return seconds, {"peak_memory_bytes": outcome.peak_memory_bytes, "file_bytes": nbytes}


def measure(case, compression, rounds, work):
    """Give the seconds of all rounds by tool, and what was told of the last run."""
    scan, product = work / "scan.npz", work / "product.h5"
    simulate(case, scan)
    tools = [tool for tool in PEERS if not tool.missing()]
    codec, threads = parse_codec(compression), available_threads()
    seconds = {name: [] for name in (OURS, *(tool.name for tool in tools))}
    told = {}
    for turn in range(rounds + 1):
        taken, told[OURS] = run_ours(scan, product, compression)
        runs = {OURS: taken}
        for tool in tools:
            settings = entry(tool, case, codec, threads).settings
            runs[tool.name], told[tool.name] = run_peer(tool, settings, scan, work, check=turn == 0)
        if turn > 0:  # the first warms up, and checks
            for name, value in runs.items():
                seconds[name].append(value)
    return seconds, told


def main():
    arguments = parse_arguments()
    case = Case(arguments.frames, arguments.size, arguments.quantity, arguments.deflated)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
        seconds, told = measure(case, arguments.compression, arguments.rounds, Path(work))
    storage = "deflated" if case.deflated else "stored"
    print(f"{case.frames} x {case.size_px} x {case.size_px} {case.dtype}, {storage}, {arguments.compression};")
    medians = "1 round" if arguments.rounds == 1 else f"medians of {arguments.rounds} rounds"
    print(f"{medians}; ratio: our time divided by the tool's")
    print(f"{'':22}{'s':>8}{'ratio':>8}{'file, MB':>10}{'memory, MB':>12}")
    for name, values in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[OURS], values, strict=True))
        file_mb, memory_mb = (told[name][key] / 1e6 for key in ("file_bytes", "peak_memory_bytes"))
        print(f"{name:22}{statistics.median(values):8.2f}{ratio:8.2f}{file_mb:10.0f}{memory_mb:12.0f}")


if __name__ == "__main__":
    main()
