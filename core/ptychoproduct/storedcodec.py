"""How a dataset is compressed, in the spelling of `codecs`."""

from __future__ import annotations

from collections.abc import Sequence

import h5py

from ptychoproduct.pipeline import filter_name
from ptychoproduct.sizes import size_name

_BITSHUFFLE = {0: "bitshuffle", 2: "bitshuffle-lz4", 3: "bitshuffle-zstd"}


def stored_codec(dataset: h5py.Dataset) -> str:
    """Spell the filters of a dataset.

    Parameters
    ----------
    dataset : h5py.Dataset

    Returns
    -------
    str
        For example ``"shuffle+gzip:4"`` or ``"bitshuffle-zstd:1,block=64KiB"``; ``"none"`` without filters. A filter
        that `codecs` has no name for is spelled with its own and its number. Filters are joined with ``+``, in the
        order in which they encode.
    """
    properties = dataset.id.get_create_plist()
    filters = (properties.get_filter(i) for i in range(properties.get_nfilters()))
    return "+".join(_spell(number, values, name) for number, _, values, name in filters) or "none"


def _spell(number: int, values: Sequence[int], name: bytes) -> str:
    if number == h5py.h5z.FILTER_SHUFFLE:
        return "shuffle"
    if number == h5py.h5z.FILTER_FLETCHER32:
        return "fletcher32"
    if number == h5py.h5z.FILTER_DEFLATE and values:
        return f"gzip:{values[0]}"
    if number == 307 and values:
        return f"bzip2:{values[0]}"
    if number == 32004:
        return "lz4"
    if number == 32015 and values:
        return f"zstd:{values[0]}"
    if number == 32008 and len(values) >= 4:
        return _spell_bitshuffle(values)
    return filter_name(number, name).replace(" ", "")


def _spell_bitshuffle(values: Sequence[int]) -> str:
    """Parameters: two of the version, bytes of an element, elements of a block, compressor, its level."""
    itemsize, elements, compressor, level = (*values[2:6], 0, 0)[:4]
    text = _BITSHUFFLE.get(compressor, f"bitshuffle-{compressor}")
    if compressor == 3:
        text += f":{level}"
    return text + (f",block={size_name(elements * itemsize)}" if elements else "")
