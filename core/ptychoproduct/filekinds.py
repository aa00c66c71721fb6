"""What kind of file a file is, by its first bytes; by its name only where they do not say it."""

from __future__ import annotations

from pathlib import Path

import h5py

from ptychoproduct.npy import NPY_MAGIC

NPZ, NPY, HDF5 = "npz", "npy", "h5"
_SUFFIXES = {
    ".npz": NPZ,
    ".npy": NPY,
    ".h5": HDF5,
    ".hdf5": HDF5,
    ".hdf": HDF5,
    ".cxi": HDF5,
    ".nxs": HDF5,
    ".mat": HDF5,
}
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")


def file_kind(path: Path) -> str | None:
    """Return `NPZ`, `NPY`, `HDF5`, or None for a file that is none of them, or cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(NPY_MAGIC):
            return NPY
        if start.startswith(_ZIP_MAGICS):
            return NPZ
        if h5py.is_hdf5(path):
            return HDF5
    except (OSError, ValueError):
        pass
    return _SUFFIXES.get(path.suffix.lower())
