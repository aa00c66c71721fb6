"""Coverage-guided fuzzing of what reads foreign bytes, with atheris: `pip install atheris`, Linux, Python up to 3.13.

    python tests/campaigns/fuzz.py --seconds 600
    python tests/campaigns/fuzz.py --targets npy decode --keep found/ --corpus ~/fuzz

Each target runs in a process of its own, from good inputs on and those that the corpus folder has, and notes there what
reaches new code. An input fails that crashes, hangs, takes 1 GB, or raises what the target does not promise; the array
of a selection has to be NumPy's. To look at C's memory as well, build the extensions with AddressSanitizer:

    CFLAGS="-fsanitize=address -O1 -g" python setup.py build_ext --force --build-lib build/asan --build-temp build/asan
    PYTHONPATH=core:cli:build/asan LD_PRELOAD="$(cc -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 \\
        python tests/campaigns/fuzz.py
"""

from __future__ import annotations

import argparse
import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np


def npy_seeds() -> Iterable[bytes]:
    """Give arrays as NPY files."""
    for array in (
        np.zeros((2, 3), "f4"),
        np.asfortranarray(np.ones((2, 2), "<c8")),
        np.array(["µ"]),
        np.zeros(2, "i2,f8"),
    ):
        file = io.BytesIO()
        np.save(file, array)
        yield file.getvalue()


def npy(data: bytes, folder: Path) -> None:
    """Read an NPY file."""
    from ptychoproduct.errors import ProductError
    from ptychoproduct.npz.npy import NpyFile

    path = folder / "fuzzed.npy"
    path.write_bytes(data)
    try:
        with NpyFile(path) as file:
            file.array.read()
    except ProductError:
        pass


def pickle_seeds() -> Iterable[bytes]:
    """Give pickles of texts as NumPy writes them, and of other things."""
    for value in (np.array("text", object), np.array(None, object), np.array([1, "a"], object), {"a": 1}):
        yield from (pickle.dumps(value, protocol) for protocol in (2, 3, 4))


def unpickle(data: bytes, _: Path) -> None:
    """Read a pickled text."""
    from ptychoproduct.npz.unpickle import unpickle_text

    try:
        text = unpickle_text(data)
    except ValueError:
        return
    if text is not None and type(text) is not str:
        raise AssertionError(f"{type(text)} came out of a pickle")


def zip_seeds() -> Iterable[bytes]:
    """Give archives, stored and deflated."""
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, a=np.arange(40), b=np.array("text", object))
        yield file.getvalue()


def archive(data: bytes, folder: Path) -> None:
    """Read all members of an archive; those that Python's zipfile reads as well must hold the same."""
    from ptychoproduct.errors import ProductError
    from ptychoproduct.npz.archive import NpzArchive

    path = folder / "fuzzed.npz"
    path.write_bytes(data)
    try:
        with NpzArchive(path) as found:
            small = {key: member for key, member in found.members.items() if member.nbytes < 2**20}
            arrays = {key: member.read() for key, member in small.items() if member.is_array}
    except ProductError:
        return
    for key, array in arrays.items():
        if array.dtype.kind in "iuf":
            with zipfile.ZipFile(path) as judge:
                expected = np.load(io.BytesIO(judge.read(f"{key}.npy")))
            if array.dtype != expected.dtype or array.tobytes() != expected.tobytes():
                raise AssertionError(f"{key} is not what zipfile and NumPy read")


def selection_seeds() -> Iterable[bytes]:
    """Give bytes of which selections are made."""
    return (bytes(range(start, start + 24)) for start in range(0, 240, 24))


def selection(data: bytes, _: Path) -> None:
    """Select of an array, and compare with NumPy."""
    from ptychoproduct.hdf5.selection import pieces, select

    numbers = [byte - 256 if byte > 127 else byte for byte in data[1:]] or [0]
    array = np.arange(7 * 5 * 3).reshape(7, 5, 3)

    def entry(place: int) -> object:
        a, b, c = (numbers[(place + i) % len(numbers)] for i in range(3))
        kinds = (a, slice(a, b, c % 7 or None), ..., np.array([a, b, c]) % 7, [a % 7], np.arange(7) % 2 == a % 2)
        return kinds[b % len(kinds)]

    index = tuple(entry(place) for place in range(0, 3 * (data[0] % 4 if data else 0), 3))
    try:
        found = select(index, array.shape)
    except IndexError:
        found = None
    if found is None:
        return
    expected, result = array[index], np.empty(found.shape, array.dtype)
    whole = found.with_all_axes(result)
    for piece in pieces(found, (2, 5, 2)):
        block = np.zeros((2, 5, 2), array.dtype)
        part = array[tuple(slice(first, first + n) for first, n in zip(piece.offset, block.shape, strict=True))]
        block[tuple(map(slice, part.shape))] = part
        piece.copy(block, whole)
    if not np.array_equal(result, expected):
        raise AssertionError(f"{index}: another selection than NumPy's")


