"""Flip single bits of products, and count those that change something and that `validate --deep` does not find.

    python tests/campaigns/flips.py [--flips 1000] [--profiles balanced none] [--seed 1]

Every profile, and every part of the file: the frames, the object, the positions, all other datasets, texts, and what is
left, which is attributes, names and the file's own structure. Another process looks at the files, as it may hang or
crash. A bit is silent where the file is called valid, and h5py reads other names, values or attributes from it.
"""

import argparse
import json
import re
import select
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

FRAMES = "raw_data/diffraction"
PROFILES = ("fast", "balanced", "archive", "portable", "auto", "none", "zstd:9", "store-counts")
PARTS = ("frames", "object", "positions", "other datasets", "texts", "attributes and structure")
HANGS_AFTER_S = 60


def make_product(path, profile, frames=40, side=16):
    """Write a product with something of everything."""
    from ptychoproduct import ExportMeta, ExportOptions, Reconstruction, export_product_from_npz

    rng = np.random.default_rng(7)
    complex_ones = np.ones((side, side), np.complex64)
    np.savez(
        path.with_suffix(".npz"),
        xcoords=rng.uniform(8, 56, frames),
        ycoords=rng.uniform(8, 56, frames),
        diff3d=np.sqrt(rng.poisson(3, (frames, side, side))).astype(np.float32),
        probeGuess=complex_ones,
        objectGuess=np.exp(1j * rng.uniform(-1, 1, (64, 64))).astype(np.complex64),
        scan_index=np.arange(frames),
        background=rng.uniform(size=(frames, 5, 4)),
        label=np.array("µm"),
        _metadata=np.array('{"nphotons": 1e9}', dtype=object),
    )
    options = {"compression": profile} if profile != "store-counts" else {"store_counts": True}
    results = Reconstruction(opr_weights=np.ones((frames, 1)), loss_values=[2.0, 1.0])
    meta = ExportMeta(name="flips", comments="each bit counts", probe_energy_eV=8000.0, polarization="left_circular")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = ExportOptions(chunk_frames=7, **options)
        export_product_from_npz(path.with_suffix(".npz"), path, meta, reconstruction=results, options=chosen)


def storage_of(path):
    """Return where the content of each dataset is in a file: name, first byte, number of bytes, rows."""
    found = {}

    def note(name, dataset):
        if not isinstance(dataset, h5py.Dataset) or not dataset.size:
            return
        if dataset.chunks is None:
            if dataset.id.get_offset() is not None:
                found[name] = [(dataset.id.get_offset(), dataset.id.get_storage_size(), None)]
            return
        chunks = (dataset.id.get_chunk_info(i) for i in range(dataset.id.get_num_chunks()))
        step = dataset.chunks[0]
        found[name] = [(c.byte_offset, c.size, range(c.chunk_offset[0], c.chunk_offset[0] + step)) for c in chunks]

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def parts_of(path):
    """Give the bytes of each part of a file: dataset's name, first byte, number of bytes, rows."""
    parts = {part: [] for part in PARTS}
    data, taken = path.read_bytes(), []
    for name, pieces in storage_of(path).items():
        is_position = name.startswith("probe_position") or name in ("raw_data/xcoords", "raw_data/ycoords")
        part = "frames" if name == FRAMES else "positions" if is_position else "other datasets"
        part = "object" if name in ("object", "raw_data/objectGuess") else part
        parts[part] += [(name, *piece) for piece in pieces]
        taken += [(first, first + nbytes) for first, nbytes, _ in pieces]
    for heap in re.finditer(b"GCOL\x01", data):
        if any(first <= heap.start() < stop for first, stop in taken):
            continue
        nbytes = int.from_bytes(data[heap.start() + 8 : heap.start() + 16], "little")
        parts["texts"].append(("", heap.start(), nbytes, None))
        taken.append((heap.start(), heap.start() + nbytes))
    end = 0
    for first, stop in [*sorted(taken), (len(data), len(data))]:
        if first > end:
            parts["attributes and structure"].append(("", end, first - end, None))
        end = max(end, stop)
    return parts


def content_of(path):
    """Return everything that h5py reads from a file."""
    found = {}

    def note(name, item):
        for key, value in item.attrs.items():
            found[f"{name}@{key}"] = (str(np.asarray(value).dtype), np.asarray(value).tolist())
        if isinstance(item, h5py.Dataset):
            found[name] = (str(item.dtype), np.asarray(item[()]).tolist())

    with h5py.File(path) as file:
        note("", file)
        file.visititems(note)
        links = []
        file.visititems_links(lambda name, link: links.append((name, getattr(link, "path", None))))
    return repr((found, sorted(links, key=str)))


