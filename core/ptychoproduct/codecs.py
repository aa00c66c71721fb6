"""Names of codecs, and the HDF5 filters that each stands for.

The spelling is ``[shuffle+]NAME[:LEVEL][,block=SIZE]``: ``none``, ``gzip:4``, ``shuffle+gzip:4``, ``zstd:3``,
``bitshuffle-lz4``, ``bitshuffle-zstd:1,block=64KiB``.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

import hdf5plugin
import numpy as np

from ptychoproduct.errors import OptionError
from ptychoproduct.sizes import parse_size, size_name


@dataclass(frozen=True)
class _Family:
    levels: range  # empty: the codec has none
    default_level: int
    blocks: bool  # whether its block size can be set
    shuffles: bool  # whether HDF5's shuffle may stand before it


_FAMILIES = {
    "none": _Family(range(0), 0, blocks=False, shuffles=False),
    "gzip": _Family(range(10), 4, blocks=False, shuffles=True),
    "zstd": _Family(range(1, 23), 3, blocks=False, shuffles=True),
    "bitshuffle-lz4": _Family(range(0), 0, blocks=True, shuffles=False),
    "bitshuffle-zstd": _Family(range(1, 23), 1, blocks=True, shuffles=False),
}
_SPELLING = re.compile(r"(?P<shuffle>shuffle\+)?(?P<name>[a-z0-9-]+)(?::(?P<level>\d{1,9}))?(?:,block=(?P<block>\w+))?")
MAX_BLOCK_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Codec:
    """A compression, independent of the data it is used on.

    Parameters
    ----------
    name : str
        One of `codec_names`.
    level : int
        Compression level; 0 where the codec has none.
    block_bytes : int
        Bytes that bitshuffle transposes and compresses at once; 0 for the filter's own default.
    shuffle : bool
        HDF5's byte shuffle before the codec.
    """

    name: str
    level: int = 0
    block_bytes: int = 0
    shuffle: bool = False

    def __str__(self) -> str:
        text = ("shuffle+" if self.shuffle else "") + self.name
        if _FAMILIES[self.name].levels:
            text += f":{self.level}"
        if self.block_bytes:
            text += f",block={size_name(self.block_bytes)}"
        return text

    def dataset_options(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        """Keywords for ``h5py.Group.create_dataset``.

        Parameters
        ----------
        dtype : numpy.dtype
            Type of the dataset; bitshuffle counts its blocks in elements.
        """
        options: dict[str, Any] = {"shuffle": True} if self.shuffle else {}
        if self.name == "gzip":
            options |= {"compression": "gzip", "compression_opts": self.level}
        elif self.name == "zstd":
            options |= hdf5plugin.Zstd(clevel=self.level)
        elif self.name.startswith("bitshuffle-"):
            # bitshuffle wants a multiple of eight elements a block.
            elements = self.block_bytes // dtype.itemsize // 8 * 8
            if self.name == "bitshuffle-lz4":
                options |= hdf5plugin.Bitshuffle(nelems=elements, cname="lz4")
            else:
                options |= hdf5plugin.Bitshuffle(nelems=elements, cname="zstd", clevel=self.level)
        return options


# Measured: a block of 64 KiB is three times faster than bitshuffle's own 8 KiB, at a better ratio.
DEFAULT = Codec("bitshuffle-zstd", 1, 64 * 1024)


def codec_names() -> list[str]:
    """Names of all codecs, without levels."""
    return list(_FAMILIES)


def parse_codec(text: str) -> Codec:
    """Read a codec's spelling.

    Parameters
    ----------
    text : str
        For example ``"bitshuffle-zstd:1,block=64KiB"``; parts left out take the codec's default.

    Raises
    ------
    OptionError
        The text is no codec; the message names the nearest spelling.
    """
    match = _SPELLING.fullmatch(text.strip())
    family = _FAMILIES.get(match["name"]) if match else None
    if match is None or family is None:
        near = difflib.get_close_matches(text.lower(), codec_names(), n=1, cutoff=0.0)[0]
        raise OptionError(
            "compression", found=repr(text), expected=f"one of {', '.join(codec_names())}; nearest: {near}"
        )
    name = match["name"]
    level = family.default_level
    if match["level"] is not None:
        level = int(match["level"])
        if level not in family.levels:
            levels = (
                f"{name}:{family.levels[0]} to {name}:{family.levels[-1]}" if family.levels else f"{name}, no level"
            )
            raise OptionError("compression", found=repr(text), expected=levels)
    if match["shuffle"] and not family.shuffles:
        raise OptionError("compression", found=repr(text), expected=f"{name} without shuffle")
    block_bytes = DEFAULT.block_bytes if family.blocks else 0
    if match["block"] is not None:
        if not family.blocks:
            raise OptionError("compression", found=repr(text), expected=f"{name} without block=")
        block_bytes = _parse_block(match["block"], text)
    return Codec(name, level, block_bytes, bool(match["shuffle"]))


def _parse_block(size: str, text: str) -> int:
    try:
        nbytes = parse_size(size)
    except ValueError:
        nbytes = 0
    # 128 bytes are bitshuffle's least block, 16 elements of 8 bytes.
    if nbytes < 128 or nbytes > MAX_BLOCK_BYTES or nbytes % 128:
        raise OptionError(
            "compression", found=repr(text), expected="block= a multiple of 128 up to 64MiB, such as 64KiB"
        )
    return nbytes
