"""What stands in for a codec that HDF5 refuses for some arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ptychoproduct.compression.codecs import Codec

# Any HDF5 that reads szip reads it, too.
_INSTEAD_OF_SZIP = Codec("gzip", 2, shuffle=True)


def fitted_codec(codec: Codec, dtype: np.dtype[Any], elements: int) -> Codec:
    """Return a codec for a dataset: the one that is wanted, or gzip where HDF5 refuses szip.

    Parameters
    ----------
    codec : Codec
    dtype : numpy.dtype
        szip takes real numbers of 1, 2, 4 and 8 bytes.
    elements : int
        Of a chunk; szip takes a block of them, or more.
    """
    is_number = dtype.kind in "biuf" and dtype.itemsize in (1, 2, 4, 8)
    if codec.name != "szip" or (is_number and elements >= codec.level):
        return codec
    return replace(_INSTEAD_OF_SZIP, fletcher32=codec.fletcher32)
