"""What NPZ files hold beside frames, under PtychoPINN's names or under those of ptychodus's products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.scan.field_layouts import FRAME_NUMBERS
from ptychoproduct.scan.scan import Reconstruction

# Positions, and their unit.
POSITION_KEYS = (("xcoords", "ycoords", None), ("probe_position_x_m", "probe_position_y_m", "m"))
PTYCHOPINN_KEYS = ("xcoords", "ycoords", "scan_index", "probeGuess", "objectGuess")
_PTYCHODUS_KEYS = (
    *("probe_position_x_m", "probe_position_y_m", "probe_position_indexes", "probe", "object"),
    *("opr_weights", "object_layer_spacing_m", "loss_values", "loss_epochs", "probe_photon_counts"),
)
_TEXTS = ("name", "comments", "polarization", "particle")
# True where the object is ones that stand for an unknown one; ptychodus has no such key.
SYNTHETIC_KEY = "object_synthetic"


def is_ptychodus_product(archive: NpzArchive) -> bool:
    """Whether an archive is a product that ptychodus wrote."""
    return set(_PTYCHODUS_KEYS[:5]) <= set(archive.members)


def own_keys(archive: NpzArchive) -> Sequence[str]:
    """Return the keys that a product gets anew from the scan."""
    return (
        (*PTYCHOPINN_KEYS, *_PTYCHODUS_KEYS, FRAME_NUMBERS, SYNTHETIC_KEY)
        if is_ptychodus_product(archive)
        else PTYCHOPINN_KEYS
    )


def read_if_there(archive: NpzArchive, key: str) -> Array | None:
    """Read a member whole; None where the archive has none of that key."""
    array = archive.members.get(key)
    return None if array is None else array.read()


def npz_reconstruction(archive: NpzArchive) -> Reconstruction:
    """Read the results that a product of ptychodus's has; none of other files."""
    if not is_ptychodus_product(archive):
        return Reconstruction()
    spacing_m, losses = (read_if_there(archive, key) for key in ("object_layer_spacing_m", "loss_values"))
    return Reconstruction(
        opr_weights=read_if_there(archive, "opr_weights"),
        object_layer_spacing_m=() if spacing_m is None else np.atleast_1d(spacing_m),
        loss_values=() if losses is None else losses,
        loss_epochs=None if losses is None else read_if_there(archive, "loss_epochs"),
        probe_photon_counts=read_if_there(archive, "probe_photon_counts"),
    )


def npz_texts(archive: NpzArchive) -> dict[str, Any]:
    """Read name, comments and the like of a product of ptychodus's, by the fields of `ExportMeta`; none of others."""
    if not is_ptychodus_product(archive):
        return {}
    found = {key: archive.members[key] for key in (*_TEXTS, "far_field") if key in archive.members}
    values = {key: array.read().item() for key, array in found.items() if not array.shape and array.dtype.kind in "Ub"}
    return {key: value for key, value in values.items() if value != ""}