def work(path):
    """Flip each bit that is asked for on standard input, look at the file, and answer in a line."""
    from ptychoproduct import ProductError, validate_product

    intact = content_of(path)
    for line in sys.stdin:
        bit = int(line)
        data = bytearray(path.read_bytes())
        data[bit // 8] ^= 1 << bit % 8
        flipped = path.with_suffix(".flipped.h5")
        flipped.write_bytes(data)
        try:
            problems = validate_product(flipped, deep=True).problems
            errors = [(problem.where, problem.message) for problem in problems if problem.severity == "error"]
        except ProductError as error:
            errors = [("", str(error))]
        changed = False
        if not errors:
            try:
                changed = content_of(flipped) != intact
            except Exception:
                changed = True
        print(json.dumps({"errors": errors, "silent": changed}), flush=True)


class Looker:
    """A process that looks at flipped files, and is started again where it hangs or crashes."""

    def __init__(self, path):
        self._path = path
        self._process = None

    def look(self, bit):
        """Return what was found; None where the process hung or crashed."""
        if self._process is None:
            command = [sys.executable, __file__, "--work", str(self._path)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process.stdin.write(f"{bit}\n")
        self._process.stdin.flush()
        is_there = select.select([self._process.stdout], [], [], HANGS_AFTER_S)[0]
        answer = self._process.stdout.readline() if is_there else ""
        if not answer:
            self.close()
            return None
        return json.loads(answer)

    def close(self):
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def is_located(answer, name, rows):
    """Whether a problem names the dataset, and its rows where it is chunked."""
    for where, message in answer["errors"]:
        match = re.search(r"(?:frames|rows) (\d+) to (\d+)", message)
        is_there = rows is None or (match and int(match[1]) < rows.stop and int(match[2]) >= rows.start)
        if where.strip("/") == name and is_there:
            return True
    return False


def run_profile(profile, folder, flips, seed):
    """Flip bits of every part of a product; return counts by part, and a line for each bit that was not found."""
    path = Path(folder) / f"{profile.replace(':', '_')}.h5"
    make_product(path, profile)
    rng = np.random.default_rng([seed, *profile.encode()])
    counts, failures = {}, []
    looker = Looker(path)
    for part, pieces in parts_of(path).items():
        count = counts[part] = Counter()
        sizes = np.array([nbytes for _, _, nbytes, _ in pieces])
        for _ in range(flips):
            name, first, nbytes, rows = pieces[rng.choice(len(pieces), p=sizes / sizes.sum())]
            bit = int(rng.integers(first * 8, (first + nbytes) * 8))
            answer = looker.look(bit)
            count["flips"] += 1
            is_found = answer is not None and bool(answer["errors"])
            if answer is None:
                outcome = "hung or crashed"
            else:
                outcome = "silent" if answer["silent"] else "found" if is_found else "changed nothing"
            located = is_found and is_located(answer, name, rows)
            count[outcome] += 1
            count["located"] += located
            if outcome in ("silent", "hung or crashed") or (is_found and name and not located):
                failures.append(f"{profile}: {part}: {name}: bit {bit}: {outcome}: {answer}")
    looker.close()
    return counts, failures


def run(profiles=PROFILES, flips=40, seed=1, processes=2):
    """Run all profiles; print counts, and return those of all parts and what was not found."""
    total, failures, started = Counter(), [], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(processes) as pool:
        results = pool.map(lambda profile: run_profile(profile, folder, flips, seed), profiles)
        for profile, (counts, lines) in zip(profiles, results, strict=True):
            for part, count in counts.items():
                print(f"{profile:12} {part:25}", ", ".join(f"{n} {word}" for word, n in count.items()), flush=True)
                total += count
            failures += lines
    words = ("found", "located", "changed nothing", "silent", "hung or crashed")
    counts = ", ".join(f"{total[word]} {word}" for word in words)
    print(f"{total['flips']} flips in {time.perf_counter() - started:.0f} s: {counts}")
    return total, failures


def main():
    """Run the campaign; exit with 1 where a bit was silent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=1000, help="of each part of each profile's product")
    parser.add_argument("--profiles", nargs="+", default=PROFILES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work)
        return
    total, failures = run(arguments.profiles, arguments.flips, arguments.seed, arguments.processes)
    print(*failures, sep="\n")
    sys.exit(1 if total["silent"] else 0)


if __name__ == "__main__":
    main()
