"""What files say of energy, distance and pixel sizes: where known programs keep it, and in which unit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
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
from ptychoproduct.scan.field_layouts import LAYOUTS, detector_places
from ptychoproduct.scan.layout import MetadataPlace
from ptychoproduct.scan.npz_parts import npz_texts
from ptychoproduct.scan.places import as_text, layouts_of, named, read_place, text_at
from ptychoproduct.scan.product_source import product_parts
from ptychoproduct.scan.ptypy import ptypy_center

# A number larger than that is no energy of a photon in joules, nor one in metres a wavelength.
_MOST_ENERGY_J = 1e-9
_MOST_WAVELENGTH_M = 1e-5
_NAMES = tuple(name for layout in LAYOUTS for name in layout.names)
# How NeXus files spell units, where `UNITS` has them otherwise.
SPELLINGS = {
    **dict.fromkeys(("metre", "metres", "meter", "meters"), "m"),
    **dict.fromkeys(("micron", "microns", "micrometer", "micrometre", "µm", "μm"), "um"),
    **dict.fromkeys(("millimeter", "millimetre"), "mm"),
    **dict.fromkeys(("nanometer", "nanometre"), "nm"),
    **dict.fromkeys(("second", "seconds"), "s"),
    **dict.fromkeys(("degree", "degrees"), "deg"),
    **dict.fromkeys(("radian", "radians"), "rad"),
    **dict.fromkeys(("angstroms", "ångström"), "Å"),
}
# One over a length: 1/nm, A^-1, $A^{-1}$.
_ORNAMENTS = str.maketrans("", "", "[]{}$()_ ")
_RECIPROCAL = re.compile(r"1/(\w+)|(\w+)\^?-1")
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
    values = ptypy_center(source) | {name: value for name, (value, _) in hdf5_values(source, frames).items()}
    particle = None if frames is None else _particle(source, frames)
    return ExportMeta(**values, **{"particle": particle, **cxi_texts(source)})


def hdf5_values(source: Hdf5Source, frames: h5py.Dataset | None = None) -> dict[str, tuple[Any, str]]:
    """Return the numbers that a file, which is no product, says of itself by their fields, and where it does."""
    known = [place for layout in layouts_of(source) for place in layout.metadata]
    known += [MetadataPlace(name, f"/{key}", unit) for key, names, unit in _NAMES for name in names]
    if frames is not None:
        known = [*detector_places(frames.parent.name), *known]
    found = [*_hdf5_values(source, known, frames)]
    for attributes in (None if frames is None else frames.attrs, source.attributes("/")):
        if attributes is not None:
            with source.reading("attributes"):
                found += _named_values(attributes)
    return _first_values(found, source.path)


def _particle(source: Hdf5Source, frames: h5py.Dataset) -> str | None:
    """Return the particle of the layout that the frames have; None where it does not say one."""
    for layout in layouts_of(source):
        for path in layout.frames if layout.particle is not None else ():
            if any(source.find(name) == frames for name in named(source, path)):
                return layout.particle
    return None


def npz_metadata(archive: NpzArchive) -> ExportMeta:
    """Read the numbers of known names in an NPZ file; None for everything else."""
    values = npz_values(archive)
    return ExportMeta(**{name: value for name, (value, _) in values.items()}, **npz_texts(archive))


def npz_values(archive: NpzArchive) -> dict[str, tuple[Any, str]]:
    """Return the numbers that an NPZ file says of itself by their fields, and their keys."""
    members = archive.members
    found = {
        key: members[key].read()
        for key, _, _ in _NAMES
        if key in members and members[key].is_array and math.prod(members[key].shape) == 1
    }
    return _first_values(_named_values(found), archive.path)


def _is_unknown(name: str, value: Any) -> bool:
    """Whether the value of a product stands for one that is not known; a centre of zero is a centre."""
    return value == 0 and not isinstance(value, bool) and not name.startswith("object_center")


def _hdf5_values(
    source: Hdf5Source, known: Iterable[MetadataPlace], frames: h5py.Dataset | None
) -> Iterator[tuple[str, str, Any, str]]:
    for place, path in ((known_place, path) for known_place in known for path in named(source, known_place.path)):
        try:
            numbers = read_place(source, path)
        except SourceError:  # a link to a file that is not there must not keep the scan from being read
            continue
        if numbers is None or not numbers.size:
            continue
        values = numbers.reshape(-1)
        values = values if place.index is None else values[place.index]
        unit = "" if "@" in path else as_text(source.attributes(path).get("units"))
        if place.unit.startswith("/"):  # of a pixel in reciprocal space: N of them are one over that at the object
            texts = (text_at(source, name) for name in named(source, place.unit))
            length = _RECIPROCAL.fullmatch(next(texts, "").translate(_ORNAMENTS))
            if length is None or frames is None or not np.all(values > 0):
                continue
            unit = length[1] or length[2]
            values = 1 / (values * frames.shape[-1 if "width" in place.field else -2])
        yield place.field, path, values, unit or place.unit


def _named_values(found: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, str]]:
    for key, names, unit in _NAMES:
        if key in found:
            for name in names:
                yield name, key, found[key], unit


def first_values(found: Iterable[tuple[str, str, Any, str]], origin: Origin) -> dict[str, Any]:
    """Take the first value of each field that can be right, in the field's unit; given field, key, number and unit."""
    return {name: value for name, (value, _) in _first_values(found, origin).items()}


def _first_values(found: Iterable[tuple[str, str, Any, str]], origin: Origin) -> dict[str, tuple[Any, str]]:
    """Take the first value of each field that can be right, in the field's unit, and its key."""
    values: dict[str, tuple[Any, str]] = {}
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
                values[name] = (value, key)
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
    return convert_unit(value, SPELLINGS.get(unit.strip().lower(), unit), wanted)
