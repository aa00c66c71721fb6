"""Frames for other libraries, read when these ask for them: PyTorch, dask, xarray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ContractError
from ptychoproduct.model import contract

if TYPE_CHECKING:
    import dask.array
    import xarray

    from ptychoproduct.product.reader import Frames, Product


@dataclass(frozen=True, eq=False)
class FrameDataset:
    """Frames with their positions, as PyTorch's loaders take them: an item is (frame, x_m, y_m).

    Pickling keeps the product's path; each worker of a loader opens it for itself, however it was started.

    Parameters
    ----------
    frames : Frames
    x_m, y_m : array, [N]
    """

    frames: Frames
    x_m: Array
    y_m: Array

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> tuple[Array, float, float]:
        return self.frames[number], float(self.x_m[number]), float(self.y_m[number])

    def __getitems__(self, numbers: Sequence[int]) -> list[tuple[Array, float, float]]:
        """Return the items of a batch; its frames are decoded on all cores, and a chunk of several of them once."""
        batch = self.frames[np.asarray(numbers, np.intp)]
        return list(zip(batch, self.x_m[numbers].tolist(), self.y_m[numbers].tolist(), strict=True))


def to_torch(product: Product) -> FrameDataset:
    """See `Product.to_torch`."""
    return FrameDataset(_frames(product), product.x_m, product.y_m)


def to_dask(product: Product) -> dask.array.Array:
    """See `Product.to_dask`; a task takes whole chunks of the file, of the size that dask is configured for."""
    from dask import array, config
    from dask.utils import parse_bytes

    frames = _frames(product)
    stored_rows = frames.chunks[0] if frames.chunks else 1
    stored_bytes = stored_rows * frames.nbytes // max(1, len(frames))
    rows = stored_rows * max(1, parse_bytes(config.get("array.chunk-size")) // max(1, stored_bytes))
    return array.from_array(frames, chunks=(rows, -1, -1), meta=np.empty((0, 0, 0), frames.dtype))


def to_xarray(product: Product) -> xarray.DataArray:
    """See `Product.to_xarray`."""
    import xarray

    coordinates: dict[str, Any] = {
        name: ("position", values, {contract.UNITS.name: unit})
        for name, values, unit in (
            ("x_m", product.x_m, "m"),
            ("y_m", product.y_m, "m"),
            (contract.POSITION_INDEXES.name, product.position_indexes, ""),
        )
    }
    frames = to_dask(product)
    for name, pixels, pixel_m in (
        ("row", frames.shape[1], product.meta.detector_pixel_height_m),
        ("column", frames.shape[2], product.meta.detector_pixel_width_m),
    ):
        if pixel_m:
            coordinates[f"{name}_m"] = (name, (np.arange(pixels) - pixels // 2) * pixel_m, {contract.UNITS.name: "m"})
    said = {name: value for name, value in vars(product.meta).items() if value is not None}
    return xarray.DataArray(frames, coordinates, ("position", "row", "column"), "frames", said)


def _frames(product: Product) -> Frames:
    if product.frames is None:
        raise ContractError(product.path, "the product has no frames", key=contract.DIFFRACTION.name)
    return product.frames
