"""Scans whose frames lie in an NPY or HDF5 file, positions and probe in that file or beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError, warn
from ptychoproduct.hdf5.contract_fields import read_attribute, read_recipe
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model.axes import canonical_axes, matching_orders
from ptychoproduct.model.contract import DIFFRACTION, FRAME, FRAMES_TRANSFORM, ORIGINAL_AXIS_ORDER, POSITION_INDEXES
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.model.positions import distinct_values
from ptychoproduct.npz.npy import NPY_SUFFIX, NpyFile
from ptychoproduct.scan.array_files import find_probe
from ptychoproduct.scan.assembly import Companions, assembled, given_positions, paired, probe_of
from ptychoproduct.scan.companions import own_positions
from ptychoproduct.scan.field_layouts import BAD_PIXELS, FRAME_NUMBERS, MASK_NAMES, PATTERNS
from ptychoproduct.scan.layouts import WITHOUT_FRAMES
from ptychoproduct.scan.nexus import nexus_signals
from ptychoproduct.scan.places import find_place, places
from ptychoproduct.scan.positions import Positions
from ptychoproduct.scan.product_source import frames_member_name, lost_frames, product_extras
from ptychoproduct.scan.ptypy import ptypy_bad_pixels
from ptychoproduct.scan.scan import Extra, Scan, frame_stack
from ptychoproduct.scan.source_metadata import hdf5_metadata
from ptychoproduct.scan.stored_frames import stored_frames
from ptychoproduct.streaming.dataset_rows import DatasetRows, JoinedRows
from ptychoproduct.streaming.sources import RowSource
from ptychoproduct.streaming.stacked_rows import stack_axes
from ptychoproduct.system.resources import Resources

_MOST_STACKS = 8  # that a message lists


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
    positions = given_positions(companions, file.path, file.array.shape)
    if positions is None:
        raise SourceError(file.path, "no positions in an NPY file", expected="--positions")
    frames = stored_frames(file.array, resources)
    probe = probe_of(file.path, companions, positions, lambda: None)
    return assembled(file.path, (file.path,), frames, paired(file.path, frames.shape, positions), probe)


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
        Path of the frames; by default the first that a layout has.
    include_frames : bool
        Whether there must be frames.

    Raises
    ------
    SourceError
        The files do not hold a scan.
    """
    frames = frames_dataset(source, dataset) if include_frames else None
    metadata = hdf5_metadata(source, frames)
    shape = () if frames is None else frames.shape
    positions = given_positions(companions, source.path, shape)
    if positions is None:
        positions = own_positions(source, shape, companions.positions_in)
    probe = probe_of(source.path, companions, positions, partial(find_probe, source))
    if frames is None:
        return assembled(source.path, source.files, None, positions, probe, metadata=metadata)
    recipe = product_recipe(frames)
    is_damaged = source.accept_damage and _are_of_product(frames)
    parts = source.parts_of(frames)

    def rows(axes: Sequence[int] | None = None) -> RowSource:
        open_rows = partial(DatasetRows, resources=resources, recipe=recipe, source=source, accept_damage=is_damaged)
        if len(parts) > 1 and (axes is None or list(axes) == sorted(axes)):
            return JoinedRows(parts, open_rows)  # decoded on all cores, as HDF5 does not decode what joins them
        return open_rows(frames, axes)

    stored_axes = list(range(frames.ndim))
    if source.is_matlab(
        frames
    ):  # its [H, W, N] is [N, W, H] in HDF5; of a grid, [ny, nx, W, H], only pixels are turned
        stored_axes = [0, 1, 3, 2] if frames.ndim == 4 else stored_axes[::-1]
    is_turned = stored_axes != sorted(stored_axes)
    stack = frame_stack(
        frames.name,
        tuple(frames.shape[axis] for axis in stored_axes),
        lambda axes: rows([stored_axes[axis] for axis in axes]),
        chunks=parts if recipe is None and frames.ndim == 3 and not is_turned else (),
        as_stored=rows,
        usual_axis_order="HWN" if is_turned and frames.ndim == 3 else "NHW",
    )
    orders = matching_orders(stack.shape, len(positions.x)) if frames.ndim == 3 else []
    axis = stored_axes[canonical_axes(orders[0])[0]] if orders else 0
    is_product, lost = _are_of_product(frames), np.zeros(0, np.int64)
    if not is_damaged:
        source.require_rows(frames, axis, "frames" if frames.ndim == 3 else "rows of the scan")
    if is_product:
        lost = lost_frames(frames, is_damaged, resources.threads)
        order = read_attribute(frames, ORIGINAL_AXIS_ORDER)
        transform = read_attribute(frames, FRAMES_TRANSFORM) or ""
        stack = replace(stack, member=frames_member_name(frames), original_axis_order=order, transform=transform)
    if not is_product or positions.product != source.path:  # a product's frame i belongs to its position i
        positions = paired(source.path, stack.shape, positions, _frame_numbers(source, frames))
    bad_pixels = _bad_pixels(source, frames, stack.shape)
    extras = _extras(
        bad_pixels, source.path if is_product else None, positions, resources.threads, source.accept_damage
    )
    scan = assembled(source.path, source.files, stack, positions, probe, extras, bad_pixels, metadata)
    return replace(scan, lost_frames=lost)


