"""All codecs, with what each offers and needs."""

from __future__ import annotations

from dataclasses import dataclass

from ptychoproduct.compression.codecs import FAMILIES, Codec, Family
from ptychoproduct.compression.filters import filter_name
from ptychoproduct_native import DEFLATE_ID, SZIP_ID, ZSTD_SETTINGS

_BUILT_IN = {0: "any HDF5", DEFLATE_ID: "any HDF5 with zlib", SZIP_ID: "an HDF5 with szip or libaec"}


@dataclass(frozen=True)
class CodecInfo:
    """What a codec offers and needs.

    Parameters
    ----------
    name : str
    levels : str
        Least and most, such as ``"1-22"`` or ``"2-32, even"``; empty where there are none.
    spelling : str
        With all its defaults.
    parts : tuple of str
        Which parts may stand beside the name: ``"shuffle+"``, ``",block=SIZE"`` and so on.
    filter_id : int
        HDF5's number of the filter; 0 for none.
    needs : str
        What a reader must have.
    """

    name: str
    levels: str
    spelling: str
    parts: tuple[str, ...]
    filter_id: int
    needs: str


def list_codecs() -> list[CodecInfo]:
    """Describe all codecs, those that any HDF5 reads first."""
    return [_info(name, family) for name, family in FAMILIES.items()]


def _info(name: str, family: Family) -> CodecInfo:
    parts = {"shuffle+": family.shuffles, **{f":{name}": family.settings for name in ZSTD_SETTINGS}}
    parts |= {" ".join(f",{transform}" for transform in family.transforms): bool(family.transforms)}
    parts |= {",block=SIZE": family.block_bytes is not None, "+fletcher32": True}
    plugin = filter_name(family.filter_id).partition(" ")[0]
    return CodecInfo(
        name,
        _levels(family.levels),
        str(Codec(name, family.default_level)),
        tuple(part for part, there in parts.items() if there),
        family.filter_id,
        _BUILT_IN.get(family.filter_id, f"hdf5plugin ({plugin})"),
    )


def _levels(levels: range) -> str:
    even = ", even" if levels.step == 2 else ""
    return f"{levels[0]}-{levels[-1]}{even}" if levels else ""
