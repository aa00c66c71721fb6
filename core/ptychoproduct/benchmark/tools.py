"""Other ways to do what this package does, to be timed beside it.

Each tool writes the frames of an NPZ scan to a file or a folder of its own kind, and reads them back. None is slowed
down: each gets the same codec, or the nearest that it has, the same chunks, and the fastest of its calls.

No package is imported before its tool needs it, this one included: no tool shall pay for another's start-up.
"""

from __future__ import annotations

import filecmp
import importlib.util
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptychoproduct.aliases import Array

if TYPE_CHECKING:
    from ptychoproduct.compression.codecs import Codec

Read = Callable[[Sequence[int] | None], Array]
"""Gives the frames of these numbers, which ascend, or all frames."""

ACTIONS = ("convert", "import", "batch")
FRAMES_KEY = "diff3d"
DATASET = "raw_data/diffraction"


@dataclass(frozen=True)
class Settings:
    """How frames are to be written, in the words of each library.

    Parameters
    ----------
    codec : str
        As `ptychoproduct.compression.codecs.parse_codec` reads it.
    hdf5_filters : dict
        Keywords for ``h5py.Group.create_dataset``.
    zarr_codecs : list of dict
        Compressors of a Zarr array, format 3.
    chunk_frames : int
    threads : int
        For the tools whose number of threads can be set.
    """

    codec: str
    hdf5_filters: dict[str, Any]
    zarr_codecs: list[dict[str, Any]]
    chunk_frames: int
    threads: int


def settings_for(codec: Codec, dtype: np.dtype[Any], chunk_frames: int, threads: int) -> Settings:
    """Translate a codec for every library.

    Parameters
    ----------
    codec : Codec
    dtype : numpy.dtype
        Of the frames.
    chunk_frames, threads : int
    """
    theirs = codec.for_other_programs()
    return Settings(str(codec), theirs.dataset_options(dtype), zarr_codecs(theirs, dtype), chunk_frames, threads)


def zarr_codecs(codec: Codec, dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    """Return the codecs of Zarr's format that are nearest to a codec: Blosc, where something is shuffled."""
    if codec.name == "none":
        return []
    if codec.name == "zstd" and not codec.shuffle:
        return [{"name": "zstd", "configuration": {"level": codec.level, "checksum": False}}]
    if codec.name == "gzip" and not codec.shuffle:
        return [{"name": "gzip", "configuration": {"level": codec.level}}]
    # A codec that Zarr does not have becomes Zstandard.
    compressor = {"gzip": "zlib", "bzip2": "zstd", "szip": "zstd"}.get(codec.name, codec.name.rpartition("-")[2])
    parts = (codec.name.partition("-")[0], codec.transform, "shuffle" if codec.shuffle else "")
    blosc = {
        "cname": compressor,
        "clevel": min(codec.level or 5, 9),
        "shuffle": next((word for word in ("bitshuffle", "shuffle") if word in parts), "noshuffle"),
        "typesize": dtype.itemsize,
        "blocksize": codec.block_bytes,
    }
    return [{"name": "blosc", "configuration": blosc}]


def ours(scan_npz: Path, output: Path, settings: Settings) -> None:
    """Convert as ``ptychoproduct convert`` does: everything of the scan, streamed, on all cores."""
    from ptychoproduct import ExportOptions, export_product_from_npz
    from ptychoproduct.system.process import prepare_process

    prepare_process()
    options = ExportOptions(compression=settings.codec, threads=settings.threads, chunk_frames=settings.chunk_frames)
    export_product_from_npz(scan_npz, output, options=options)


@contextmanager
def our_frames(product: Path, settings: Settings) -> Iterator[Read]:  # noqa: ARG001 - the signature of all
    """Read with `open_product`."""
    from ptychoproduct import open_product

    with open_product(product) as opened:
        frames = opened.frames
        assert frames is not None
        yield lambda numbers: frames[:] if numbers is None else frames[list(numbers)]


def import_ours(product: Path, output: Path, settings: Settings) -> None:  # noqa: ARG001 - the signature of all
    """Import as ``ptychoproduct import`` does."""
    from ptychoproduct import import_product_to_npz

    import_product_to_npz(product, output)


def h5py_hdf5plugin(scan_npz: Path, output: Path, settings: Settings) -> None:
    """Load the frames, and let HDF5 compress them with our filter in our chunks: one core."""
    filters = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.hdf5_filters.items()}
    _write_hdf5(output, load_frames(scan_npz), filters, settings.chunk_frames)


