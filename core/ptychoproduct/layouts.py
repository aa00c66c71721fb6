"""Where known programs keep frames, positions and probes in HDF5 files."""

from __future__ import annotations

from dataclasses import dataclass

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
    unit : {"px", "m"}
    numbers : str, optional
        Dataset [N] of the numbers by which ptychodus pairs positions and patterns.
    scan_index : str, optional
        PtychoPINN's.
    """

    x: str
    y: str
    unit: str
    numbers: str | None = None
    scan_index: str | None = None


_CXI_NUMBERS = "/entry_1/ptychodus/probe_position_indexes"

POSITIONS = (
    PositionLayout("/raw_data/xcoords", "/raw_data/ycoords", "px", scan_index="/raw_data/scan_index"),
    PositionLayout("/probe_position_x_m", "/probe_position_y_m", "m", "/probe_position_indexes"),  # ptychodus
    PositionLayout("/ppX", "/ppY", "m"),  # fold_slice
    *(
        PositionLayout(translation, translation, "m", _CXI_NUMBERS)
        for translation in (
            "/entry_1/sample_1/geometry_1/translation",
            "/entry_1/sample_1/geometry/translation",
            "/entry_1/data_1/translation",
        )
    ),
    PositionLayout("/xcoords", "/ycoords", "px", scan_index="/scan_index"),  # PtychoPINN's names
)

PROBES = (
    "/raw_data/probeGuess",
    "/probe",  # ptychodus, fold_slice
    "/entry_1/image_1/data",  # CXI, by ptychodus
    "/entry_1/instrument_1/source_1/illumination",  # CXI
    "/probeGuess",
)
OBJECTS = ("/raw_data/objectGuess", "/objectGuess")

# In ptychodus's files of patterns, beside them.
FRAME_NUMBERS = "indexes"
BAD_PIXELS = "bad_pixels"

# Of files that hold a mask and perhaps nothing else.
MASKS = (
    "/entry_1/instrument_1/detector_1/mask",  # CXI
    "/entry/instrument/detector/pixel_mask",  # NeXus
    "/raw_data/bad_pixels",  # products
    "/mask",
)
