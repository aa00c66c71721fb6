"""Files in MATLAB's order of axes: HDF5 shows the axes reversed, and complex numbers as pairs of real ones."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import ProductError
from ptychoproduct.hdf5.local_links import DAMAGE, open_hdf5, open_member

_MOST_OBJECTS = 1000


def is_matlab(file: h5py.File) -> bool:
    """Whether MATLAB wrote a file: its first bytes say so, or the class or the complex numbers of a dataset do."""
    with Path(file.filename).open("rb") as start:
        if start.read(6) == b"MATLAB":
            return True
    names = [name for name in islice(file, _MOST_OBJECTS) if isinstance(file.get(name, getlink=True), h5py.HardLink)]
    datasets = (found for found in (open_member(file, name) for name in names) if isinstance(found, h5py.Dataset))
    return any("MATLAB_class" in dataset.attrs or _is_pair(dataset.dtype) for dataset in datasets)


def is_matlab_file(path: Path) -> bool:
    """Whether that is an HDF5 file, and MATLAB wrote it."""
    try:
        if not path.is_file() or not h5py.is_hdf5(path):
            return False
        with open_hdf5(path) as file:
            return is_matlab(file)
    except (ProductError, *DAMAGE):
        return False


def complex_of_pairs(array: Array) -> Array:
    """Return pairs of MATLAB's real and imaginary parts as complex numbers, and any other array as it is."""
    if not _is_pair(array.dtype):
        return array
    result = np.empty(array.shape, np.result_type(array.dtype["real"], np.complex64))
    result.real, result.imag = array["real"], array["imag"]
    return result


def turned(array: Array) -> Array:
    """Exchange rows and columns, the last two axes: MATLAB's [H, W, I] is [I, W, H] in HDF5, and is to be [I, H, W]."""
    return array.swapaxes(-1, -2) if array.ndim > 1 else array


def _is_pair(dtype: np.dtype[Any]) -> bool:
    return dtype.names == ("real", "imag") and dtype["real"].kind == "f"
