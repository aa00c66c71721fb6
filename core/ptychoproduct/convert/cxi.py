"""From a product to a CXI file, the exchange format of coherent imaging.

F. R. N. C. Maia, The Coherent X-ray Imaging Data Bank, Nature Methods 9, 854 (2012), version 1.6 of the format. What it
has no place for is where ptychodus 1.7.0 writes it. Translations are those of ptychodus, x along columns and y along
rows; cdtools takes the same numbers for the sample's, in a frame whose axes are turned, and finds the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Progress
from ptychoproduct.compression.codecs import Codec, parse_codec
from ptychoproduct.convert.importer import ImportSummary
from ptychoproduct.convert.ptychodus_values import (
    by_ptychodus_names,
    counted_frames,
    known_metadata,
    mask_of,
    not_held,
    results,
    summary_of_counts,
)
from ptychoproduct.convert.undamaged import undamaged_product
from ptychoproduct.errors import OutputError, warn
from ptychoproduct.hdf5.chunks import create_chunked
from ptychoproduct.hdf5.output import hdf5_errors, new_hdf5_file
from ptychoproduct.model import contract
from ptychoproduct.model.wavelength import ELEMENTARY_CHARGE_C, wavelength_m
from ptychoproduct.product.photon_counts import PhotonCounts
from ptychoproduct.product.reader import Frames, Product
from ptychoproduct.streaming.chunk_stream import write_rows
from ptychoproduct.streaming.chunk_target import RowOutput
from ptychoproduct.system.atomic import atomic_output
from ptychoproduct.system.resources import Resources
from ptychoproduct_native import OutputFile

CXI_SUFFIX = ".cxi"
# What every HDF5 library decodes, those of MATLAB and of 2008 too.
_COMPRESSED, _PLAIN = "shuffle+gzip:1", "none"
_VERSION = 160
_IS_BAD = 1  # CXI_PIXEL_IS_INVALID
_ENTRY = "entry_1"
_SOURCE, _DETECTOR = f"{_ENTRY}/instrument_1/source_1", f"{_ENTRY}/instrument_1/detector_1"
_TRANSLATION, _PROBE, _OBJECT = f"{_ENTRY}/sample_1/geometry_1/translation", f"{_ENTRY}/image_1", f"{_ENTRY}/image_2"
# Metadata that CXI has a place for, with the unit.
_PLACES = {
    "name": (f"{_ENTRY}/title", ""),
    "comments": (f"{_ENTRY}/experiment_description", ""),
    "detector_object_distance_m": (f"{_DETECTOR}/distance", "m"),
    "detector_pixel_width_m": (f"{_DETECTOR}/x_pixel_size", "m"),
    "detector_pixel_height_m": (f"{_DETECTOR}/y_pixel_size", "m"),
}
# Without these, most programs cannot use the frames.
_WANTED = ("probe_energy_eV", "detector_distance_m", "detector_pixel_width_m")


def import_product_to_cxi(
    path: str | PathLike[str],
    cxi_path: str | PathLike[str],
    *,
    include_diffraction: bool = True,
    compress: bool = False,
    patterns_are: str = "auto",
    bad_values: Sequence[float] | None = None,
    accept_damage: bool = False,
    overwrite: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> ImportSummary:
    """Convert a product to a CXI file, which ptychodus, cdtools and others read, streaming its frames.

    Parameters
    ----------
    path : path
        A product of this package, of any ptychodus, or of PtychoPINN's exporter.
    cxi_path : path
        ``*.cxi``; appears when it is complete.
    include_diffraction : bool
        Whether it gets the frames, as photon counts; and then numbers positions from 0, because ptychodus does so with
        the frames of a CXI file.
    compress : bool
        Whether frames are deflated, which all programs can read; they are stored as they are otherwise.
    patterns_are : {"auto", "amplitude", "counts"}
        What the product's frames are, see `choose_patterns`.
    bad_values : sequence of float, optional
        See `DiffractionFile`.
    accept_damage : bool
        Whether a damaged product is converted as far as it can be read; a `DamageWarning` names what is damaged. Frames
        that are lost become zeros.
    overwrite : bool
        Whether an existing file may be replaced.
    force : bool
        Whether that may be a read-only file.
    progress : callable, optional
        Called with a number of bytes whenever frames of that size have been written.

    Returns
    -------
    ImportSummary

    Raises
    ------
    SourceError
        There is no HDF5 file.
    ContractError
        The file is no product, or is damaged.
    OutputError
        The CXI file cannot be written there.
    OptionError
        It is not clear whether frames are amplitudes or counts.

    Warns
    -----
    ProductWarning
        The file does not hold all that the product has, or lacks what programs need.
    """
    path, cxi_path = Path(path), Path(cxi_path)
    if cxi_path.suffix.lower() != CXI_SUFFIX:
        raise OutputError(cxi_path, found=f"suffix {cxi_path.suffix!r}", expected=CXI_SUFFIX)
    with undamaged_product(path, accept_damage) as product:
        frames, counts = counted_frames(product, include_diffraction, patterns_are, bad_values)
        numbers = product.position_indexes if frames is None else np.arange(len(product.x_m))
        with (
            atomic_output(cxi_path, overwrite=overwrite, force=force, sources=(path,)) as part,
            new_hdf5_file(part, cxi_path) as (file, output),
            hdf5_errors(cxi_path, output),
        ):

            def on_progress(nbytes: int) -> None:
                output.check()  # stops early if the disk is full
                if progress is not None:
                    progress(nbytes)

            known = known_metadata(product)
            if frames is not None and counts is not None:
                codec = parse_codec(_COMPRESSED if compress else _PLAIN)
                _write_frames(file, output, frames, counts, codec, Resources(progress=on_progress))
                _put(file, f"{_DETECTOR}/mask", np.where(mask_of(product, counts), np.uint32(_IS_BAD), np.uint32(0)))
            _write_scan(file, product, known, numbers)
            members: list[str] = []
            file.visititems(lambda name, found: members.append(name) if isinstance(found, h5py.Dataset) else None)
        missing = [name for name in _WANTED if frames is not None and name not in known]
        for problem, names in (
            ("does not hold", not_held(product, counts, numbers)),
            ("lacks what most programs need; give it when the scan is converted:", missing),
        ):
            if names:
                warn(f"{cxi_path}: {problem} {', '.join(names)}")
        return summary_of_counts(cxi_path, tuple(members), frames, counts)


def _write_frames(
    file: h5py.File, output: OutputFile, frames: Frames, counts: PhotonCounts, codec: Codec, resources: Resources
) -> None:
    """Write the frames as counts; again, where the sample was misleading."""
    name = f"{_DETECTOR}/data"
    while True:
        dataset = create_chunked(file, name, frames.shape[1:], counts.begin(), codec, len(frames))
        rows = frames.rows(resources)
        write_rows([RowOutput(dataset, counts.fill, file=output)], rows, resources)
        if counts.is_complete:
            rows.reader.tell_damage("frames")
            break
        del file[name]
        resources.progress(-frames.nbytes)
    dataset.attrs["axes"] = "translation:y:x"
    _link(file, f"{_ENTRY}/data_1", "data", f"/{name}")


def _write_scan(file: h5py.File, product: Product, known: dict[str, Any], numbers: Array) -> None:
    """Write everything but frames and mask."""
    _put(file, "cxi_version", _VERSION)
    _put(file, "number_of_entries", 1)
    _put(file, f"{_ENTRY}/program_name", "ptychoproduct")
    named = by_ptychodus_names(known)
    energy_eV = named.pop(contract.PHOTON_ENERGY.name, None)
    if energy_eV is not None:
        _put(file, f"{_SOURCE}/energy", energy_eV * ELEMENTARY_CHARGE_C, "J")
        _put(file, f"{_SOURCE}/wavelength", wavelength_m(energy_eV, product.meta.particle), "m")
    if named.get("name"):
        _put(file, f"{_ENTRY}/sample_1/name", named["name"])
    for name, value in named.items():
        place, unit = _PLACES.get(name, (f"{_ENTRY}/ptychodus/{name}", ""))
        if value != "":
            _put(file, place, value, unit)
    for name, values in {**results(product), contract.POSITION_INDEXES.name: numbers}.items():
        _put(file, f"{_ENTRY}/ptychodus/{name}", values)
    _put(file, _TRANSLATION, np.stack([product.x_m, product.y_m, np.zeros_like(product.x_m)], axis=1), "m")
    for group in (f"{_ENTRY}/data_1", _DETECTOR):
        _link(file, group, "translation", f"/{_TRANSLATION}")
    for image, of, array in ((_PROBE, "probe", product.probe), (_OBJECT, "object", product.object)):
        _put(file, f"{image}/data", array)
        pixels_m = [known.get(f"{of}_pixel_{side}_m", 0.0) for side in ("width", "height")]
        _put(file, f"{image}/image_size", [pixels_m[0] * array.shape[-1], pixels_m[1] * array.shape[-2], 0.0])
        _put(file, f"{image}/data_space", "real")
    file[f"{_OBJECT}/data"].attrs[contract.SYNTHETIC.name] = product.is_object_synthetic
    _link(file, _SOURCE, "illumination", f"/{_PROBE}/data")


def _put(file: h5py.File, path: str, value: Any, unit: str = "") -> None:
    dataset = file.create_dataset(path, data=value)  # `file[path] = value` would make groups that note the time
    if unit:
        dataset.attrs[contract.UNITS.name] = unit


def _link(file: h5py.File, group: str, name: str, target: str) -> None:
    file.require_group(group)[name] = h5py.SoftLink(target)
