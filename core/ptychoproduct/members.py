"""Names: of a scan's archive members, and of the datasets that keep them."""

from __future__ import annotations

from collections.abc import Container

from ptychoproduct import contract

NPY_SUFFIX = ".npy"
_MOST_NAME_BYTES = 0xFFFF  # by the ZIP format


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


def is_member_name(name: str) -> bool:
    """Whether a name is one that an archive can hold, and that leads to no other folder when it is unpacked."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return False
    if not encoded or len(encoded) > _MOST_NAME_BYTES or b"\0" in encoded or b"\\" in encoded:
        return False
    return not name.startswith("/") and ".." not in name.split("/")
