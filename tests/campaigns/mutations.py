"""Files that are damaged at random, read by every command under a limit of time and memory.

    python tests/campaigns/mutations.py                     1,000 files of each kind
    python tests/campaigns/mutations.py --count 40 --seed 7 --keep found/

A command may succeed or fail, but only as it should: it ends within 20 s and 1 GiB, prints no traceback, fails in one
line with exit code 1 or 2 and leaves nothing, and what it has written of frames, positions, probe and object is what
the undamaged file holds. Products have a digest of everything, and archives checksums, so that changed values can be
seen; `sources` are HDF5 files of other programs, which have none, so that values are not compared. `codecs` are
products whose frames are encoded in other ways than an archive's, `shards` one in three files. Each command runs in a
forked process, as a start would take longer than the work: not on Windows.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np

from ptychoproduct import (
    ExportMeta,
    ExportOptions,
    export_product_from_rawdata,
    import_product_to_cxi,
    import_product_to_npz,
)
from ptychoproduct.scan.rawdata import RawData

SECONDS = 20
BYTES = 1024**3
META = ExportMeta(
    probe_energy_eV=8000.0, detector_distance_m=2.0, detector_pixel_width_m=75e-6, detector_pixel_height_m=75e-6
)
NUMBERS = (0, 1, 7, 0x7F, 0xFF, 1 << 15, (1 << 16) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 63, (1 << 64) - 1)
PRODUCT_COMMANDS = {
    "validate": ["validate", "--deep", "{file}"],
    "inspect": ["inspect", "{file}"],
    "import": ["import", "{file}", "{folder}/out.npz"],
    "repack": ["repack", "{file}", "{folder}/out.h5", "--compression", "zstd"],
    "convert": ["convert", "{file}", "{folder}/out.h5"],
}
SCAN_COMMANDS = {
    "convert": ["convert", "{file}", "{folder}/out.h5"],
    "compare": ["validate", "{folder}/../product.h5", "--source", "{file}"],
}
CXI_COMMANDS = {"inspect": ["inspect", "{file}"], "convert": ["convert", "{file}", "{folder}/out.h5"]}
PATTERNS_COMMANDS = {
    "convert": [
        *("convert", "{file}", "{folder}/out.h5", "--dataset", "/patterns"),
        *("--positions", "{folder}/../product.h5"),
    ]
}
KINDS = ("hdf5", "codecs", "shards", "sources", "npz", "deflated")
SHARDED = "{folder}/../shards.h5"
SHARDS_COMMANDS = {
    **{
        name: [word.replace("{file}", SHARDED) for word in words]
        for name, words in PRODUCT_COMMANDS.items()
        if name != "repack"  # which asks for one file
    },
    "merge": ["merge", SHARDED, "{folder}/out.h5"],
}
CODECS = ("fast", "balanced", "portable", "none", "lz4", "szip:16", "bitshuffle-lz4", "blosc2-zstd:1", "blosc2-lz4")
FRAMES = "raw_data/diffraction"
COMPARED = (FRAMES, "raw_data/xcoords", "raw_data/ycoords", "probe", "object")


@dataclass(frozen=True)
class Subject:
    """A file that is going to be damaged.

    Parameters
    ----------
    path : Path
    places : array, [n], int
        Offsets where damage counts most.
    commands : dict
        Words of the commands that read it, by name.
    is_protected : bool
        Whether changed values can be seen in it.
    is_in_place : bool
        Whether it is damaged where it is, as another file leads to it.
    """

    path: Path
    places: np.ndarray
    commands: dict[str, list[str]]
    is_protected: bool = True
    is_in_place: bool = False


def scan() -> RawData:
    """Make a small scan with arrays of every kind."""
    rng = np.random.default_rng(0)
    x, y = (axis.ravel() * 3.0 for axis in np.meshgrid(np.arange(6.0), np.arange(5.0)))
    probe = (rng.random((16, 16)) + 1j * rng.random((16, 16))).astype("c8")
    return RawData(
        xcoords=x,
        ycoords=y,
        xcoords_start=x,
        ycoords_start=y,
        diff3d=np.sqrt(rng.poisson(3.0, (30, 16, 16))).astype("f4"),
        probeGuess=probe,
        scan_index=np.arange(30),
        objectGuess=(rng.random((48, 48)) + 1j).astype("c8"),
        metadata='{"beamline": "none"}',
    )


def metadata_bytes(path: Path) -> np.ndarray:
    """Return the offsets of all bytes that are no elements of datasets."""
    is_data = np.zeros(path.stat().st_size, bool)

    def cover(_: str, found: h5py.Group | h5py.Dataset) -> None:
        if not isinstance(found, h5py.Dataset):
            return
        if found.chunks is not None:
            found.id.chunk_iter(
                lambda chunk: is_data.__setitem__(slice(chunk.byte_offset, chunk.byte_offset + chunk.size), True)
            )
        elif (offset := found.id.get_offset()) is not None and not found.dtype.hasobject:
            is_data[offset : offset + found.id.get_storage_size()] = True

    with h5py.File(path) as file:
        file.visititems(cover)
    return np.flatnonzero(~is_data)


def mutated(data: bytes, places: np.ndarray, rng: random.Random) -> tuple[str, bytes]:
    """Damage a file in one of a few ways, mostly where it counts."""
    changed = bytearray(data)
    place = int(places[rng.randrange(len(places))])
    kind = rng.choice(["bit", "bit", "bytes", "number", "number", "number", "anywhere", "swap", "cut"])
    if kind == "bit":
        changed[place] ^= 1 << rng.randrange(8)
    elif kind == "bytes":
        for _ in range(rng.randint(1, 8)):
            changed[int(places[rng.randrange(len(places))])] = rng.randrange(256)
    elif kind == "number":
        size, number = rng.choice([1, 2, 4, 8]), rng.choice(NUMBERS)
        changed[place : place + size] = struct.pack("<Q", number)[:size][: len(changed) - place]
    elif kind == "anywhere":
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == "swap":
        other, size = int(places[rng.randrange(len(places))]), rng.choice([4, 8, 16])
        part = bytes(changed[other : other + size])
        changed[place : place + len(part)] = part[: len(changed) - place]
    else:
        del changed[rng.randrange(len(changed)) :]
    return kind, bytes(changed)


def run(words: list[str], folder: Path) -> tuple[int, str, float, int]:
    """Run a command in a process of its own; return its exit code, what it printed of errors, time and memory."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            for number, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            sys.argv[1:] = words
            from ptychoproduct_cli.main import main

            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        seconds = time.monotonic() - started
        if ended:
            break
        if seconds > 3 * SECONDS:
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            break
        time.sleep(0.005)
    used = usage.ru_utime + usage.ru_stime  # the machine may be busy with other things
    return (
        os.waitstatus_to_exitcode(status),
        (folder / "stderr").read_text(errors="replace"),
        used,
        usage.ru_maxrss * 1024,
    )


