"""Opening a product: metadata and reconstruction at once, frames when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import hdf5plugin  # noqa: F401 - registers the filters that frames are compressed with
import numpy as np

from ptychoproduct import contract
from ptychoproduct.errors import ContractError
from ptychoproduct.links import local_dataset, local_group, open_hdf5, reading
from ptychoproduct.metadata import ExportMeta

Array = np.ndarray[Any, Any]

_BLOCK_BYTES = 4 * 1024**2


class Frames:
    """The diffraction frames of an open product; index it like an array, [N, H, W].

    Parameters
    ----------
    dataset : h5py.Dataset
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype
        self.nbytes: int = dataset.size * dataset.dtype.itemsize
        self.chunk_shape: tuple[int, ...] | None = dataset.chunks
        self.original_axis_order = str(
            dataset.attrs.get(contract.ORIGINAL_AXIS_ORDER.name, contract.ORIGINAL_AXIS_ORDER.default)
        )
        self.source_member = str(dataset.attrs.get(contract.SOURCE_MEMBER.name, f"{contract.FRAME_KEYS[0]}.npy"))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        with reading(self._dataset):
            result: Array = self._dataset[index]
        return result

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("frames are decoded, and cannot be had without a copy")
        return np.asarray(self[:], dtype)

    def __iter__(self) -> Iterator[Array]:
        for block in self.blocks():
            yield from block

    def __repr__(self) -> str:
        return f"<Frames {self.shape} {self.dtype}>"

    def blocks(self) -> Iterator[Array]:
        """Give all frames in order, in blocks of whole chunks of a few MiB."""
        return blocks_of(self._dataset)


class Product:
    """An open product; close it, or use it as a context manager.

    Every dialect of ptychodus 1.0 to 1.7 and of PtychoPINN's exporter is read: see `contract` for the aliases.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    path : Path
    meta : ExportMeta
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
    frames : Frames or None
        Diffraction frames, read on demand.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._file = open_hdf5(self.path)
        try:
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

    def close(self) -> None:
        """Close the file; frames cannot be read any more."""
        self._file.close()

    @property
    def raw_data(self) -> h5py.Group | None:
        """The group ``/raw_data``, None where there is none."""
        return local_group(self._file, contract.RAW_DATA)

    def _read(self) -> None:
        probe = self._require(contract.PROBE)
        object_ = self._require(contract.OBJECT)
        self.probe: Array = probe[()]
        self.object: Array = object_[()]
        self.is_object_synthetic = bool(object_.attrs.get(contract.SYNTHETIC.name, False))
        self.x_m: Array = self._require(contract.POSITION_X)[()]
        self.y_m: Array = self._require(contract.POSITION_Y)[()]
        self.position_indexes: Array = self._require(contract.POSITION_INDEXES)[()]
        spacing = self._find(contract.OBJECT_LAYER_SPACING)
        self.object_layer_spacing_m: Array = np.empty(0) if spacing is None else spacing[()]
        losses = self._find(contract.LOSS_VALUES)
        self.loss_values: Array = np.empty(0) if losses is None else losses[()]
        epochs = self._find(contract.LOSS_EPOCHS)
        self.loss_epochs: Array = np.arange(len(self.loss_values)) if epochs is None else epochs[()]
        weights = self._find(contract.OPR)
        # PtychoPINN's contract has them as an attribute of the probe.
        self.opr_weights: Array | None = probe.attrs.get(contract.OPR.name) if weights is None else weights[()]
        counts = self._find(contract.PHOTON_COUNTS)
        self.probe_photon_counts: Array | None = None if counts is None else counts[()]
        frames = local_dataset(self._file, contract.DIFFRACTION.name)
        self.frames = None if frames is None else Frames(frames)
        self.meta = self._read_meta(probe, object_)

    def _read_meta(self, probe: h5py.Dataset, object_: h5py.Dataset) -> ExportMeta:
        values: dict[str, Any] = {}
        for target, attributes in (
            (self._file, contract.ROOT_ATTRIBUTES),
            (object_, contract.OBJECT.attributes),
            (probe, contract.PROBE.attributes),
        ):
            for attribute in attributes:
                if attribute.field:
                    value = read_attribute(target, attribute)
                    if value is not None:
                        values[attribute.field] = value
        # ptychodus takes a probe without pixel size to be sampled like the object.
        for probe_size, object_size in (
            (contract.PROBE_PIXEL_WIDTH, contract.OBJECT_PIXEL_WIDTH),
            (contract.PROBE_PIXEL_HEIGHT, contract.OBJECT_PIXEL_HEIGHT),
        ):
            if probe_size.field not in values and object_size.field in values:
                values[probe_size.field] = values[object_size.field]
        return ExportMeta(**values)

    def _find(self, dataset: contract.Dataset) -> h5py.Dataset | None:
        for name in (dataset.name, *dataset.aliases):
            found = local_dataset(self._file, name)
            if found is not None:
                return found
        return None

    def _require(self, dataset: contract.Dataset) -> h5py.Dataset:
        found = self._find(dataset)
        if found is None:
            raise ContractError(self.path, key=dataset.name, found="no such dataset", expected="it, in a product")
        return found


def open_product(path: str | PathLike[str]) -> Product:
    """Open a product for reading.

    Parameters
    ----------
    path : path
        A product of this package, of any ptychodus, or of PtychoPINN's exporter.

    Returns
    -------
    Product

    Raises
    ------
    SourceError
        There is no HDF5 file.
    ContractError
        The file is no product.
    """
    return Product(path)


def blocks_of(dataset: h5py.Dataset) -> Iterator[Array]:
    """Give an array of at least one dimension in order, in blocks of whole chunks of a few MiB."""
    row_bytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    chunk_rows = dataset.chunks[0] if dataset.chunks else 1
    block_rows = max(1, _BLOCK_BYTES // max(1, row_bytes * chunk_rows)) * chunk_rows
    for first in range(0, dataset.shape[0], block_rows):
        with reading(dataset):
            block: Array = dataset[first : first + block_rows]
        yield block


def read_attribute(target: h5py.File | h5py.Dataset, attribute: contract.Attribute) -> Any:
    """Return an attribute's value under whichever of its names there is, None under none.

    Raises
    ------
    ContractError
        The value has another type.
    """
    for name in (attribute.name, *attribute.aliases):
        if name not in target.attrs:
            continue
        value = target.attrs[name]
        try:
            match attribute.dtype:
                case "str":
                    return value.decode() if isinstance(value, bytes) else str(value)
                case "bool":
                    return bool(value)
                case _:
                    return float(value)
        except (TypeError, ValueError) as error:
            raise ContractError(
                target.file.filename, key=f"{target.name}@{name}", found=repr(value), expected=attribute.dtype
            ) from error
    return None
