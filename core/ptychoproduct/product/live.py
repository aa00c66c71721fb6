"""A product that can be read while it is written, by HDF5's single writer and multiple readers (SWMR).

Nothing can be made in such a file once it is shared: neither datasets nor attributes. So it holds what is known at the
first frame, and grows by frames and positions only. It stands under the product's name until the product replaces it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.compression.codecs import codec_of, parse_codec
from ptychoproduct.errors import OptionError
from ptychoproduct.hdf5.chunks import create_chunked
from ptychoproduct.model import contract
from ptychoproduct.model.metadata import ResolvedMetadata
from ptychoproduct.model.positions import pixels_to_metres
from ptychoproduct.product import reconstruction

# SWMR needs indexes of chunks that HDF5 has since 1.10.
_LIBVER = ("v110", "v110")
_CHUNK_POSITIONS = 1024
_GROWING = (contract.POSITION_X, contract.POSITION_Y, contract.POSITION_INDEXES)


class LiveProduct:
    """The file that others read meanwhile.

    Parameters
    ----------
    path : Path
        Of the product. What is there is replaced at the first frame.
    meta : ResolvedMetadata
    origin : path
        What messages name.
    """

    def __init__(self, path: Path, meta: ResolvedMetadata, origin: Origin) -> None:
        self._path = path
        self._meta = meta
        self._origin = origin
        self._file: h5py.File | None = None
        self._positions: list[h5py.Dataset] = []

    def start(self, product: h5py.File, frames: h5py.Dataset) -> h5py.Dataset:
        """Make the file of what the unfinished product has; return the dataset that gets the frames' chunks as well.

        Raises
        ------
        OptionError
            There is no probe yet.
        """
        if contract.PROBE.name not in product:
            raise OptionError("live", "readers need the probe from the first frame on; call set_probe before append")
        file = self._file = h5py.File(self._path, "w", libver=_LIBVER)
        reconstruction.write_attributes(file, contract.ROOT_ATTRIBUTES, self._meta)
        product.copy(contract.PROBE.name, file)
        if contract.OBJECT.name in product:
            for name in (contract.OBJECT.name, contract.OBJECT_LAYER_SPACING.name):
                product.copy(name, file)
        else:
            ones = np.ones(product[contract.PROBE.name].shape[-2:], np.complex64)
            reconstruction.write_object(file, ones, (), self._origin)
            file[contract.OBJECT.name].attrs[contract.SYNTHETIC.name] = True
        reconstruction.write_attributes(file[contract.OBJECT.name], contract.OBJECT.attributes, self._meta)
        reconstruction.write_losses(file, (), None, self._origin)
        for expected in _GROWING:
            shape: dict[str, Any] = {"shape": (0,), "maxshape": (None,), "chunks": (_CHUNK_POSITIONS,)}
            self._positions.append(file.create_dataset(expected.name, dtype=expected.dtypes[0], **shape))
        file.create_group(contract.RAW_DATA)
        # Not with the filters of `frames` as they are: bitshuffle's would complete its parameters a second time.
        name, row_shape = contract.DIFFRACTION.name, frames.shape[1:]
        live = create_chunked(
            file, name, row_shape, frames.dtype, parse_codec(str(codec_of(frames))), None, frames.chunks
        )
        for key, value in frames.attrs.items():
            live.attrs[key] = value
        file.swmr_mode = True
        return live

    def add_positions(self, x_px: Array, y_px: Array) -> None:
        """Append positions, which are numbered in sequence."""
        assert self._file is not None
        first = self._positions[0].shape[0]
        meta, x_px, y_px = self._meta, np.atleast_1d(x_px), np.atleast_1d(y_px)
        columns = (
            pixels_to_metres(x_px, meta.object_pixel_width_m),
            pixels_to_metres(y_px, meta.object_pixel_height_m),
            np.arange(first, first + len(x_px)),
        )
        for dataset, values in zip(self._positions, columns, strict=True):
            dataset.resize(first + len(values), axis=0)
            dataset[first:] = values

    def flush(self) -> None:
        """Let readers see all that was written."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file, which stays."""
        if self._file is not None:
            self._file.close()
