"""How long `ptychoproduct convert` takes, as a part of what np.load + h5py + hdf5plugin take for the same file.

Both run as whole processes, in turn, on a simulated scan. Give a folder on the disk to measure; /dev/shm by default.

    python benchmarks/convert_ratio.py [FOLDER]
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAIRS = 9
PEER = """\
import sys
import h5py, hdf5plugin, numpy as np
frames = np.load(sys.argv[1])["diff3d"]
with h5py.File(sys.argv[2], "w") as file:
    file.create_dataset("diffraction", data=frames, chunks=(4, 256, 256), **hdf5plugin.Zstd(clevel=1))
"""


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "/dev/shm"
    program = Path(sys.executable).with_name("ptychoproduct")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        scan, product, peer = (str(Path(work, name)) for name in ("scan.npz", "product.h5", "peer.h5"))
        subprocess.run([program, "simulate", scan, "--quiet"], check=True)
        ours = [program, "convert", scan, product, "--compression", "zstd:1", "--quiet"]
        theirs = [sys.executable, "-c", PEER, scan, peer]
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(PAIRS + 1)][1:]  # the first warms up
        result = subprocess.run([*ours[:-1], "--json"], check=True, capture_output=True, text=True)
        peak = json.loads(result.stdout)["peak_memory_bytes"]
    print(f"ptychoproduct convert      {statistics.median(a for a, _ in pairs):.2f} s, {peak / 1e6:.0f} MB")
    print(f"np.load, h5py, hdf5plugin  {statistics.median(b for _, b in pairs):.2f} s")
    print(f"ratio                      {statistics.median(a / b for a, b in pairs):.2f}, median of {PAIRS} pairs")


if __name__ == "__main__":
    main()
