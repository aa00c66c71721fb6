"""What HDF5 files say of energy, distance and pixel sizes: where known programs keep it, and in which unit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import h5py
import numpy as np

from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.contract_fields import read_metadata
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.scan.cxi import cxi_texts
from ptychoproduct.scan.field_layouts import detector_places
from ptychoproduct.scan.field_values import NAMES, checked_values, named_values
from ptychoproduct.scan.layout import MetadataPlace
from ptychoproduct.scan.places import as_text, layouts_of, named, read_place, text_at
from ptychoproduct.scan.product_source import product_parts
from ptychoproduct.scan.ptypy import ptypy_center

# One over a length: 1/nm, A^-1, $A^{-1}$.
_ORNAMENTS = str.maketrans("", "", "[]{}$()_ ")
_RECIPROCAL = re.compile(r"1/(\w+)|(\w+)\^?-1")


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
    known += [MetadataPlace(name, f"/{key}", unit) for key, names, unit in NAMES for name in names]
    if frames is not None:
        known = [*detector_places(frames.parent.name), *known]
    found = [*_hdf5_values(source, known, frames)]
    for attributes in (None if frames is None else frames.attrs, source.attributes("/")):
        if attributes is not None:
            with source.reading("attributes"):
                found += named_values(attributes)
    return checked_values(found, source.path)


def _particle(source: Hdf5Source, frames: h5py.Dataset) -> str | None:
    """Return the particle of the layout that the frames have; None where it does not say one."""
    for layout in layouts_of(source):
        for path in layout.frames if layout.particle is not None else ():
            if any(source.find(name) == frames for name in named(source, path)):
                return layout.particle
    return None


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
