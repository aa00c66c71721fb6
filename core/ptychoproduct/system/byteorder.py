"""Arrays in the machine's own byte order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct_native import byteswap


def to_native(view: memoryview, stored: np.dtype[Any]) -> None:
    """Turn bytes of a stored type into native byte order, in place."""
    if not stored.isnative:
        byteswap(view, stored.itemsize // (2 if stored.kind == "c" else 1))


def native(array: Array) -> Array:
    """Return an array in native byte order and C order; a copy only where it is not so already.

    Padding between the fields of records becomes zeros where they are copied: it holds nothing that was in memory.
    """
    dtype = array.dtype.newbyteorder("=")
    if dtype == array.dtype and array.flags.c_contiguous:
        return array
    result = np.zeros(array.shape, dtype)
    result[...] = array
    return result