def violations(
    name: str, result: tuple[int, str, float, int], folder: Path, sound: dict[str, np.ndarray] | None
) -> Iterator[str]:
    """Tell of all that a command should not have done."""
    code, errors, seconds, memory = result
    outputs = [path.name for path in folder.iterdir() if path.name not in ("stdout", "stderr")]
    if "Traceback" in errors or code == 99:
        yield "traceback"
    if code < 0:
        yield "crash" if seconds < SECONDS else "hang"
    if code > 2:
        yield f"exit code {code}"
    if seconds > SECONDS:
        yield f"{seconds:.0f} s"
    if memory > BYTES + 128 * 1024**2:
        yield f"{memory >> 20} MB"
    if code and outputs:
        yield f"leaves {outputs}"
    if code and name not in ("validate", "compare") and len(errors.splitlines()) != 1 + errors.count("warning:"):
        yield f"{len(errors.splitlines())} lines"
    if code == 0 and outputs and sound is not None:
        try:
            wrong = list(_wrong_values(name, folder, sound))
        except Exception as error:
            wrong = [f"unreadable: {error}"]
        if wrong:
            yield f"wrong success: {', '.join(wrong)}"


def _wrong_values(name: str, folder: Path, sound: dict[str, np.ndarray]) -> Iterator[str]:
    """Give the names of what a command has written otherwise than it is."""
    if name == "repack":
        import_product_to_npz(folder / "out.h5", folder / "out.npz")
    if name in ("import", "repack"):
        with np.load(folder / "out.npz", allow_pickle=False) as archive:
            yield from (key for key in sound if key in archive and not np.array_equal(archive[key], sound[key]))
    if name in ("convert", "repack", "merge"):
        with h5py.File(folder / "out.h5") as file:
            for key in COMPARED:
                if not np.array_equal(file[key], sound[key]) and not file[key].attrs.get("synthetic"):
                    yield key


def _shards(top: Path) -> list[Subject]:
    """Convert to a product in three files."""
    words = ["convert", str(top / "scan.npz"), str(top / "shards.h5"), "--shards", "2", "--cluster", "local:1"]
    (top / "run").mkdir()
    code, errors, *_ = run([*words, "--chunk-frames", "4", "--detector-pixel-size-m", "75e-6"], top / "run")
    if code:
        raise RuntimeError(errors)
    shutil.rmtree(top / "run")
    paths = (top / "shards.h5", *sorted((top / "shards.frames").iterdir()))
    return [Subject(path, metadata_bytes(path), SHARDS_COMMANDS, is_in_place=True) for path in paths]


