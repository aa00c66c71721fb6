"""What NPZ files hold beside frames, under PtychoPINN's names or under those of ptychodus's products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.scan.field_layouts import FRAME_NUMBERS
from ptychoproduct.scan.field_values import NAMES, checked_values, named_values
from ptychoproduct.scan.positions import Positions
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


def positions_in_npz(archive: NpzArchive, unit: str | None) -> Positions:
    """Read positions under PtychoPINN's names, or under those of ptychodus's products.

    Raises
    ------
    SourceError
        There are none.
    """
    known = (names for names in POSITION_KEYS if names[0] in archive.members and names[1] in archive.members)
    x, y, its_unit = next(known, POSITION_KEYS[0])
    by_ptychodus = its_unit is not None
    return Positions(
        archive.require(x).read(),
        archive.require(y).read(),
        unit or its_unit,
        numbers=read_if_there(archive, "probe_position_indexes") if by_ptychodus else None,
        scan_index=read_if_there(archive, "scan_index"),
        probe=read_if_there(archive, "probe" if by_ptychodus else "probeGuess"),
        object=read_if_there(archive, "object" if by_ptychodus else "objectGuess"),
        files=(archive.path,),
        is_object_synthetic=SYNTHETIC_KEY in archive.members,
        reconstruction=npz_reconstruction(archive),
        metadata=npz_metadata(archive),
    )


def npz_metadata(archive: NpzArchive) -> ExportMeta:
    """Read the numbers of known names in an NPZ file; None for everything else."""
    values = npz_values(archive)
    return ExportMeta(**{name: value for name, (value, _) in values.items()}, **npz_texts(archive))


def npz_values(archive: NpzArchive) -> dict[str, tuple[Any, str]]:
    """Return the numbers that an NPZ file says of itself by their fields, and their keys."""
    members = archive.members
    found = {
        key: members[key].read()
        for key, _, _ in NAMES
        if key in members and members[key].is_array and math.prod(members[key].shape) == 1
    }
    return checked_values(named_values(found), archive.path)
