"""Scans whose frames lie in an NPY or HDF5 file, positions and probe in that file or beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.contract_fields import read_recipe
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model.array_checks import require_length
from ptychoproduct.model.contract import DIFFRACTION, FRAME
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.model.positions import check_unit, rows_of_frames
from ptychoproduct.npz.npy import NPY_SUFFIX, NpyFile
from ptychoproduct.scan import layouts
from ptychoproduct.scan.companions import Positions, find_probe, positions_in, read_positions, read_probe
from ptychoproduct.scan.scan import Extra, FrameStack, Scan
from ptychoproduct.streaming.dataset_rows import DatasetRows
from ptychoproduct.streaming.stored_rows import rows_as_stored, stored_rows
from ptychoproduct.system.resources import Resources


@dataclass(frozen=True)
class Companions:
    """Where positions and probe are, if not in the file that holds the frames.

    Parameters
    ----------
    positions : path, or pair of arrays [N], optional
        See `read_positions`; or x and y themselves.
    positions_in : {"px", "m", "mm", "um", "nm"}, optional
        Their unit; by default what the file says.
    probe : str, path or array, optional
        See `read_probe`; or the probe itself. By default that of the file of positions, or of frames.
    positions_columns : str, optional
        See `read_positions`.
    """

    positions: str | PathLike[str] | tuple[Array, Array] | None = None
    positions_in: str | None = None
    probe: str | PathLike[str] | Array | None = None
    positions_columns: str | None = None


def npy_scan(file: NpyFile, companions: Companions, resources: Resources) -> Scan:
    """Describe a scan whose frames are an NPY file.

    Parameters
    ----------
    file : NpyFile
        Open until the product is written.
    companions : Companions
    resources : Resources
        What may be used to reorder axes.

    Raises
    ------
    SourceError
        The files do not hold a scan.
    """
    positions = _positions(companions)
    if positions is None:
        raise SourceError(file.path, "no positions in an NPY file", expected="--positions")
    frames = FrameStack(
        file.array.key,
        file.array.shape,
        partial(stored_rows, file.array, resources=resources),
        as_stored=partial(rows_as_stored, file.array),
    )
    probe = _probe(file.path, companions, positions, None)
    return _scan(file.path, (file.path,), frames, _paired(file.path, frames.shape, positions), probe)


def hdf5_scan(
    source: Hdf5Source,
    companions: Companions,
    resources: Resources,
    dataset: str | None = None,
    include_frames: bool = True,
) -> Scan:
    """Describe a scan whose frames are a dataset of an HDF5 file.

    Parameters
    ----------
    source : Hdf5Source
        Open until the product is written.
    companions : Companions
    resources : Resources
        What may be used to reorder axes.
    dataset : str, optional
        Path of the frames; by default the first of `layouts.FRAMES` that is there.
    include_frames : bool
        Whether there must be frames.

    Raises
    ------
    SourceError
        The files do not hold a scan.
    """
    frames = frames_dataset(source, dataset) if include_frames else None
    positions = _positions(companions) or positions_in(source, companions.positions_in)
    probe = _probe(source.path, companions, positions, source)
    if frames is None:
        return _scan(source.path, source.files, None, positions, probe)
    recipe = product_recipe(frames)
    rows = partial(DatasetRows, frames, resources=resources, recipe=recipe, source=source)
    chunks = frames if recipe is None else None
    stack = FrameStack(frames.name, frames.shape, rows, chunks=chunks, as_stored=rows)
    positions = _paired(source.path, frames.shape, positions, _frame_numbers(source, frames))
    bad_pixels = _bad_pixels(source, frames)
    extras = [] if bad_pixels is None else [Extra(f"{layouts.BAD_PIXELS}{NPY_SUFFIX}", bad_pixels)]
    return _scan(source.path, source.files, stack, positions, probe, extras, bad_pixels)


def frames_dataset(source: Hdf5Source, name: str | None = None) -> h5py.Dataset:
    """Return the dataset that holds the diffraction frames.

    Parameters
    ----------
    source : Hdf5Source
    name : str, optional
        Its path; by default the first of `layouts.FRAMES` that is there.

    Raises
    ------
    SourceError
        There is none; the message lists what could be meant.
    """
    for key in layouts.FRAMES if name is None else (name,):
        dataset = source.find(key)
        if dataset is None:
            continue
        with source.reading(key):
            shape, dtype = dataset.shape, dataset.dtype
        if shape is None or len(shape) != 3 or not math.prod(shape):
            raise SourceError(source.path, key=key, found=f"shape {shape}", expected="[N, H, W], none of them empty")
        if dtype.newbyteorder("=").name not in FRAME:
            raise SourceError(source.path, key=key, found=f"dtype {dtype}", expected="real numbers")
        return dataset
    stacks = [f"{key} {shape}" for key, shape in source.stacks()]
    raise SourceError(
        source.path,
        key=name,
        found="no such dataset" if name else "no frames where they usually are",
        expected=f"--dataset one of {', '.join(stacks)}" if stacks else "a dataset of three dimensions, it has none",
    )


def product_recipe(frames: h5py.Dataset) -> CountsRecipe | None:
    """Return how amplitudes are made of frames that a product has stored as counts; None for all other frames."""
    return read_recipe(frames) if frames.name == f"/{DIFFRACTION.name}" else None


def _positions(companions: Companions) -> Positions | None:
    """Return positions that are not in the file that holds the frames; None where they are not given."""
    given = companions.positions
    check_unit(companions.positions_in)
    if given is None:
        return None
    if isinstance(given, tuple):
        x, y = map(np.asarray, given)
        return Positions(x, y, companions.positions_in)
    return read_positions(Path(given), companions.positions_in, companions.positions_columns)


def _probe(
    path: Path, companions: Companions, positions: Positions, source: Hdf5Source | None
) -> tuple[Array, tuple[Path, ...]]:
    """Return the probe, and the files that it was read from."""
    given = companions.probe
    if isinstance(given, np.ndarray):
        return given, ()
    if given is not None:
        return read_probe(fspath(given))
    found = positions.probe
    if found is None and source is not None:
        found = find_probe(source)
    if found is None:
        raise SourceError(path, key="probeGuess", found="no probe", expected="--probe")
    return found, ()


def _frame_numbers(source: Hdf5Source, frames: h5py.Dataset) -> Array | None:
    """Read the numbers that ptychodus keeps beside patterns."""
    beside = source.find(f"{frames.parent.name}/{layouts.FRAME_NUMBERS}") if frames.name == layouts.FRAMES[0] else None
    return None if beside is None else source.read(beside)


def _paired(origin: Path, shape: tuple[int, ...], positions: Positions, numbers: Array | None = None) -> Positions:
    """Return one position for each frame: of its number, where positions or frames have numbers, else of its row."""
    if positions.numbers is None:
        return positions if numbers is None else replace(positions, scan_index=numbers)
    if numbers is None:
        numbers = np.arange(len(positions.numbers) if len(positions.numbers) in shape else shape[0])
    rows = rows_of_frames(numbers, positions.numbers, origin, layouts.FRAME_NUMBERS)
    x, y = positions.x, positions.y
    for key, values in (("x", x), ("y", y)):
        require_length(len(values), len(positions.numbers), key, origin, "numbers of positions")
    return replace(positions, x=x[rows], y=y[rows], scan_index=numbers)


def _bad_pixels(source: Hdf5Source, frames: h5py.Dataset) -> Array | None:
    """Read what ptychodus keeps beside patterns, and PtychoPINN knows under the same name."""
    if frames.name not in (layouts.FRAMES[0], f"/{DIFFRACTION.name}"):
        return None
    found = source.find(f"{frames.parent.name.rstrip('/')}/{layouts.BAD_PIXELS}")
    return None if found is None else source.read(found)


def _scan(
    origin: Path,
    files: tuple[Path, ...],
    frames: FrameStack | None,
    positions: Positions,
    probe: tuple[Array, tuple[Path, ...]],
    extras: Iterable[Extra] = (),
    bad_pixels: Array | None = None,
) -> Scan:
    return Scan(
        origin=origin,
        x=positions.x,
        y=positions.y,
        positions_in=positions.unit,
        probe=probe[0],
        frames=frames,
        object=positions.object,
        scan_index=positions.numbers if positions.scan_index is None else positions.scan_index,
        extras=extras,
        bad_pixels=bad_pixels,
        files=(*files, *positions.files, *probe[1]),
    )