def _pipelines() -> list[object]:
    import h5py
    import hdf5plugin

    from ptychoproduct_native import DEFLATE_ID, FLETCHER32_ID, SHUFFLE_ID, SZIP_ID, Filter, FilterPipeline, has_szip

    library = hdf5plugin.get_config().registered_filters
    shuffled = [Filter(SHUFFLE_ID, 0, (4,)), Filter(DEFLATE_ID, 0, (4,)), Filter(FLETCHER32_ID, 0, ())]
    plugins = [
        (32015, "zstd", (1,)),
        (32004, "lz4", (0,)),
        (307, "bzip2", (9,)),
        (32026, "blosc2", (1, 0, 4, 4096, 1, 1, 5)),
    ]
    plugins += [(32008, "bshuf", (0, 4, 4, 0, 3, 1)), (32001, "blosc", (2, 2, 4, 4096, 1, 1, 5))]
    one = [[Filter(number, 0, values, library[name])] for number, name, values in plugins]
    if has_szip(h5py.h5z.__file__):
        one += [[Filter(SZIP_ID, 0, (141, 32, bits, 50), h5py.h5z.__file__)] for bits in (16, 32)]
    return [FilterPipeline(filters) for filters in (shuffled, *one)]


def decode_seeds() -> Iterable[bytes]:
    """Give chunks as the filters encode them, each behind the number of its pipeline."""
    from ptychoproduct_native import ChunkBuffer, FilterError

    for number, pipeline in enumerate(_pipelines()):
        chunk = ChunkBuffer(4096)
        memoryview(chunk)[:] = (np.arange(1024, dtype="<u4") // 7).tobytes()
        try:
            yield bytes([number, 0]) + bytes(pipeline.encode(chunk)[0])
        except FilterError:
            continue


def decode(data: bytes, _: Path) -> None:
    """Decode a chunk."""
    from ptychoproduct_native import FilterError

    if len(data) < 2:
        return
    if not decode.pipelines:
        decode.pipelines = _pipelines()
    try:
        chunk = decode.pipelines[data[0] % len(decode.pipelines)].decode(data[2:], data[1] % 8, 4096)
    except FilterError:
        return
    if len(chunk) != 4096:
        raise AssertionError(f"{len(chunk)} bytes were decoded")


decode.pipelines = []
TARGETS: dict[str, tuple[Callable[[bytes, Path], None], Callable[[], Iterable[bytes]]]] = {
    "npy": (npy, npy_seeds),
    "unpickle": (unpickle, pickle_seeds),
    "archive": (archive, zip_seeds),
    "selection": (selection, selection_seeds),
    "decode": (decode, decode_seeds),
}


def fuzz(name: str, folder: Path, seconds: int, seed: int, keep: Path) -> None:
    """Fuzz one target in this process, which atheris ends."""
    import atheris

    with atheris.instrument_imports(include=["ptychoproduct", "zipfile", "pickle"]):
        import ptychoproduct.hdf5.selection
        import ptychoproduct.npz.archive
        import ptychoproduct.npz.unpickle  # noqa: F401
    target, seeds = TARGETS[name]
    inputs = folder / name
    inputs.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()):
        (inputs / f"seed_{number}").write_bytes(data)
    scratch = Path(tempfile.mkdtemp())
    limits = [f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=20", "-rss_limit_mb=1024", "-max_len=8192"]
    atheris.Setup([name, *limits, f"-artifact_prefix={keep}/{name}_", str(inputs)], lambda data: target(data, scratch))
    atheris.Fuzz()


def main() -> None:
    """Fuzz all targets that the command line asks for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="folder of inputs, kept from run to run (default: a new one)")
    parser.add_argument("--keep", type=Path, default=Path("found"), help="where inputs that fail go (default: found)")
    parser.add_argument("--one", choices=TARGETS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        fuzz(arguments.one, arguments.corpus, arguments.seconds, arguments.seed, arguments.keep)
    arguments.keep.mkdir(parents=True, exist_ok=True)
    failed = []
    with tempfile.TemporaryDirectory() as new:
        for name in arguments.targets:
            words = ["--seconds", arguments.seconds, "--seed", arguments.seed, "--keep", arguments.keep]
            words += ["--one", name, "--corpus", arguments.corpus or new]
            done = subprocess.run(
                [sys.executable, __file__, *map(str, words)], check=False, capture_output=True, text=True
            )
            runs = [line for line in done.stderr.splitlines() if line.startswith(("Done ", "#"))][-1:]
            print(f"{name}: {'failed' if done.returncode else 'sound'}: {' '.join(runs)}", flush=True)
            if done.returncode:
                failed.append(name)
                print(done.stderr[-3000:])
    print(f"{len(failed)} of {len(arguments.targets)} targets failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