def ptychopinn(scan_npz: Path, output: Path, settings: Settings) -> None:  # noqa: ARG001 - the signature of all
    """Load the frames, and write them with shuffle and gzip 4 in the chunks that h5py guesses, as PtychoPINN does."""
    _write_hdf5(output, load_frames(scan_npz), {"compression": "gzip", "compression_opts": 4, "shuffle": True}, None)


def _write_hdf5(output: Path, frames: Array, filters: dict[str, Any], chunk_frames: int | None) -> None:
    import h5py
    import hdf5plugin  # noqa: F401 - registers the filters

    chunks = True if chunk_frames is None else (chunk_frames, *frames.shape[1:])
    with h5py.File(output, "w") as file:
        file.create_dataset(DATASET, data=frames, chunks=chunks, **filters)


@contextmanager
def h5py_frames(product: Path, settings: Settings) -> Iterator[Read]:  # noqa: ARG001 - the signature of all
    """Read with h5py; a batch frame by frame, which is four times faster than h5py's own lists of numbers."""
    import h5py
    import hdf5plugin  # noqa: F401 - registers the filters

    with h5py.File(product) as file:
        dataset = file[DATASET]

        def read(numbers: Sequence[int] | None) -> Array:
            if numbers is None:
                whole: Array = dataset[()]
                return whole
            batch = np.empty((len(numbers), *dataset.shape[1:]), dataset.dtype)
            for row, number in enumerate(numbers):
                dataset.read_direct(batch, number, row)
            return batch

        yield read


def zarr_python(scan_npz: Path, output: Path, settings: Settings) -> None:
    """Load the frames, and write a Zarr array, format 3, a file a chunk, with zarr's pool of threads."""
    import zarr

    frames = load_frames(scan_npz)
    with zarr.config.set({"threading.max_workers": settings.threads}):
        array = zarr.create_array(
            output,
            shape=frames.shape,
            chunks=(settings.chunk_frames, *frames.shape[1:]),
            dtype=frames.dtype,
            compressors=settings.zarr_codecs or None,
        )
        array[:] = frames


@contextmanager
def zarr_frames(product: Path, settings: Settings) -> Iterator[Read]:
    """Read with zarr."""
    import zarr

    with zarr.config.set({"threading.max_workers": settings.threads}):
        array: Any = zarr.open_array(product, mode="r")
        yield lambda numbers: array[:] if numbers is None else array[np.asarray(numbers)]


def tensorstore(scan_npz: Path, output: Path, settings: Settings) -> None:
    """Load the frames, and write a Zarr array, format 3, a file a chunk, with tensorstore's threads in C++."""
    frames = load_frames(scan_npz)
    chunk_shape = [settings.chunk_frames, *frames.shape[1:]]
    metadata = {
        "shape": list(frames.shape),
        "data_type": frames.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, *settings.zarr_codecs],
    }
    store = _open_tensorstore(output, settings, metadata=metadata, create=True)
    store.write(frames, can_reference_source_data_indefinitely=True).result()


@contextmanager
def tensorstore_frames(product: Path, settings: Settings) -> Iterator[Read]:
    """Read with tensorstore."""
    store = _open_tensorstore(product, settings)

    def read(numbers: Sequence[int] | None) -> Array:
        frames: Array = (store if numbers is None else store[np.asarray(numbers)]).read().result()
        return frames

    yield read


def _open_tensorstore(folder: Path, settings: Settings, **spec: Any) -> Any:
    import tensorstore

    spec |= {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder}/"}}
    spec["context"] = {"data_copy_concurrency": {"limit": settings.threads}}
    return tensorstore.open(spec).result()


def np_load(scan_npz: Path, output: Path, settings: Settings) -> None:  # noqa: ARG001 - the signature of all
    """Load the frames whole, and write nothing."""
    load_frames(scan_npz)