def make_subjects(top: Path, kinds: list[str]) -> tuple[dict[str, list[Subject]], dict[str, np.ndarray]]:
    """Make the files of each kind, and read what sound outputs hold."""
    raw, product = scan(), top / "product.h5"
    for codec in ("archive", *CODECS):
        path = product if codec == "archive" else top / f"{codec.replace(':', '_')}.h5"
        options = ExportOptions(compression=codec, chunk_frames=4)
        export_product_from_rawdata(raw, path, META, options=options)
    import_product_to_npz(product, top / "scan.npz")
    import_product_to_cxi(product, top / "scan.cxi")
    with (
        zipfile.ZipFile(top / "scan.npz") as archive,
        zipfile.ZipFile(top / "packed.npz", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in archive.namelist():
            packed.writestr(member, archive.read(member))
    with h5py.File(top / "patterns.h5", "w") as patterns:
        patterns.create_dataset("patterns", data=raw.diff3d, chunks=(4, 16, 16), compression="gzip")
        patterns["indexes"], patterns["bad_pixels"] = np.arange(30), np.zeros((16, 16), bool)
    with np.load(top / "scan.npz") as archive:
        sound = {key: archive[key] for key in ("diffraction", "diff3d", "probeGuess", "objectGuess") if key in archive}
    with h5py.File(product) as file:
        sound |= {key: file[key][()] for key in COMPARED}
    assert np.array_equal(sound[FRAMES], raw.diff3d)
    products = [top / f"{codec.replace(':', '_')}.h5" for codec in CODECS]
    everywhere = np.arange((top / "packed.npz").stat().st_size)
    return {
        "hdf5": [Subject(product, metadata_bytes(product), PRODUCT_COMMANDS)],
        "codecs": [Subject(path, metadata_bytes(path), PRODUCT_COMMANDS) for path in products],
        "shards": _shards(top) if "shards" in kinds else [],
        "sources": [
            Subject(top / "scan.cxi", metadata_bytes(top / "scan.cxi"), CXI_COMMANDS, False),
            Subject(top / "patterns.h5", metadata_bytes(top / "patterns.h5"), PATTERNS_COMMANDS, False),
        ],
        "npz": [Subject(top / "scan.npz", _zip_bytes(top / "scan.npz"), SCAN_COMMANDS)],
        "deflated": [Subject(top / "packed.npz", everywhere, SCAN_COMMANDS)],
    }, sound


def campaign(count: int, seed: int, keep: Path | None, kinds: list[str]) -> int:
    """Damage and run; print what happened, and return the number of violations."""
    found: collections.Counter[str] = collections.Counter()
    ended: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        all_subjects, sound = make_subjects(top, kinds)
        for kind in kinds:
            subjects = all_subjects[kind]
            rng = random.Random(f"{seed} {kind}")
            for number in range(-len(subjects), count):
                subject = subjects[number % len(subjects)]
                data = subject.path.read_bytes()
                how, changed = ("sound", data) if number < 0 else mutated(data, subject.places, rng)
                file = subject.path if subject.is_in_place else top / f"damaged{subject.path.suffix}"
                file.write_bytes(changed)
                for command, words in subject.commands.items():
                    folder = top / "run"
                    folder.mkdir()
                    result = run([word.format(file=file, folder=folder) for word in words], folder)
                    ended[f"{kind} {command}: exit code {result[0]}"] += 1
                    if number < 0 and result[0]:
                        raise RuntimeError(f"{command} of what is not damaged, {subject.path.name}: {result}")
                    for problem in violations(command, result, folder, sound if subject.is_protected else None):
                        found[f"{kind} {command}: {problem}"] += 1
                        print(
                            f"{kind} {seed} {number} ({subject.path.name}, {how}): {command}: {problem}: "
                            f"{result[1].strip()[-300:]!r}",
                            flush=True,
                        )
                        if keep is not None:
                            keep.mkdir(parents=True, exist_ok=True)
                            (keep / f"{kind}_{seed}_{number}{subject.path.suffix}").write_bytes(changed)
                    for left in folder.iterdir():
                        left.unlink()
                    folder.rmdir()
                if subject.is_in_place:
                    file.write_bytes(data)
    for key in sorted(ended):
        print(f"{key}: {ended[key]} times")
    print(f"{count * len(kinds)} files, {sum(ended.values())} runs")
    print(f"{sum(found.values())} violations")
    return sum(found.values())


def _zip_bytes(path: Path) -> np.ndarray:
    """Return the offsets of the records of an archive, and of the headers of its arrays."""
    is_data = np.zeros(path.stat().st_size, bool)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            first = member.header_offset + 30 + len(member.filename) + 128
            is_data[first + 64 : first + member.compress_size - 64] = True
    return np.flatnonzero(~is_data)


def main() -> None:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="damaged files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where files are kept that were not answered well")
    possible = [kind for kind in KINDS if kind != "shards" or find_spec("distributed")]
    parser.add_argument("--kinds", nargs="+", default=possible, choices=KINDS)
    arguments = parser.parse_args()
    sys.exit(campaign(arguments.count, arguments.seed, arguments.keep, arguments.kinds) > 0)


if __name__ == "__main__":
    main()
