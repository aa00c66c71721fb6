"""Arrays in the machine's own byte order."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


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
