"""A scan, wherever it comes from: what a product is made of, frames and other large arrays not read yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Origin, Progress
from ptychoproduct.compression.codecs import Codec
from ptychoproduct.hdf5.arrays import has_hdf5_type
from ptychoproduct.model.axes import axis_order, canonical_axes, matching_orders
from ptychoproduct.model.contract import FRAME_KEYS
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.positions import check_unit
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.streaming.sources import RowSource
from ptychoproduct.streaming.stacked_rows import stack_shape, stacked_rows
from ptychoproduct_native import OutputFile

# Arrays from this size on are streamed, not loaded.
_LARGE_BYTES = 8 * 1024**2
# What messages call the arrays of a scan, and how many dimensions they have at most.
_DIMENSIONS = {
    "x": ("xcoords", 1),
    "y": ("ycoords", 1),
    "scan_index": ("scan_index", 1),
    "probe": ("probeGuess", 4),
    "object": ("objectGuess", 3),
}


@dataclass(frozen=True)
class FramesToWrite:
    """Frames, and the empty dataset that they are to be in.

    Parameters
    ----------
    rows : RowSource
    axes : sequence of int
        The stack's axes that are N, H and W.
    dataset : h5py.Dataset
    codec : Codec
        Of the dataset.
    file : OutputFile
        That the dataset is in.
    recipe : CountsRecipe or None
        What makes the dataset's elements of the rows.
    progress : callable
    """

    rows: RowSource
    axes: Sequence[int]
    dataset: h5py.Dataset
    codec: Codec
    file: OutputFile
    recipe: CountsRecipe | None
    progress: Progress


WriteElsewhere = Callable[[FramesToWrite], tuple[h5py.Dataset, Array]]
"""Writes frames, and returns the dataset that has them, and the checksum of each, [N]. An InexactError of the recipe
leaves frames that are not complete."""


@dataclass(frozen=True)
class FrameStack:
    """Diffraction frames as their source has them, in any axis order.

    Parameters
    ----------
    key : str
        What messages call them.
    shape : tuple of int
        As stored.
    rows : callable
        Opens them in canonical order; given the stack's axes that are N, H and W.
    member : str
        The archive member that they were, or shall be when the product becomes an NPZ file.
    chunks : tuple of h5py.Dataset
        Datasets that hold them as they are, one after the other, whose chunks need no encoding where the product's
        would be the same.
    original_axis_order : {"NHW", "HNW", "HWN"}, optional
        That of the source's own source, where frames were reordered before; by default as they are stored.
    as_stored : callable, optional
        Opens them in the order in which they lie, whichever axes these are: for a look at some of the values, before
        axes are reordered at some expense.
    note : str, optional
        What was made of the source's axes.
    selection : str, optional
        Which of the source's frames and pixels they are, where not all.
    usual_axis_order : {"NHW", "HNW", "HWN"}
        That of stacks from the same kind of file, where the numbers of frames and pixels fit several.
    transform : str
        By which they were made of the source's, see `parse_array_transform`.
    write_elsewhere : callable, optional
        See `WriteElsewhere`; what writes the frames, in place of this process.
    """

    key: str
    shape: tuple[int, ...]
    rows: Callable[[Sequence[int]], RowSource]
    member: str = FRAME_KEYS[0] + NPY_SUFFIX
    chunks: tuple[h5py.Dataset, ...] = ()
    original_axis_order: str | None = None
    as_stored: Callable[[], RowSource] | None = None
    note: str | None = None
    usual_axis_order: str = "NHW"
    transform: str = ""
    selection: str | None = None
    write_elsewhere: WriteElsewhere | None = None

    def axis_order(self, positions: int, requested: str, origin: Origin) -> str:
        """Decide how the axes are ordered, see `axis_order`."""
        return axis_order(self.shape, positions, requested, origin, self.key, self.usual_axis_order)


@dataclass(frozen=True)
class Extra:
    """Something else of a source that the product keeps in ``/raw_data``.

    Parameters
    ----------
    member : str
        Its file name in an NPZ archive, such as ``Y.npy``.
    content : array, RowSource or str
        An array, rows of one that is streamed, or the text of a 0-d object array.
    source_dtype : str, optional
        What it was, where the array's type does not say it.
    """

    member: str
    content: Array | RowSource | str
    source_dtype: str | None = None


@dataclass(frozen=True)
class Reconstruction:
    """Results that PtychoPINN's scans do not hold, and products do.

    Parameters
    ----------
    opr_weights : array, [K, C], real, optional
        Weights of the probe's C coherent modes, for each of K positions.
    object_layer_spacing_m : sequence of float, [L-1]
        Distances between the object's layers.
    loss_values, loss_epochs : sequence, [E]
        Loss history; epochs count from 0 by default.
    probe_photon_counts : sequence of float, [N], optional
        Photons of each position.
    """

    opr_weights: Array | None = None
    object_layer_spacing_m: Sequence[float] | Array = ()
    loss_values: Sequence[float] | Array = field(default=())
    loss_epochs: Sequence[int] | Array | None = None
    probe_photon_counts: Sequence[float] | Array | None = None

    def over(self, source: Reconstruction) -> Reconstruction:
        """Return these results, and those of a source where there are none; values and epochs of losses go together."""
        results = (
            source
            if self.loss_epochs is None and not len(self.loss_values)
            else replace(source, loss_values=self.loss_values, loss_epochs=self.loss_epochs)
        )
        given: dict[str, Any] = {
            name: value
            for name in ("opr_weights", "object_layer_spacing_m", "probe_photon_counts")
            if (value := getattr(self, name)) is not None and len(value)
        }
        return replace(results, **given)

    def of_rows(self, rows: Array) -> Reconstruction:
        """Return the results for some positions, in another order."""
        taken: dict[str, Any] = {
            name: np.asarray(values)[rows]
            for name in ("opr_weights", "probe_photon_counts")
            if (values := getattr(self, name)) is not None and len(values) > rows.max(initial=0)
        }
        return replace(self, **taken)


@dataclass(frozen=True)
class Scan:
    """A scan, ready to become a product; the files it came from stay open until then.

    Parameters
    ----------
    origin : path or str
        What messages name.
    x, y : array, [N]
        Scan positions.
    probe : array, [H, W], [I, H, W] or [C, I, H, W], complex
    frames : FrameStack, optional
    object : array, [H, W] or [L, H, W], complex, optional
    scan_index : array, [N], optional
        See `position_indexes`.
    extras : iterable of Extra
        Gone through once, when frames have been written; need not be in memory before.
    files : tuple of Path
        Files that it is read from, which the product must not replace.
    positions_in : {"px", "m", "mm", "um", "nm"}, optional
        Unit of the positions, px being object pixels; None where neither the user nor the file says it.
    bad_pixels : array, [H, W], optional
        Not zero where the detector's pixels are not to be used.
    numbers : array, [N], int, optional
        By which ptychodus pairs positions with patterns, where the source has them besides `scan_index`.
    positions_m : pair of arrays [N], optional
        The positions in metres too, where the source has both; valid with the object pixel of `metadata`.
    is_object_synthetic : bool
        Whether the object is ones that stand for an unknown one.
    reconstruction : Reconstruction
        Results beside object and probe.
    product : Path, optional
        The product that positions and object come from, if it is one.
    metadata : ExportMeta
        What the source says; None for what it does not say.
    metadata_files : mapping
        For each name of what it says, the file.
    notes : tuple of str
        How the source was read, where that is not as it is stored, for the summary. Those on axes of length one and
        on real numbers in place of complex ones are added here.
    lost_frames : sequence of int
        Frames that a damaged source does not have any more, and that are to be left out.

    Raises
    ------
    OptionError
        The unit is none.
    """

    origin: Origin
    x: Array
    y: Array
    probe: Array
    frames: FrameStack | None = None
    object: Array | None = None
    scan_index: Array | None = None
    extras: Iterable[Extra] = ()
    files: tuple[Path, ...] = ()
    positions_in: str | None = None
    bad_pixels: Array | None = None
    numbers: Array | None = None
    positions_m: tuple[Array, Array] | None = None
    is_object_synthetic: bool = False
    reconstruction: Reconstruction = field(default_factory=Reconstruction)
    product: Path | None = None
    metadata: ExportMeta = field(default_factory=ExportMeta)
    metadata_files: Mapping[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    lost_frames: Sequence[int] | Array = ()

    def __post_init__(self) -> None:
        check_unit(self.positions_in)
        notes = list(self.notes)
        if self.frames is not None and self.frames.note is not None:
            notes.append(self.frames.note)
        for name, (key, dimensions) in _DIMENSIONS.items():
            array = getattr(self, name)
            if isinstance(array, np.ndarray):
                found = without_axes_of_one(array, dimensions)
                if found.shape != array.shape:
                    notes.append(shape_note(key, array.shape, found.shape))
                if dimensions > 1 and found.dtype.kind in "iuf":
                    notes.append(f"{key}: real numbers, {found.dtype.name}, are taken as complex")
                    found = found.astype(np.result_type(found.dtype, np.complex64))
                object.__setattr__(self, name, found)
        object.__setattr__(self, "notes", tuple(dict.fromkeys(notes)))


def without_axes_of_one(array: Array, dimensions: int) -> Array:
    """Drop axes of length one, behind and then in front, until there are not too many; pictures have none behind."""
    while array.ndim > dimensions and 1 in (array.shape[0], array.shape[-1]):
        array = array[..., 0] if array.shape[-1] == 1 else array[0]
    # A few pixels may be a probe one pixel wide; more are a picture with an axis behind it.
    while dimensions > 1 and array.ndim > 2 and array.shape[-1] == 1 and min(array.shape[-3:-1]) >= 8:
        array = array[..., 0]
    return array


def frame_stack(
    key: str, stored: tuple[int, ...], open_rows: Callable[[Sequence[int]], RowSource], **others: Any
) -> FrameStack:
    """Return an array as a stack of frames, given its shape and what opens its rows; see `stack_axes`."""
    shape = stack_shape(stored)
    note = None if shape == stored else shape_note(key, stored, shape)
    return FrameStack(key, shape, partial(stacked_rows, open_rows, stored), note=note, **others)


def shape_note(key: str, stored: Sequence[int], taken: Sequence[int]) -> str:
    """Say what was made of the axes of an array."""
    return f"{key}: shape {tuple(stored)} is taken as {tuple(taken)}"


def detector_shape(
    frames: FrameStack | None, probe_shape: tuple[int, ...], positions: int, requested: str
) -> tuple[int, int]:
    """Return rows and columns of the detector, before anything is known to be in order.

    Parameters
    ----------
    frames : FrameStack or None
    probe_shape : tuple of int
        A probe is sampled so that it has as many pixels as a frame: it is asked where there are no frames.
    positions : int
        N.
    requested : {"auto", "NHW", "HNW", "HWN"}
        Axis order of the frames, as in `ExportOptions`.

    Returns
    -------
    tuple of int
        At least 1; what is no stack of frames and no probe is refused later, with a better message.
    """
    if frames is not None and len(frames.shape) == 3:
        orders = matching_orders(frames.shape, positions) if requested == "auto" else [requested]
        order = orders[0] if len(orders) == 1 else frames.usual_axis_order
        _, rows, columns = (frames.shape[axis] for axis in canonical_axes(order))
    else:
        rows, columns = (1, 1, *probe_shape)[-2:]
    return max(1, rows), max(1, columns)


def is_streamed(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array is streamed by rows: it is large, its rows are not, and HDF5 has its type."""
    if not shape or not has_hdf5_type(dtype):
        return False
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    return shape[0] * row_bytes >= _LARGE_BYTES >= row_bytes
