"""A codec of numcodecs, for Zarr: decodes chunks whose HDF5 filters have none there, such as bitshuffle.

numcodecs finds it by an entry point of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray, ndarray_copy

from ptychoproduct.compression.filters import filter_library
from ptychoproduct_native import ChunkBuffer, Filter, FilterPipeline


class Hdf5Filters(Codec):  # type: ignore[misc]
    """The filters of an HDF5 dataset, as one codec.

    Parameters
    ----------
    filters : sequence of [number, flags, parameters]
        As HDF5 has them, in the order in which they encode.
    nbytes : int
        Size of a chunk's elements.

    Raises
    ------
    ptychoproduct_native.FilterError
        A filter can only be run by HDF5, or is not available.
    """

    codec_id = "ptychoproduct_hdf5_filters"

    def __init__(self, filters: Sequence[Sequence[Any]], nbytes: int) -> None:
        self.filters = [(int(number), int(flags), tuple(map(int, values))) for number, flags, values in filters]
        self.nbytes = int(nbytes)
        self._pipeline = FilterPipeline(
            [Filter(number, flags, values, filter_library(number)) for number, flags, values in self.filters]
        )

    def get_config(self) -> dict[str, Any]:
        """Return what the codec is made of again."""
        return {"id": self.codec_id, "filters": self.filters, "nbytes": self.nbytes}

    def encode(self, buf: Any) -> Any:
        """Encode the elements of a chunk; RuntimeError where a filter leaves out what it cannot make smaller."""
        data = ensure_contiguous_ndarray(buf).view(np.uint8)
        chunk = ChunkBuffer(len(data))
        memoryview(chunk)[:] = data
        encoded, filter_mask = self._pipeline.encode(chunk)
        if filter_mask:
            raise RuntimeError("a filter cannot encode this chunk")
        return encoded

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decode a chunk; ptychoproduct_native.FilterError where it is damaged."""
        decoded = self._pipeline.decode(ensure_contiguous_ndarray(buf), 0, self.nbytes)
        return ndarray_copy(np.frombuffer(decoded, np.uint8), out)