def _extras(
    bad_pixels: Array | None, product: Path | None, positions: Positions, threads: int, accept_damage: bool
) -> Iterator[Extra]:
    """Give the bad pixels, and what else the products have that frames and positions are of; the first that has it.

    A mask belongs to its frames, so that of a product of which only the positions are taken is left out.
    """
    member = f"{BAD_PIXELS}{NPY_SUFFIX}"
    given = set() if bad_pixels is None and product is not None else {member}
    if bad_pixels is not None:
        yield Extra(member, bad_pixels)
    for path in dict.fromkeys(filter(None, (product, positions.product))):
        rows = positions.rows if path != product else None
        for extra in product_extras(path, threads, rows, accept_damage):
            if extra.member not in given:
                given.add(extra.member)
                yield extra
            elif extra.member == member and bad_pixels is None:
                warn(f"{path}: {BAD_PIXELS}: is the mask of other frames, and is not taken (--mask gives one)")


def frames_dataset(source: Hdf5Source, name: str | None = None, *, may_be_empty: bool = False) -> h5py.Dataset:
    """Return the dataset that holds the diffraction frames.

    Parameters
    ----------
    source : Hdf5Source
    name : str, optional
        Its path; by default the first of a layout, or else of NeXus's data groups, that is a stack.
    may_be_empty : bool
        Whether it may have no frames yet.

    Raises
    ------
    SourceError
        There is none; the message lists what could be meant.
    """
    unfit = []
    for key in chain(places(source, "frames"), nexus_signals(source)) if name is None else (name,):
        dataset = find_place(source, key)
        if dataset is None:
            continue
        with source.reading(key):
            shape, dtype = dataset.shape, dataset.dtype
        if shape is None or stack_axes(shape) is None or not math.prod(shape[may_be_empty:]):
            unfit.append(SourceError(source.path, key=key, found=f"shape {shape}", expected="[N, H, W], none empty"))
        elif not _is_real(dataset):
            unfit.append(SourceError(source.path, key=key, found=f"dtype {dtype}", expected="real numbers"))
        else:
            return dataset
    stacks = [f"{key} {shape}" for key, shape in source.stacks()[:_MOST_STACKS]]
    if unfit and (name is not None or not stacks):
        raise unfit[0]
    problem = "there is no such dataset" if name else "there are no frames where they usually are"
    if source.missing:
        problem += f"; {source.missing[0]}, which the file links to, is not beside it: copy it there"
    which = f"give --dataset {'one of ' if len(stacks) > 1 else ''}{', '.join(stacks)}"
    cure = which if stacks else "no other dataset could be frames"
    raise SourceError(source.path, f"{problem}; {cure}" + ("" if name else f"; {WITHOUT_FRAMES}"), key=name)


def _is_real(dataset: h5py.Dataset) -> bool:
    return dataset.dtype.newbyteorder("=").name in FRAME


def product_recipe(frames: h5py.Dataset) -> CountsRecipe | None:
    """Return how amplitudes are made of frames that a product has stored as counts; None for all other frames."""
    return read_recipe(frames) if _are_of_product(frames) else None


def _are_of_product(frames: h5py.Dataset) -> bool:
    return bool(frames.name == f"/{DIFFRACTION.name}")


def _frame_numbers(source: Hdf5Source, frames: h5py.Dataset) -> Array | None:
    """Read the numbers that ptychodus keeps beside patterns, or those of a product's positions."""
    if _are_of_product(frames):
        beside = source.find(f"/{POSITION_INDEXES.name}")
        numbers = None if beside is None else source.read(beside)
        return numbers if numbers is not None and distinct_values(numbers) == len(numbers) else None
    beside = source.find(f"{frames.parent.name}/{FRAME_NUMBERS}") if frames.name == PATTERNS else None
    return None if beside is None else source.read(beside)


def _bad_pixels(source: Hdf5Source, frames: h5py.Dataset, shape: tuple[int, ...]) -> Array | None:
    """Read the mask; not zero means bad."""
    found = mask_beside(source, frames, shape)
    return ptypy_bad_pixels(source, frames) if found is None else found[1]


def mask_beside(source: Hdf5Source, frames: h5py.Dataset, shape: tuple[int, ...]) -> tuple[str, Array] | None:
    """Read the mask beside the frames, or where the detector of a known layout has it; with its path."""
    beside = frames.parent.name.rstrip("/")
    names = [f"{beside}/{name}" for name in MASK_NAMES]
    if frames.name == PATTERNS or _are_of_product(frames):
        names = names[:1]  # what ptychodus keeps, and PtychoPINN knows under the same name
    elif frames.name.startswith("/entry"):
        names += [path for path in places(source, "mask") if path.startswith("/entry")]
    kinds = "biuf" if _are_of_product(frames) else "biu"
    for name in names if beside or frames.name == PATTERNS else ():
        found = source.find(name)
        if found is None or found == frames or found.dtype.kind not in kinds:
            continue
        mask = source.read_pictures(found)
        frame_shapes = {tuple(np.delete(shape, axis)) for axis in range(3)}
        if mask.ndim == 2 and mask.shape not in frame_shapes:
            warn(f"{source.path}: {name}: the mask is {mask.shape}, the frames are {shape}; it is not used")
            continue
        return name, mask
    return None
