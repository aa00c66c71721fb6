"""Scans whose frames lie in an NPY or HDF5 file, positions and probe in that file or beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError, warn
from ptychoproduct.hdf5.contract_fields import read_attribute, read_recipe
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model.array_checks import require_length
from ptychoproduct.model.contract import DIFFRACTION, FRAME, FRAMES_TRANSFORM, ORIGINAL_AXIS_ORDER, POSITION_INDEXES
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.positions import check_unit, distinct_values, rows_of_frames
from ptychoproduct.npz.npy import NPY_SUFFIX, NpyFile
from ptychoproduct.scan import layouts
from ptychoproduct.scan.companions import Positions, find_probe, positions_in, read_positions, read_probe
from ptychoproduct.scan.product_source import frames_member_name, product_extras
from ptychoproduct.scan.scan import Extra, FrameStack, Scan
from ptychoproduct.scan.source_metadata import hdf5_metadata, said_by
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
    metadata = hdf5_metadata(source, frames)
    positions = _positions(companions)
    if positions is None:
        positions = replace(positions_in(source, companions.positions_in), metadata=metadata)
    probe = _probe(source.path, companions, positions, source)
    if frames is None:
        return _scan(source.path, source.files, None, positions, probe, metadata=metadata)
    recipe = product_recipe(frames)
    rows = partial(DatasetRows, frames, resources=resources, recipe=recipe, source=source)
    chunks = frames if recipe is None else None
    stack = FrameStack(frames.name, frames.shape, rows, chunks=chunks, as_stored=rows)
    is_product = _are_of_product(frames)
    if is_product:
        order = read_attribute(frames, ORIGINAL_AXIS_ORDER)
        transform = read_attribute(frames, FRAMES_TRANSFORM) or ""
        stack = replace(stack, member=frames_member_name(frames), original_axis_order=order, transform=transform)
    if not is_product or positions.product != source.path:  # a product's frame i belongs to its position i
        positions = _paired(source.path, frames.shape, positions, _frame_numbers(source, frames))
    bad_pixels = _bad_pixels(source, frames)
    extras = _extras(bad_pixels, source.path if is_product else None, positions, resources.threads)
    return _scan(source.path, source.files, stack, positions, probe, extras, bad_pixels, metadata)


def _extras(bad_pixels: Array | None, product: Path | None, positions: Positions, threads: int) -> Iterator[Extra]:
    """Give the bad pixels, and what else the products have that frames and positions are of; the first that has it."""
    member = f"{layouts.BAD_PIXELS}{NPY_SUFFIX}"
    given = set() if bad_pixels is None else {member}
    if bad_pixels is not None:
        yield Extra(member, bad_pixels)
    for path in dict.fromkeys(filter(None, (product, positions.product))):
        rows = positions.rows if path != product else None
        for extra in product_extras(path, threads, rows):
            if extra.member not in given:
                given.add(extra.member)
                yield extra


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
    return read_recipe(frames) if _are_of_product(frames) else None


def _are_of_product(frames: h5py.Dataset) -> bool:
    return bool(frames.name == f"/{DIFFRACTION.name}")


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
    """Read the numbers that ptychodus keeps beside patterns, or those of a product's positions."""
    if _are_of_product(frames):
        beside = source.find(f"/{POSITION_INDEXES.name}")
        numbers = None if beside is None else source.read(beside)
        return numbers if numbers is not None and distinct_values(numbers) == len(numbers) else None
    beside = source.find(f"{frames.parent.name}/{layouts.FRAME_NUMBERS}") if frames.name == layouts.FRAMES[0] else None
    return None if beside is None else source.read(beside)


def _paired(origin: Path, shape: tuple[int, ...], positions: Positions, numbers: Array | None = None) -> Positions:
    """Return one position for each frame: of its number, where positions or frames have numbers, else of its row."""
    if positions.numbers is None:
        return positions if numbers is None else replace(positions, scan_index=numbers)
    if numbers is None:
        numbers = np.arange(len(positions.numbers) if len(positions.numbers) in shape else shape[0])
    rows = rows_of_frames(numbers, positions.numbers, origin, layouts.FRAME_NUMBERS)
    x, y, scan_index = positions.x, positions.y, positions.scan_index
    for key, values in (("x", x), ("y", y), ("scan_index", x if scan_index is None else scan_index)):
        require_length(len(values), len(positions.numbers), key, origin, "numbers of positions")
    return replace(
        positions,
        x=x[rows],
        y=y[rows],
        scan_index=numbers if scan_index is None else scan_index[rows],
        numbers=numbers,
        rows=None if np.array_equal(rows, np.arange(len(x))) else rows,
        metres=None if positions.metres is None else (positions.metres[0][rows], positions.metres[1][rows]),
        reconstruction=positions.reconstruction.of_rows(rows),
    )


def _bad_pixels(source: Hdf5Source, frames: h5py.Dataset) -> Array | None:
    """Read the mask beside the frames, or where the detector of a known layout has it; not zero means bad."""
    beside = frames.parent.name.rstrip("/")
    names = [f"{beside}/{name}" for name in layouts.MASK_NAMES]
    if frames.name == layouts.FRAMES[0] or _are_of_product(frames):
        names = names[:1]  # what ptychodus keeps, and PtychoPINN knows under the same name
    elif frames.name.startswith("/entry"):
        names += layouts.DETECTOR_MASKS
    for name in names if beside or frames.name == layouts.FRAMES[0] else ():
        found = source.find(name)
        if found is None or found == frames or found.dtype.kind not in "biu":
            continue
        mask = source.read(found)
        frame_shapes = {tuple(np.delete(frames.shape, axis)) for axis in range(3)}
        if mask.ndim == 2 and mask.shape not in frame_shapes:
            warn(f"{source.path}: {name}: the mask is {mask.shape}, the frames are {frames.shape}; it is not used")
            continue
        return mask
    return None


def _scan(
    origin: Path,
    files: tuple[Path, ...],
    frames: FrameStack | None,
    positions: Positions,
    probe: tuple[Array, tuple[Path, ...]],
    extras: Iterable[Extra] = (),
    bad_pixels: Array | None = None,
    metadata: ExportMeta | None = None,
) -> Scan:
    """Put the parts together; what the file of positions says of itself wins over what that of the frames says."""
    said: dict[str, Any] = {}
    files_of: dict[str, Path] = {}
    for path, meta in (
        (origin, metadata or ExportMeta()),
        (positions.files[0] if positions.files else origin, positions.metadata),
    ):
        names = said_by(meta)
        said |= {name: getattr(meta, name) for name in names}
        files_of |= dict.fromkeys(names, path)
    if positions.object is None:  # a centre is that of an object, in the frame of its scan positions
        said = {name: value for name, value in said.items() if not name.startswith("object_center")}
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
        numbers=positions.numbers,
        positions_m=positions.metres,
        is_object_synthetic=positions.is_object_synthetic,
        reconstruction=positions.reconstruction,
        product=positions.product,
        metadata=ExportMeta(**said),
        metadata_files=files_of,
    )