def cp(scan_npz: Path, output: Path, settings: Settings) -> None:  # noqa: ARG001 - the signature of all
    """Copy the NPZ file as it is."""
    shutil.copyfile(scan_npz, output)


def load_frames(scan_npz: Path) -> Array:
    """Load the frames of a scan whole, as NumPy does."""
    with np.load(scan_npz) as scan:
        frames: Array = scan[FRAMES_KEY]
    return frames


@dataclass(frozen=True)
class Tool:
    """A way to convert scans.

    Parameters
    ----------
    name : str
    modules : tuple of str
        Packages to be imported; the clock starts after that.
    convert : callable
        Writes a scan to an output that does not exist yet.
    frames : callable or None
        Opens what `convert` has written, for reading; None where it writes no frames that could be read in part.
    suffix : str
        Of the output; none for a folder.
    compresses : bool
        Whether its output is compressed frames, so that it does the same job.
    has_threads : bool
        Whether its number of threads can be set.
    """

    name: str
    modules: tuple[str, ...]
    convert: Callable[[Path, Path, Settings], None]
    frames: Callable[[Path, Settings], AbstractContextManager[Read]] | None
    suffix: str
    compresses: bool = True
    has_threads: bool = False

    def takes(self, action: str) -> bool:
        """Whether it can do one of `ACTIONS`."""
        return action == "convert" or self.frames is not None

    def missing(self) -> str | None:
        """Return the first package that it needs and that is not installed, None where there is none."""
        return next((module for module in self.modules if importlib.util.find_spec(module) is None), None)


# This package imports nothing by itself; what the jobs use is imported before the clock starts, as for the others.
_OUR_MODULES = ("h5py", "hdf5plugin", *(f"ptychoproduct.{name}" for name in ("convert.export", "convert.importer")))
OURS = Tool("ptychoproduct", _OUR_MODULES, ours, our_frames, ".h5", has_threads=True)
PEERS = (
    Tool("h5py", ("h5py", "hdf5plugin"), h5py_hdf5plugin, h5py_frames, ".h5"),
    Tool("PtychoPINN", ("h5py", "hdf5plugin"), ptychopinn, h5py_frames, ".h5"),
    Tool("zarr", ("zarr",), zarr_python, zarr_frames, "", has_threads=True),
    Tool("tensorstore", ("tensorstore",), tensorstore, tensorstore_frames, "", has_threads=True),
    Tool("np.load", (), np_load, None, ".npz", compresses=False),
    Tool("cp", (), cp, None, ".npz", compresses=False),
)
TOOLS = {tool.name: tool for tool in (OURS, *PEERS)}


def import_frames(tool: Tool, product: Path, output: Path, settings: Settings) -> None:
    """Write what a tool has converted to an NPZ file again: ours streams, the others read all and use NumPy."""
    if tool is OURS:
        import_ours(product, output, settings)
        return
    assert tool.frames is not None
    with tool.frames(product, settings) as read:
        np.savez(output, diff3d=read(None))


def holds_the_frames(tool: Tool, output: Path, scan_npz: Path, settings: Settings) -> bool:
    """Whether what a tool has converted is the scan's frames; ours, too, is read by h5py."""
    if tool.frames is None:
        return not output.exists() or filecmp.cmp(output, scan_npz, shallow=False)
    frames = h5py_frames if tool is OURS else tool.frames
    with frames(output, settings) as read:
        return is_equal(read(None), load_frames(scan_npz))


def is_equal(found: Array, expected: Array) -> bool:
    """Whether two arrays have the same type and the same numbers."""
    return found.dtype == expected.dtype and np.array_equal(found, expected)


def flush(output: Path) -> None:
    """Wait until an output is on the disk, as ours is when it appears; its files at once where there are many."""
    from ptychoproduct.system.atomic import sync

    files = [path for path in output.rglob("*") if path.is_file()] if output.is_dir() else [output]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(sync, filter(Path.exists, files)))


def remove(output: Path) -> None:
    """Remove a file or a folder, where there is one."""
    if output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink(missing_ok=True)


def size_bytes(path: Path) -> int:
    """Return the size of a file, or of all files of a folder; 0 where there is neither."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else 0
