"""Opening a product: metadata and reconstruction at once, frames when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError, OptionError, SourceError, warn, warn_of_damage
from ptychoproduct.hdf5.chunk_grid import is_almost_empty
from ptychoproduct.hdf5.contract_fields import (
    _checked,
    _read_values,
    find_dataset,
    not_a_product,
    read_attribute,
    read_layer_spacing,
    read_metadata,
    read_recipe,
    storage_problems,
)
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import local_dataset, local_group, naming_damage, open_hdf5, reading
from ptychoproduct.hdf5.row_checksums import in_ranges
from ptychoproduct.hdf5.sharded_chunks import stored_as
from ptychoproduct.model import contract
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.model.transforms import parse_array_transform
from ptychoproduct.product import views
from ptychoproduct.product.views import FrameDataset
from ptychoproduct.streaming.dataset_rows import DatasetRows
from ptychoproduct.system.resources import Resources

if TYPE_CHECKING:
    import dask.array
    import xarray
    from matplotlib.figure import Figure

# When a product is opened; a look at each of these takes a few milliseconds.
_MOST_CHUNKS_LOOKED_AT = 8192


class Frames:
    """The diffraction frames of an open product; index it like an array, [N, H, W].

    Pickling keeps the product's path; the process that unpickles opens it again, as a training loader's workers do.

    Parameters
    ----------
    dataset : h5py.Dataset
    recipe : CountsRecipe, optional
        Makes the amplitudes of the counts that are stored; the frames are as stored by default.
    accept_damage : bool
        See `DatasetReader`.

    Attributes
    ----------
    reader : DatasetReader
        What decodes the frames.
    recipe : CountsRecipe or None
    product : Product or None
        The product that unpickling has opened for these frames.
    transform : tuple of str
        By which they were made of the source's, see `parse_array_transform`.
    """

    def __init__(self, dataset: h5py.Dataset, recipe: CountsRecipe | None = None, accept_damage: bool = False) -> None:
        self.reader = DatasetReader(dataset, recipe=recipe, accept_damage=accept_damage)
        self.recipe = recipe
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = self.reader.dtype
        self.ndim: int = dataset.ndim
        self.size: int = dataset.size
        self.nbytes: int = dataset.size * self.dtype.itemsize
        with stored_as(dataset) as stored:
            self.chunks: tuple[int, ...] | None = stored.chunks
        self._dataset = dataset
        self._counts: Frames | None = None
        self.product: Product | None = None
        self.original_axis_order: str = read_attribute(dataset, contract.ORIGINAL_AXIS_ORDER) or "NHW"
        self.transform = _steps(dataset, contract.FRAMES_TRANSFORM)
        self.source_member: str = read_attribute(dataset, contract.SOURCE_MEMBER) or f"{contract.FRAME_KEYS[0]}.npy"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        return self.reader.read(index)

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("frames must be decoded, so they cannot be read without a copy")
        return np.asarray(self[:], dtype)

    def __iter__(self) -> Iterator[Array]:
        for block in self.blocks():
            yield from block

    def __repr__(self) -> str:
        return f"<Frames {self.shape} {self.dtype}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen_frames, (_FileState.of(Path(self._dataset.file.filename)), self.recipe is not None)

    @property
    def counts(self) -> Frames | None:
        """The counts that are stored in place of these amplitudes; None for frames that are stored as they were."""
        if self._counts is None and self.recipe is not None:
            self._counts = Frames(self._dataset, None, self.reader.accept_damage)
        return self._counts

    def read_into(self, out: Array, index: Any = ...) -> None:
        """Read frames into an array of the caller, such as a training batch that is used again.

        Parameters
        ----------
        out : array
            Of the shape that ``frames[index]`` has; any strides, and any type that NumPy converts to within the same
            kind, such as float32 for counts.
        index : int, slice, ellipsis, list or array of int, mask, or a tuple of these
            All frames by default. Numbers of frames may come in any order, repeat, and count from the end; a chunk
            that holds several of them is decoded once.

        Raises
        ------
        IndexError
            There is no such frame.
        ContractError
            A chunk cannot be decoded, or its filter is not available.
        TypeError, ValueError
            The array has the wrong type or shape.
        """
        self.reader.read_into(out, index)

    def blocks(self) -> Iterator[Array]:
        """Give all frames in order, in blocks of whole chunks of about a MiB."""
        for _, future in self.reader.blocks(lambda _, block: block):
            yield future.result()

    def rows(self, resources: Resources) -> DatasetRows:
        """Return the frames as a source that is read once; see `RowSource`."""
        accept_damage = self.reader.accept_damage
        return DatasetRows(self._dataset, resources=resources, recipe=self.recipe, accept_damage=accept_damage)

    def close(self) -> None:
        """End the threads that decode frames."""
        self.reader.close()
        if self._counts is not None:
            self._counts.close()


class Product:
    """An open product; close it, or use it as a context manager.

    Every dialect of ptychodus 1.0 to 1.7 and of PtychoPINN's exporter is read: see `contract` for the aliases. Pickling
    keeps the path only; the process that unpickles opens it again, or raises ContractError if the file has changed.

    Parameters
    ----------
    path : path
    accept_damage : bool
        Whether frames that are lost are zeros, of which a warning tells; an error otherwise.

    Attributes
    ----------
    path : Path
    meta : ExportMeta
        What the file says; None for what it does not say.
    probe : array, [H, W], [I, H, W] or [C, I, H, W], complex
    object : array, [H, W] or [L, H, W], complex
    is_object_synthetic : bool
        Whether the object is ones that stand for an unknown one.
    object_layer_spacing_m : array, [L-1]
    x_m, y_m : array, [N]
        Scan positions.
    position_indexes : array, [N], int
    opr_weights : array, [K, C] or None
    loss_values, loss_epochs : array, [E]
    probe_photon_counts : array, [N] or None
    positions_transform : str
    probe_transform : tuple of str
        By which positions and probe were made of the source's, see `ExportOptions`.
    frames : Frames or None
        Diffraction frames, read on demand: as they were in their source, also where counts are stored in their place.
    """

    def __init__(self, path: str | PathLike[str], *, accept_damage: bool = False) -> None:
        self.path = Path(path)
        self._file = open_hdf5(self.path)
        self.frames: Frames | None = None
        self._accept_damage = accept_damage
        try:
            with naming_damage(self.path), reading(self._file):
                for name, problem in storage_problems(self._file, _MOST_CHUNKS_LOOKED_AT):
                    if not accept_damage:
                        raise ContractError(path, problem, key=name)
                    warn_of_damage(f"{path}: {name}: {problem}")
                self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Product {self.path.name!r} of {len(self.x_m)} positions, probe {self.probe.shape}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (_FileState.of(self.path),)

    def _repr_html_(self) -> str:
        """Describe the product in a notebook."""
        from ptychoproduct.plots.html import product_html

        return product_html(self)

    def plot(self, frame: int | None = None) -> Figure:
        """Draw the product in one figure, see `plot_product`; needs matplotlib.

        Parameters
        ----------
        frame : int, optional
            The frame that is drawn beside the mean; the first by default.
        """
        from ptychoproduct.plots.figure import plot_product

        return plot_product(self, frame)

    def to_torch(self) -> FrameDataset:
        """Return frames and positions as PyTorch's `DataLoader` takes them, with or without workers.

        An item is (frame [H, W], x_m, y_m). PyTorch itself is not needed.

        Raises
        ------
        ContractError
            There are no frames.
        """
        return views.to_torch(self)

    def to_dask(self) -> dask.array.Array:
        """Return the frames as a `dask.array`, [N, H, W], read when it is computed; needs dask.

        Raises
        ------
        ContractError
            There are no frames.
        """
        return views.to_dask(self)

    def to_xarray(self) -> xarray.DataArray:
        """Return the frames as an `xarray.DataArray` of dask's, with positions as coordinates; needs xarray and dask.

        Its dimensions are position, row and column; row and column have coordinates in metres from the detector's
        middle pixel, N // 2, where its pixel size is known. Its attributes are the metadata that the product says.

        Raises
        ------
        ContractError
            There are no frames.
        """
        return views.to_xarray(self)

    def close(self) -> None:
        """Close the file; frames cannot be read any more."""
        if self.frames is not None:
            self.frames.close()
        self._file.close()

    @property
    def file(self) -> h5py.File:
        """The open file."""
        return self._file

    @property
    def raw_data(self) -> h5py.Group | None:
        """The group ``/raw_data``, None where there is none."""
        return local_group(self._file, contract.RAW_DATA)

    def _read(self) -> None:
        probe = self._require(contract.PROBE)
        object_ = self._require(contract.OBJECT)
        self.probe = _read_values(probe, contract.PROBE)
        self.object = _read_values(object_, contract.OBJECT)
        self.is_object_synthetic = bool(object_.attrs.get(contract.SYNTHETIC.name, False))
        self.x_m = _read_values(self._require(contract.POSITION_X), contract.POSITION_X)
        self.y_m = _read_values(self._require(contract.POSITION_Y), contract.POSITION_Y)
        self.position_indexes = _read_values(self._require(contract.POSITION_INDEXES), contract.POSITION_INDEXES)
        spacing = read_layer_spacing(self._file, object_)
        self.object_layer_spacing_m = np.empty(0) if spacing is None else spacing
        losses = self._read_if_there(contract.LOSS_VALUES)
        self.loss_values = np.empty(0) if losses is None else losses
        epochs = self._read_if_there(contract.LOSS_EPOCHS)
        self.loss_epochs = np.arange(len(self.loss_values)) if epochs is None else epochs
        weights = self._read_if_there(contract.OPR)
        # PtychoPINN's contract has them as an attribute of the probe.
        self.opr_weights: Array | None = probe.attrs.get(contract.OPR.name) if weights is None else weights
        self.probe_photon_counts = self._read_if_there(contract.PHOTON_COUNTS)
        frames = local_dataset(self._file, contract.DIFFRACTION.name)
        if frames is not None:
            if self._accept_damage and is_almost_empty(frames.id):
                raise ContractError(self.path, "damaged: hardly any frame is left", key=frames.name)
            if contract.LOST_ROWS in frames.attrs:
                lost = in_ranges(frames.attrs[contract.LOST_ROWS])
                warn(f"{self.path}: {frames.name}: frames {lost} were lost before it was repacked, and are zeros")
            self.frames = Frames(_checked(frames, contract.DIFFRACTION), read_recipe(frames), self._accept_damage)
        self.meta = read_metadata(self._file, probe, object_)
        self.probe_transform = _steps(self._file, contract.PROBE_TRANSFORM)
        self.positions_transform: str = read_attribute(self._file, contract.POSITIONS_TRANSFORM) or ""

    def _read_if_there(self, dataset: contract.Dataset) -> Array | None:
        found = find_dataset(self._file, dataset)
        return None if found is None else _read_values(found, dataset)

    def _require(self, dataset: contract.Dataset) -> h5py.Dataset:
        found = find_dataset(self._file, dataset)
        if found is None:
            raise ContractError(self.path, not_a_product(self.path, dataset.name))
        return found


def _steps(target: h5py.File | h5py.Dataset, attribute: contract.Attribute) -> tuple[str, ...]:
    """Read a transform; ContractError where it is none."""
    try:
        return parse_array_transform(read_attribute(target, attribute) or "", attribute.name)
    except OptionError as error:
        key = f"{target.name}@{attribute.name}"
        raise ContractError(target.file.filename, error.problem, key=key) from error


@dataclass(frozen=True)
class _FileState:
    """A file, and what shows whether it was replaced."""

    path: Path
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the state of a file; SourceError if it is missing."""
        try:
            status = path.stat()
        except OSError as error:
            raise SourceError(path, f"cannot be read: {error.strerror}") from error
        return cls(path.absolute(), status.st_size, status.st_mtime_ns)


def _reopen(pickled: _FileState) -> Product:
    """Open a product that was pickled; ContractError if the file has changed."""
    if _FileState.of(pickled.path) != pickled:
        raise ContractError(pickled.path, "the file has changed since this product was pickled; open it again")
    return Product(pickled.path)


def _reopen_frames(pickled: _FileState, as_amplitudes: bool) -> Frames:
    product = _reopen(pickled)
    frames = product.frames
    assert frames is not None
    frames = frames if as_amplitudes or frames.counts is None else frames.counts
    frames.product = product  # open as long as its frames are used
    return frames


def open_product(path: str | PathLike[str], *, accept_damage: bool = False) -> Product:
    """Open a product for reading.

    Parameters
    ----------
    path : path
        A product of this package, of any ptychodus, or of PtychoPINN's exporter.
    accept_damage : bool
        Whether frames that are lost are zeros, of which a warning tells; an error otherwise.

    Returns
    -------
    Product

    Raises
    ------
    SourceError
        There is no HDF5 file.
    ContractError
        The file is not a product.
    """
    return Product(path, accept_damage=accept_damage)
