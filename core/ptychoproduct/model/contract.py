"""The product format as data: the one place where its names, types and units are written.

The writer, the importer, the validator and the tests read the format from here; ``specs/data_contracts.md`` says the
same in prose, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FORMAT_ID = "ptychodus.product.hdf5"
FORMAT_VERSION = "1.2"

Presence = Literal["required", "optional"]


@dataclass(frozen=True)
class Attribute:
    """An HDF5 attribute.

    Parameters
    ----------
    name : str
        The name that every writer emits.
    dtype : {"str", "float64", "int64", "bool"}
        Type on disk; strings are variable-length UTF-8.
    unit : str
        Unit, "" for none.
    presence : {"required", "optional"}
        Whether a valid product must have it.
    default : str, float, bool or None
        What an absent value means; None where nothing may be assumed.
    aliases : tuple of str
        Other names with the same value, written beside `name` and accepted instead of it.
    field : str
        The field of `ExportMeta` that holds it, "" where none does.
    """

    name: str
    dtype: Literal["str", "float64", "int64", "bool"]
    unit: str = ""
    presence: Presence = "optional"
    default: str | float | bool | None = None
    aliases: tuple[str, ...] = ()
    field: str = ""


@dataclass(frozen=True)
class Dataset:
    """An HDF5 dataset.

    Parameters
    ----------
    name : str
        Its path from the root, without the leading slash.
    dtypes : tuple of str
        Types on disk that readers accept, the preferred one first.
    shapes : tuple of tuple of str
        Shapes that are valid, in the letters of `AXES`.
    unit : str
        Unit, "" for none.
    presence : {"required", "optional"}
        Whether a valid product must have it; within `/raw_data`, whether that group must.
    attributes : tuple of Attribute
        Its attributes.
    aliases : tuple of str
        Other paths with the same data, written as hard links and accepted instead of `name`.
    """

    name: str
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[str, ...], ...]
    unit: str = ""
    presence: Presence = "required"
    attributes: tuple[Attribute, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plot:
    """A group of class NXdata, which NeXus viewers draw.

    Parameters
    ----------
    group : str
        Its path from the root, without the leading slash.
    signal : Dataset
        What is drawn.
    axes : tuple of Dataset or None
        Of the signal's last dimensions, None where they just count; or the coordinates of each point of a list.
    beside : tuple of Dataset
        Further axes of the first dimension.
    """

    group: str
    signal: Dataset
    axes: tuple[Dataset | None, ...]
    beside: tuple[Dataset, ...] = ()


AXES = {
    "N": "scan positions, one diffraction frame each",
    "H": "pixel rows, along y",
    "W": "columns, along x",
    "C": "coherent probe modes, combined by the OPR weights",
    "I": "incoherent probe modes",
    "K": "probes that the OPR weights describe, one a position",
    "L": "object layers along the beam",
    "E": "epochs of the loss history",
}

COMPLEX = ("complex64", "complex128")
REAL = ("float64", "float32")
INTEGER = ("int64", "int32", "uint32", "uint64", "int16", "uint16", "int8", "uint8")
FRAME = (
    *("float32", "float64", "float16", "uint8", "uint16", "uint32", "uint64"),
    *("int8", "int16", "int32", "int64", "bool"),
)

NAME = Attribute("name", "str", presence="required", default="", field="name")
COMMENTS = Attribute("comments", "str", presence="required", default="", field="comments")
PHOTON_ENERGY = Attribute(
    "photon_energy_eV", "float64", "eV", "required", aliases=("probe_energy_eV",), field="probe_energy_eV"
)

POLARIZATION = Attribute("polarization", "str", field="polarization")
PARTICLE = Attribute("particle", "str", field="particle")

# On a product and on its patterns file: which conversion made them.
CONVERSION_ID = Attribute("conversion_id", "str")

# For NeXus viewers.
NX_CLASS = Attribute("NX_class", "str")
NX_DEFAULT = Attribute("default", "str")
UNITS = Attribute("units", "str")
INTERPRETATION = Attribute("interpretation", "str")
# Of all names, types, attributes and links, see `metadata_digest`.
METADATA_DIGEST = Attribute("metadata_sha256", "str")

# Where a product comes from, see `provenance`; JSON where it is more than a word.
PROGRAM = Attribute("program", "str")
PROGRAM_OPTIONS = Attribute("program_options", "str")
SOURCE_FILES = Attribute("source_files", "str")
CREATED = Attribute("created", "str")

# Whether probe and object predict the frames, see `judge_physics`.
PHYSICS_VERDICT = Attribute("physics_verdict", "str")
PHYSICS_CORRELATION = Attribute("physics_correlation", "float64", "1")
PHYSICS_CONVENTION = Attribute("physics_convention", "str")
# How a source of another convention was transformed, see `transforms`; what the source has comes back by them.
POSITIONS_TRANSFORM = Attribute("positions_transform", "str")
PROBE_TRANSFORM = Attribute("probe_transform", "str")
FRAMES_TRANSFORM = Attribute("frames_transform", "str")
SOURCE_POSITIONS = ("xcoords_source", "ycoords_source", "xcoords_start_source", "ycoords_start_source")

ROOT_ATTRIBUTES = (
    Attribute("format_id", "str", default=FORMAT_ID),
    Attribute("format_version", "str", default=FORMAT_VERSION),
    NAME,
    COMMENTS,
    Attribute("detector_object_distance_m", "float64", "m", "required", field="detector_distance_m"),
    PHOTON_ENERGY,
    Attribute("exposure_time_s", "float64", "s", "required", default=0.0, field="exposure_time_s"),
    Attribute("probe_photon_count", "float64", "1", default=0.0, field="probe_photon_count"),
    Attribute(
        "mass_attenuation_m2_per_kg",
        "float64",
        "m²/kg",
        default=0.0,
        aliases=("mass_attenuation_m2_kg",),
        field="mass_attenuation_m2_kg",
    ),
    Attribute("tomography_angle_deg", "float64", "°", default=0.0, field="tomography_angle_deg"),
    Attribute("tilt_angle_deg", "float64", "°", default=0.0, field="tilt_angle_deg"),
    Attribute("focus_object_distance_m", "float64", "m", default=0.0, field="focus_object_distance_m"),
    Attribute("far_field", "bool", default=True, field="far_field"),
    POLARIZATION,
    Attribute("detector_pixel_width_m", "float64", "m", default=0.0, field="detector_pixel_width_m"),
    Attribute("detector_pixel_height_m", "float64", "m", default=0.0, field="detector_pixel_height_m"),
    PARTICLE,
    NX_CLASS,
    NX_DEFAULT,
    CONVERSION_ID,
    PROGRAM,
    PROGRAM_OPTIONS,
    SOURCE_FILES,
    CREATED,
    PHYSICS_VERDICT,
    PHYSICS_CORRELATION,
    PHYSICS_CONVENTION,
    POSITIONS_TRANSFORM,
    PROBE_TRANSFORM,
    METADATA_DIGEST,
)
POLARIZATIONS = ("left_circular", "right_circular")
PARTICLES = ("photon", "electron")
CHOICES = {POLARIZATION: POLARIZATIONS, PARTICLE: PARTICLES}

OPR_WEIGHTS = "opr_weights"
PROBE_PIXEL_WIDTH = Attribute("pixel_width_m", "float64", "m", "required", field="probe_pixel_width_m")
PROBE_PIXEL_HEIGHT = Attribute("pixel_height_m", "float64", "m", "required", field="probe_pixel_height_m")
OBJECT_PIXEL_WIDTH = Attribute("pixel_width_m", "float64", "m", "required", field="object_pixel_width_m")
OBJECT_PIXEL_HEIGHT = Attribute("pixel_height_m", "float64", "m", "required", field="object_pixel_height_m")
OBJECT_CENTER_X = Attribute("center_x_m", "float64", "m", "required", field="object_center_x_m")
OBJECT_CENTER_Y = Attribute("center_y_m", "float64", "m", "required", field="object_center_y_m")
SYNTHETIC = Attribute("synthetic", "bool", default=False)
# On any dataset: what its content was when it was written, see `digests`.
CONTENT_DIGEST = Attribute("content_sha256", "str")
# On frames, an array: a CRC-32 of each, see `row_checksums`.
ROW_CHECKSUMS = "row_crc32"
# On frames that are in several files: the size of each, [S], uint64.
SHARD_BYTES = "shard_bytes"
# On any dataset, an array: numbers of the rows that were lost when a damaged file was repacked, and are fill values.
LOST_ROWS = "lost_rows"

PROBE = Dataset(
    "probe",
    COMPLEX,
    (("H", "W"), ("I", "H", "W"), ("C", "I", "H", "W")),
    attributes=(PROBE_PIXEL_WIDTH, PROBE_PIXEL_HEIGHT),
)
OBJECT = Dataset(
    "object",
    COMPLEX,
    (("H", "W"), ("L", "H", "W")),
    attributes=(OBJECT_CENTER_X, OBJECT_CENTER_Y, OBJECT_PIXEL_WIDTH, OBJECT_PIXEL_HEIGHT, SYNTHETIC),
)
OBJECT_LAYER_SPACING = Dataset("object_layer_spacing_m", REAL, (("L-1",),), "m")
# What ptychodus wrote before; distances of layers, with one behind the last layer or without.
OLD_LAYER_DISTANCE = Dataset("object_layer_distance_m", REAL, (("L",), ("L-1",)), "m", "optional")
POSITION_X = Dataset("probe_position_x_m", REAL, (("N",),), "m", attributes=(UNITS,))
POSITION_Y = Dataset("probe_position_y_m", REAL, (("N",),), "m", attributes=(UNITS,))
POSITIONS = (POSITION_X, POSITION_Y)
POSITION_INDEXES = Dataset("probe_position_indexes", INTEGER, (("N",),))
LOSS_VALUES = Dataset("loss_values", REAL, (("E",),), aliases=("costs", "losses"))
LOSS_EPOCHS = Dataset("loss_epochs", INTEGER, (("E",),), presence="optional")
OPR = Dataset(OPR_WEIGHTS, REAL, (("K", "C"),), presence="optional")
PHOTON_COUNTS = Dataset("probe_photon_counts", REAL, (("N",),), "1", presence="optional")

ROOT_DATASETS = (
    PROBE,
    OBJECT,
    OBJECT_LAYER_SPACING,
    POSITION_X,
    POSITION_Y,
    POSITION_INDEXES,
    LOSS_VALUES,
    LOSS_EPOCHS,
    OPR,
    PHOTON_COUNTS,
)

RAW_DATA = "raw_data"
AXIS_CANONICAL = Attribute("axis_canonical", "str", presence="required", default="NHW")
SELECTION = Attribute("selection", "str")
ORIGINAL_AXIS_ORDER = Attribute("original_axis_order", "str", default="NHW")
# On any dataset of /raw_data, where its name or type alone would not give back the NPZ member it was.
SOURCE_MEMBER = Attribute("source_member", "str")
SOURCE_DTYPE = Attribute("source_dtype", "str")
AXIS_ORDERS = ("NHW", "HNW", "HWN")
# On frames that were amplitudes and are stored as counts: how the amplitudes come back.
QUANTITY = Attribute("quantity", "str")
AMPLITUDE_DTYPE = Attribute("amplitude_dtype", "str")
OPERATION_ORDER = Attribute("operation_order", "str")
AMPLITUDE_SCALE = Attribute("amplitude_scale", "float64")
RECIPE = (QUANTITY, AMPLITUDE_DTYPE, OPERATION_ORDER, AMPLITUDE_SCALE)
QUANTITIES = ("counts",)
COUNTS = ("uint8", "uint16", "uint32")
AMPLITUDES = ("float32", "float64")
NO_OPERATION = "none"
_ROOTS = tuple(f"sqrt:{dtype}" for dtype in AMPLITUDES)
_SCALINGS = tuple(f"{step}:{dtype}" for step in ("divide", "multiply") for dtype in AMPLITUDES)
OPERATION_ORDERS = (
    NO_OPERATION,
    *_ROOTS,
    *_SCALINGS,
    *(f"{root},{scaling}" for root in _ROOTS for scaling in _SCALINGS),
)

DIFFRACTION = Dataset(
    "raw_data/diffraction",
    FRAME,
    (("N", "H", "W"),),
    presence="optional",
    attributes=(AXIS_CANONICAL, ORIGINAL_AXIS_ORDER, SELECTION, *RECIPE, INTERPRETATION, FRAMES_TRANSFORM),
)
RAW_REAL = (*REAL, "float16")
RAW_X = Dataset("raw_data/xcoords", (*RAW_REAL, *INTEGER), (("N",),), "px")
RAW_Y = Dataset("raw_data/ycoords", (*RAW_REAL, *INTEGER), (("N",),), "px")
RAW_DATASETS = (
    DIFFRACTION,
    RAW_X,
    RAW_Y,
    Dataset("raw_data/xcoords_start", (*RAW_REAL, *INTEGER), (("N",),), "px", presence="optional"),
    Dataset("raw_data/ycoords_start", (*RAW_REAL, *INTEGER), (("N",),), "px", presence="optional"),
    Dataset("raw_data/scan_index", (*INTEGER, *RAW_REAL, "bool"), (("N",),), presence="optional"),
    Dataset("raw_data/probeGuess", PROBE.dtypes, PROBE.shapes, presence="optional"),
    Dataset("raw_data/objectGuess", OBJECT.dtypes, OBJECT.shapes, presence="optional"),
)

# For NeXus viewers, which find their way from the root by attributes.
ENTRY = "entry"
PHASE = Dataset(
    "entry/object_phase/phase",
    ("float32",),
    OBJECT.shapes,
    "rad",
    presence="optional",
    attributes=(UNITS, INTERPRETATION),
)
PHASE_Y = Dataset("entry/object_phase/y_m", ("float64",), (("H",),), "m", presence="optional", attributes=(UNITS,))
PHASE_X = Dataset("entry/object_phase/x_m", ("float64",), (("W",),), "m", presence="optional", attributes=(UNITS,))
VIEW_DATASETS = (PHASE, PHASE_Y, PHASE_X)
PLOTS = (
    Plot("entry/frames", DIFFRACTION, (POSITION_X, None, None), (POSITION_Y,)),
    Plot("entry/object_phase", PHASE, (PHASE_Y, PHASE_X)),
    Plot("entry/scan", POSITION_INDEXES, (POSITION_X, POSITION_Y)),
)
DATASETS = (*ROOT_DATASETS, *RAW_DATASETS, *VIEW_DATASETS)

# Of ptychodus's workflow folders.
PRODUCT_NAME = "product.h5"
DIFFRACTION_NAME = "diffraction.h5"

# PtychoPINN's NPZ keys.
FRAME_KEYS = ("diff3d", "diffraction")
START_KEYS = ("xcoords_start", "ycoords_start")
METADATA_KEY = "_metadata"
