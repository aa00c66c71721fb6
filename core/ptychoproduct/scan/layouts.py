"""What kind a file is: by its content, else by its name."""

from __future__ import annotations

from pathlib import Path

import h5py

from ptychoproduct.npz.npy import NPY_MAGIC
from ptychoproduct.system.file_kinds import require_file

# What messages advise where a scan has no frames.
WITHOUT_FRAMES = "to convert a scan without frames, add --no-include-diffraction"

NPZ, NPY, HDF5, IMAGES = "npz", "npy", "h5", "images"
_SUFFIXES = {
    ".npz": NPZ,
    ".npy": NPY,
    ".h5": HDF5,
    ".hdf5": HDF5,
    ".hdf": HDF5,
    ".cxi": HDF5,
    ".nxs": HDF5,
    ".mat": HDF5,
    ".ptyd": HDF5,
    ".ptyr": HDF5,
}
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")


def file_kind(path: Path) -> str | None:
    """Return `NPZ`, `NPY`, `HDF5`, `IMAGES`, or None for a file that is none of them, or cannot be read.

    What has the name of a kind is taken for it, so that messages say what is wrong with it.

    Raises
    ------
    SourceError
        It is a pipe.
    """
    return content_kind(path) or _SUFFIXES.get(path.suffix.lower())


def content_kind(path: Path) -> str | None:
    """Return what a file is by its content, whatever its name; otherwise as `file_kind`."""
    require_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(NPY_MAGIC):
            return NPY
        if start.startswith(_ZIP_MAGICS):
            return NPZ
        if h5py.is_hdf5(path):
            return HDF5
        from ptychoproduct.streaming.image_files import image_kind  # 3 ms, for files of another kind

        if image_kind(path) is not None:
            return IMAGES
    except (OSError, ValueError):
        pass
    return None
