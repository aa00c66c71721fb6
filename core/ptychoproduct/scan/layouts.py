"""Where known programs keep frames, positions and probes in HDF5 files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py

from ptychoproduct.npz.npy import NPY_MAGIC
from ptychoproduct.system.file_kinds import require_file

FRAMES = (
    "/patterns",  # ptychodus
    "/dp",  # fold_slice
    "/entry_1/data_1/data",  # CXI
    "/entry_1/instrument_1/detector_1/data",
    "/entry/data/data",  # NeXus
    "/entry/instrument/detector/data",
    "/exchange/data",  # Data Exchange, of the APS
    "/raw_data/diffraction",  # products
    "/diff3d",  # PtychoPINN's names
    "/diffraction",
)


@dataclass(frozen=True)
class PositionLayout:
    """Where positions are.

    Parameters
    ----------
    x, y : str
        Datasets [N]; the same one for both, [N, 2] or [N, 3], has x and y in its first columns.
    unit : {"px", "m"} or None
        None where the layout does not say it.
    numbers : str, optional
        Dataset [N] of the numbers by which ptychodus pairs positions and patterns.
    scan_index : str, optional
        PtychoPINN's.
    """

    x: str
    y: str
    unit: str | None
    numbers: str | None = None
    scan_index: str | None = None


_CXI_NUMBERS = "/entry_1/ptychodus/probe_position_indexes"

POSITIONS = (
    PositionLayout("/raw_data/xcoords", "/raw_data/ycoords", "px", scan_index="/raw_data/scan_index"),
    PositionLayout("/probe_position_x_m", "/probe_position_y_m", "m", "/probe_position_indexes"),  # ptychodus
    PositionLayout("/probe_position_x_px", "/probe_position_y_px", "px"),  # ptychodus, training data
    PositionLayout("/ppX", "/ppY", "m"),  # fold_slice
    *(
        PositionLayout(translation, translation, "m", _CXI_NUMBERS)
        for translation in (
            "/entry_1/sample_1/geometry_1/translation",
            "/entry_1/sample_1/geometry/translation",
            "/entry_1/data_1/translation",
        )
    ),
    PositionLayout("/xcoords", "/ycoords", None, scan_index="/scan_index"),  # PtychoPINN's names
)

PROBES = (
    "/raw_data/probeGuess",
    "/probe",  # ptychodus, fold_slice
    "/entry_1/instrument_1/source_1/illumination",  # CXI; image_1 may be the object then
    "/entry_1/image_1/data",  # CXI, by ptychodus
    "/probeGuess",
)
OBJECTS = ("/raw_data/objectGuess", "/objectGuess")

# In ptychodus's files of patterns, beside them.
FRAME_NUMBERS = "indexes"
BAD_PIXELS = "bad_pixels"
# In the group of a detector; not zero where a pixel is bad.
MASK_NAMES = (BAD_PIXELS, "pixel_mask", "mask")
DETECTOR_MASKS = tuple(
    f"{group}/{name}"
    for group in (
        "/entry_1/instrument_1/detector_1",  # CXI
        "/entry/instrument/detector",  # NeXus
        "/entry/instrument/detector/detectorSpecific",  # Dectris
    )
    for name in MASK_NAMES
)

# Of files that hold a mask and perhaps nothing else.
MASKS = (
    *DETECTOR_MASKS,
    "/raw_data/bad_pixels",  # products
    "/mask",
)

# What messages advise where a scan has no frames.
WITHOUT_FRAMES = "to convert a scan without frames, add --no-include-diffraction"

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
    """Return `NPZ`, `NPY`, `HDF5`, or None for a file that is none of them, or cannot be read.

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
    except (OSError, ValueError):
        pass
    return None
