"""What CXI files hold besides frames, positions and probe: an object, ptychodus's results, and texts."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import warn
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model.contract import SYNTHETIC
from ptychoproduct.scan.places import places, text_at
from ptychoproduct.scan.scan import Reconstruction

_ENTRY = "/entry_1"
_RESULTS = f"{_ENTRY}/ptychodus"
_IMAGES = (f"{_ENTRY}/image_2/data", f"{_ENTRY}/image_1/data")  # ptychodus's object; that of other programs
_TEXTS = (
    ("name", (f"{_ENTRY}/title", f"{_ENTRY}/sample_1/name")),
    ("comments", (f"{_ENTRY}/experiment_description",)),
    *((name, (f"{_RESULTS}/{name}",)) for name in ("polarization", "particle")),
)


def cxi_object(source: Hdf5Source) -> tuple[Array | None, bool]:
    """Read the image that is not the probe, and whether we made it for want of an object; None where there is none."""
    found = cxi_object_place(source)
    return (
        (None, False)
        if found is None
        else (
            source.read_pictures(found),
            bool(found.attrs.get(SYNTHETIC.name, False)),
        )
    )


def cxi_object_place(source: Hdf5Source) -> h5py.Dataset | None:
    """Return the image that is not the probe; None where there is none that can be an object.

    Warns
    -----
    ProductWarning
        It has layers whose distances are not known.
    """
    probe = next(filter(None, map(source.find, places(source, "probe"))), None)
    for name in _IMAGES:
        found = source.find(name)
        if found is None or found == probe or found.dtype.kind != "c" or found.ndim not in (2, 3) or not found.size:
            continue
        layers, spacings = found.shape[0] if found.ndim == 3 else 1, len(cxi_results(source).object_layer_spacing_m)
        if spacings == layers - 1:
            return found
        warn(f"{source.path}: {name}: has {layers} layers and {spacings} distances between them; it is not used")
    return None


def cxi_results(source: Hdf5Source) -> Reconstruction:
    """Read weights, distances of layers and losses where ptychodus keeps them."""

    def read(name: str) -> Array | None:
        found = source.find(f"{_RESULTS}/{name}")
        return None if found is None else source.read(found)

    spacing_m, losses = read("object_layer_spacing_m"), read("loss_values")
    return Reconstruction(
        opr_weights=read("opr_weights"),
        object_layer_spacing_m=() if spacing_m is None else np.atleast_1d(spacing_m),
        loss_values=() if losses is None else np.atleast_1d(losses),
        loss_epochs=None if losses is None else read("loss_epochs"),
        probe_photon_counts=read("probe_photon_counts"),
    )


def cxi_texts(source: Hdf5Source) -> dict[str, Any]:
    """Read texts and choices, by the fields of `ExportMeta`; none that is empty."""
    texts: dict[str, Any] = {}
    for field, names in _TEXTS:
        read = (text_at(source, name) for name in names)
        text = next(filter(None, read), "")
        if text:
            texts[field] = text
    far_field = source.find(f"{_RESULTS}/far_field")
    if far_field is not None and far_field.dtype.kind == "b" and far_field.shape == ():
        texts["far_field"] = bool(source.read(far_field))
    return texts
