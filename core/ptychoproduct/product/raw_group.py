"""What the members of a scan are called in ``/raw_data``."""

from __future__ import annotations

from collections.abc import Container

from ptychoproduct.model import contract
from ptychoproduct.npz.npy import NPY_SUFFIX


def link_name(member: str, taken: Container[str]) -> str:
    """Choose the name of a member in ``/raw_data``: its key, or one like it where HDF5 or the contract needs that.

    Parameters
    ----------
    member : str
        The member's file name.
    taken : container of str
        Names in use.
    """
    key = member.removesuffix(NPY_SUFFIX)
    name = key.replace("/", "_")
    if name in ("", "."):
        name = "_"
    reserved = {dataset.name for dataset in contract.RAW_DATASETS if dataset.name != f"{contract.RAW_DATA}/{key}"}
    reserved.add(contract.DIFFRACTION.name)
    while name in taken or f"{contract.RAW_DATA}/{name}" in reserved:
        name += "_"
    return name
