"""What files say of energy, distance and pixel sizes: where known programs keep it, and in which unit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import OptionError, SourceError, warn
from ptychoproduct.hdf5.contract_fields import read_metadata
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.units import convert_unit, field_unit
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.scan.cxi import cxi_texts
from ptychoproduct.scan.product_source import product_parts

# Texts and choices have no unit, and `field_unit` calls what it does not know a count.
_NUMBERS = tuple(name for name in vars(ExportMeta()) if field_unit(name) != "count" or name == "probe_photon_count")
_CXI = "/entry_1/instrument_1"
_CXI_PTYCHODUS = "/entry_1/ptychodus"
_DETECTORS = ("/entry/instrument/detector", "/entry/instrument/detector/detectorSpecific")
_BEAMS = ("/entry/instrument/beam", "/entry/sample/beam", "/entry/instrument/monochromator")
# A number larger than that is no energy of a photon in joules, nor one in metres a wavelength.
_MOST_ENERGY_J = 1e-9
_MOST_WAVELENGTH_M = 1e-5


@dataclass(frozen=True)
class MetadataPlace:
    """Where a program keeps a value.

    Parameters
    ----------
    field : str
        Of `ExportMeta`.
    path : str
        A dataset in an HDF5 file, from the root.
    unit : str
        Of the number, where the dataset has no attribute ``units``; "J/eV" and "m/Å" are told apart by its size.
    index : int, optional
        Of the value in an array; by default all elements must be the same.
    """

    field: str
    path: str
    unit: str
    index: int | None = None


def _detector(group: str) -> tuple[MetadataPlace, ...]:
    """Return what CXI and NeXus keep in the group of a detector."""
    return (
        MetadataPlace("detector_distance_m", f"{group}/detector_distance", "m"),
        MetadataPlace("detector_distance_m", f"{group}/distance", "m"),
        MetadataPlace("detector_pixel_width_m", f"{group}/x_pixel_size", "m"),
        MetadataPlace("detector_pixel_height_m", f"{group}/y_pixel_size", "m"),
        MetadataPlace("exposure_time_s", f"{group}/count_time", "s"),
        MetadataPlace("probe_energy_eV", f"{group}/photon_energy", "J/eV"),
    )


def _beam(group: str) -> tuple[MetadataPlace, ...]:
    energies = ("incident_energy", "incident_beam_energy", "energy")
    wavelengths = ("incident_wavelength", "wavelength")
    return (
        *(MetadataPlace("probe_energy_eV", f"{group}/{name}", "J/eV") for name in energies),
        *(MetadataPlace("probe_energy_eV", f"{group}/{name}", "m/Å") for name in wavelengths),
    )


_PLACES = (
    # CXI; ptychodus keeps more of it in a group of its own, under the names of the fields
    *_beam(f"{_CXI}/source_1"),
    *_detector(f"{_CXI}/detector_1"),
    *(MetadataPlace(name, f"{_CXI_PTYCHODUS}/{name}", field_unit(name)) for name in _NUMBERS),
    MetadataPlace("mass_attenuation_m2_kg", f"{_CXI_PTYCHODUS}/mass_attenuation_m2_per_kg", "m2/kg"),
    # NeXus
    *(place for group in _BEAMS for place in _beam(group)),
    *(place for group in _DETECTORS for place in _detector(group)),
    # ptypy
    MetadataPlace("probe_energy_eV", "/meta/energy", "keV"),
    MetadataPlace("detector_distance_m", "/meta/distance", "m"),
    MetadataPlace("detector_pixel_height_m", "/meta/psize", "m", 0),
    MetadataPlace("detector_pixel_width_m", "/meta/psize", "m", -1),
)

# Single numbers at the root of HDF5 files and in NPZ files, by name; one size stands for both sides of a pixel.
_SIDES = ("width", "height")
_NAMES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    *((name, (name,), field_unit(name)) for name in _NUMBERS),
    ("photon_energy_eV", ("probe_energy_eV",), "eV"),
    ("energy_eV", ("probe_energy_eV",), "eV"),
    ("energy_keV", ("probe_energy_eV",), "keV"),
    ("lambda", ("probe_energy_eV",), "m/Å"),  # fold_slice
    ("lambda_nm", ("probe_energy_eV",), "nm"),  # NSLS-II
    ("wavelength", ("probe_energy_eV",), "m/Å"),  # PtyLab
    ("wavelength_m", ("probe_energy_eV",), "m"),
    ("wavelength_nm", ("probe_energy_eV",), "nm"),
    ("detector_object_distance_m", ("detector_distance_m",), "m"),
    ("distance_m", ("detector_distance_m",), "m"),
    ("z_m", ("detector_distance_m",), "m"),  # NSLS-II
    ("zo", ("detector_distance_m",), "m"),  # PtyLab
    ("dxd", tuple(f"detector_pixel_{side}_m" for side in _SIDES), "m"),  # PtyLab
    ("ccd_pixel_um", tuple(f"detector_pixel_{side}_m" for side in _SIDES), "um"),  # NSLS-II
    ("detector_pixel_size_m", tuple(f"detector_pixel_{side}_m" for side in _SIDES), "m"),
    ("dx", tuple(f"{of}_pixel_{side}_m" for of in ("object", "probe") for side in _SIDES), "m"),  # fold_slice
    ("object_pixel_size_m", tuple(f"object_pixel_{side}_m" for side in _SIDES), "m"),
    ("probe_pixel_size_m", tuple(f"probe_pixel_{side}_m" for side in _SIDES), "m"),
    ("angle", ("tomography_angle_deg",), "deg"),  # fold_slice
    ("mass_attenuation_m2_per_kg", ("mass_attenuation_m2_kg",), "m2/kg"),
)
# How NeXus files spell units, where `UNITS` has them otherwise.
_SPELLINGS = {
    **dict.fromkeys(("metre", "metres", "meter", "meters"), "m"),
    **dict.fromkeys(("second", "seconds"), "s"),
    **dict.fromkeys(("degree", "degrees"), "deg"),
    **dict.fromkeys(("radian", "radians"), "rad"),
    **dict.fromkeys(("angstroms", "ångström"), "Å"),
}
_MAY_BE_ZERO_OR_LESS = (
    *("tomography_angle_deg", "tilt_angle_deg", "focus_object_distance_m"),
    *("object_center_x_m", "object_center_y_m"),
)


def said_by(metadata: ExportMeta) -> tuple[str, ...]:
    """Return the names of the values that are there."""
    return tuple(name for name, value in vars(metadata).items() if value is not None)


def hdf5_metadata(source: Hdf5Source, frames: h5py.Dataset | None = None) -> ExportMeta:
    """Read what an HDF5 file says of itself, where one of the known layouts has it; None for everything else.

    Parameters
    ----------
    source : Hdf5Source
    frames : h5py.Dataset, optional
        In whose group, and on which itself, there may be more.

    Raises
    ------
    ContractError
        It is a product, and says something that cannot be.
    SourceError
        A value is there, and cannot be read.
    """
    product = product_parts(source)
    if product is not None:
        meta = read_metadata(product[0].file, *product)
        return ExportMeta(**{name: value for name, value in vars(meta).items() if not _is_unknown(name, value)})
    places = [*_PLACES, *(MetadataPlace(name, f"/{key}", unit) for key, names, unit in _NAMES for name in names)]
    if frames is not None:
        places = [*_detector(frames.parent.name), *places]
    found = [*_hdf5_values(source, places)]
    for attributes in (None if frames is None else frames.attrs, source.attributes("/")):
        if attributes is not None:
            with source.reading("attributes"):
                found += _named_values(attributes)
    return ExportMeta(**_first_values(found, source.path), **cxi_texts(source))


def npz_metadata(archive: NpzArchive) -> ExportMeta:
    """Read the numbers of known names in an NPZ file; None for everything else."""
    members = archive.members
    found = {
        key: members[key].read()
        for key, _, _ in _NAMES
        if key in members and members[key].is_array and math.prod(members[key].shape) == 1
    }
    return ExportMeta(**_first_values(_named_values(found), archive.path))


def _is_unknown(name: str, value: Any) -> bool:
    """Whether the value of a product stands for one that is not known; a centre of zero is a centre."""
    return value == 0 and not isinstance(value, bool) and not name.startswith("object_center")


def _hdf5_values(source: Hdf5Source, places: Iterable[MetadataPlace]) -> Iterator[tuple[str, str, Any, str]]:
    for place in places:
        try:
            dataset = source.find(place.path)
        except SourceError:  # a link to a file that is not there must not keep the scan from being read
            continue
        if dataset is None or dataset.dtype.kind not in "iuf" or not dataset.size:
            continue
        values = source.read(dataset).reshape(-1)
        unit = dataset.attrs.get("units")
        unit = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else unit
        yield place.field, place.path, values if place.index is None else values[place.index], unit or place.unit


def _named_values(found: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, str]]:
    for key, names, unit in _NAMES:
        if key in found:
            for name in names:
                yield name, key, found[key], unit


def _first_values(found: Iterable[tuple[str, str, Any, str]], origin: Origin) -> dict[str, Any]:
    """Take the first value of each field that can be right, in the field's unit."""
    values: dict[str, Any] = {}
    for name, key, number, unit in found:
        if name in values:
            continue
        try:
            value = _in_unit(_single(number), unit, field_unit(name))
            if value is None:
                continue
            if value != 0 or name in _MAY_BE_ZERO_OR_LESS:
                checked: dict[str, Any] = {name: value}
                ExportMeta(**checked)
                values |= checked
        except (OptionError, ValueError) as error:
            problem = error.sentence if isinstance(error, OptionError) else str(error)
            warn(f"{origin}: {key}: {problem}; the value is not used for {name}")
    return values


def _single(numbers: Any) -> float | None:
    """Return the one number; None where there is none, NaN standing for that."""
    array: Array = np.asarray(numbers)
    if array.dtype.kind not in "iuf" or not array.size:
        return None
    lowest, highest = float(array.min()), float(array.max())
    if math.isnan(lowest):
        return None
    if lowest != highest:
        raise ValueError(f"has {array.size} values from {lowest:g} to {highest:g}")
    return lowest


def _in_unit(value: float | None, unit: str, wanted: str) -> float | None:
    if value is None or value == 0:
        return value
    if unit == "J/eV":
        unit = "J" if abs(value) < _MOST_ENERGY_J else "eV"
    elif unit == "m/Å":
        unit = "m" if abs(value) < _MOST_WAVELENGTH_M else "Å"
    if unit == wanted or wanted == "count":
        return value
    return convert_unit(value, _SPELLINGS.get(unit.strip().lower(), unit), wanted)
