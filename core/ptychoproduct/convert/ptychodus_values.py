"""What a product says, by the names that ptychodus gives it in its NPZ and CXI files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.convert.importer import ImportSummary
from ptychoproduct.hdf5 import arrays
from ptychoproduct.hdf5.local_links import local_dataset
from ptychoproduct.model import contract
from ptychoproduct.model.geometry import resolve_metadata, with_detector_pixels
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.patterns import AMPLITUDE
from ptychoproduct.product.photon_counts import PhotonCounts
from ptychoproduct.product.reader import Frames, Product
from ptychoproduct.scan.field_layouts import BAD_PIXELS

_SAMPLED_BYTES = 8 * 1024**2
# In /raw_data, and held elsewhere: the same positions in metres, probe, object and frames.
_HELD = ("xcoords", "ycoords", "probeGuess", "objectGuess", contract.DIFFRACTION.name.rpartition("/")[2])
# The fields of `ExportMeta` by ptychodus's names.
_NAMES = {
    f"{of}{attribute.name}": attribute.field
    for of, attributes in (
        ("", contract.ROOT_ATTRIBUTES),
        (f"{contract.OBJECT.name}_", contract.OBJECT.attributes),
        (f"{contract.PROBE.name}_", contract.PROBE.attributes),
    )
    for attribute in attributes
    if attribute.field
}


def known_metadata(product: Product) -> dict[str, Any]:
    """Return what a product says by the fields of `ExportMeta`, and the detector's pixels that follow from it."""
    said = {
        name: value
        for name, value in vars(product.meta).items()
        if value is not None and (isinstance(value, bool) or value != 0 or name.startswith("object_center"))
    }
    meta = resolve_metadata(ExportMeta(**said))
    if product.frames is not None:
        meta = with_detector_pixels(meta, product.frames.shape)
    return {name: getattr(meta, name) for name, origin in meta.origins.items() if origin != "default"}


def by_ptychodus_names(known: dict[str, Any]) -> dict[str, Any]:
    """Return metadata by ptychodus's names."""
    return {name: known[field] for name, field in _NAMES.items() if field in known}


def results(product: Product) -> dict[str, Array]:
    """Return what belongs to positions, probe and object, by ptychodus's names; nothing that is empty."""
    found = {
        contract.OPR.name: product.opr_weights,
        contract.OBJECT_LAYER_SPACING.name: product.object_layer_spacing_m,
        contract.LOSS_VALUES.name: product.loss_values,
        contract.LOSS_EPOCHS.name: product.loss_epochs,
        contract.PHOTON_COUNTS.name: product.probe_photon_counts,
    }
    return {name: values for name, values in found.items() if values is not None and values.size}


def counted_frames(
    product: Product, wanted: bool, patterns_are: str, bad_values: Sequence[float] | None
) -> tuple[Frames, PhotonCounts] | tuple[None, None]:
    """Return a product's frames, and what makes photon counts of them; twice None where there are none, or not wanted.

    Raises
    ------
    OptionError
        It is not clear what frames hold.
    """
    if product.frames is None or not wanted:
        return None, None
    frames = product.frames.counts or product.frames
    sample = frames[:: max(1, frames.nbytes // _SAMPLED_BYTES)]
    key = contract.DIFFRACTION.name
    return frames, PhotonCounts(frames.shape, sample, patterns_are, bad_values, origin=product.path, key=key)


def mask_of(product: Product, counts: PhotonCounts) -> Array:
    """Return the pixels that are bad by the scan's own mask, or by the values of the frames, [H, W], bool.

    Warns
    -----
    ProductWarning
        Of values that mark bad pixels.
    """
    own = _own_bad_pixels(product)
    own = np.zeros(counts.bad_pixels.shape, np.bool_) if own is None else own
    counts.warn_of_values(own)
    return counts.bad_pixels | own


def summary_of_counts(
    archive: Path, members: Sequence[str], frames: Frames | None, counts: PhotonCounts | None
) -> ImportSummary:
    """Describe a finished file of counts."""
    return ImportSummary(
        archive=archive,
        members=tuple(members),
        frames=0 if frames is None else len(frames),
        frame_shape=() if frames is None else frames.shape[1:],
        frame_dtype="" if counts is None else str(counts.patterns.dtype),
        axis_order="NHW",
        file_bytes=archive.stat().st_size,
    )


def _own_bad_pixels(product: Product) -> Array | None:
    """Return the mask beside the frames of a product, which is turned like them."""
    mask = local_dataset(product.file, f"{contract.RAW_DATA}/{BAD_PIXELS}")
    if mask is None or product.frames is None or mask.dtype.kind not in "biuf":
        return None
    return arrays.read_array(mask).astype(np.bool_) if mask.shape == product.frames.shape[1:] else None


def not_held(product: Product, counts: PhotonCounts | None, numbers: Array) -> list[str]:
    """Name what a file of counts, positions, probe, object and their metadata does not hold of a product.

    Parameters
    ----------
    product : Product
    counts : PhotonCounts or None
        What was made of the frames.
    numbers : array, [N], int
        Of the positions, in that file.
    """
    lost = []
    if not np.array_equal(product.position_indexes, numbers):
        lost.append(contract.POSITION_INDEXES.name)
    if counts is not None and counts.patterns.quantity == AMPLITUDE:
        lost.append("the amplitudes, of which it has the photon counts")
    held = {*_HELD, *_NAMES}
    if counts is not None and _own_bad_pixels(product) is not None:
        held.add(BAD_PIXELS)
    index = local_dataset(product.file, f"{contract.RAW_DATA}/scan_index")
    if index is not None and np.array_equal(arrays.read_array(index), numbers):
        held.add("scan_index")
    lost += [f"{contract.RAW_DATA}/{name}" for name in product.raw_data or () if name not in held]
    return lost
