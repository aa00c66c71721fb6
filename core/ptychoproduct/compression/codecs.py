"""Names of codecs, and their HDF5 filters.

The spelling is ``[shuffle+]NAME[:LEVEL][,TRANSFORM][,block=SIZE][+fletcher32]``: ``none``, ``gzip:4``,
``shuffle+zstd:3``, ``lz4``, ``bzip2:9``, ``bitshuffle-zstd:1,block=64KiB``, ``blosc2-zstd:5,bitshuffle``,
``bitshuffle-lz4+fletcher32``. In the place of a level, bitshuffle-zstd has settings for counts
(``bitshuffle-zstd:lazy7``), and szip the number of pixels in a block (``szip:16,nn``).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import h5py
import hdf5plugin
import numpy as np

from ptychoproduct.compression.filters import can_write_szip, filter_name, filters_of
from ptychoproduct.errors import OptionError
from ptychoproduct.system.sizes import parse_size, size_name
from ptychoproduct_native import DEFLATE_ID, FLETCHER32_ID, SHUFFLE_ID, SZIP_ID, ZSTD_SETTINGS, nearest_level

_BZIP2_ID = hdf5plugin.FILTERS["bzip2"]
_LZ4_ID = hdf5plugin.FILTERS["lz4"]
_BITSHUFFLE_ID = hdf5plugin.FILTERS["bshuf"]
_ZSTD_ID = hdf5plugin.FILTERS["zstd"]
_BLOSC2_ID = hdf5plugin.FILTERS["blosc2"]


class Family(NamedTuple):
    """What codecs of a name have in common."""

    filter_id: int  # 0: none
    levels: range  # empty: the codec has none
    default_level: int
    block_bytes: int | None  # where none is given; 0: the whole chunk; None: no block can be set
    shuffles: bool = False  # whether HDF5's shuffle may come before it
    transforms: tuple[str, ...] = ()  # which the filter has of its own
    settings: bool = False  # whether zstd's settings may be in the place of a level


# Blosc 2's number of each transform that loses nothing.
_BLOSC2_TRANSFORMS = {
    "": hdf5plugin.Blosc2.NOFILTER,
    "shuffle": hdf5plugin.Blosc2.SHUFFLE,
    "bitshuffle": hdf5plugin.Blosc2.BITSHUFFLE,
    "delta": hdf5plugin.Blosc2.DELTA,
}
_NEIGHBOURS = "nn"  # szip's: differences of neighbours
# Measured: a block of 64 KiB is three times faster than bitshuffle's own 8 KiB, at a better ratio.
_BITSHUFFLE_BLOCK = 64 * 1024

_BLOSC2: dict[str, Any] = {"block_bytes": None, "transforms": ("shuffle", "bitshuffle", "delta")}

FAMILIES = {
    "none": Family(0, range(0), 0, None),
    "gzip": Family(DEFLATE_ID, range(10), 4, None, shuffles=True),
    "szip": Family(SZIP_ID, range(2, 33, 2), 32, None, transforms=(_NEIGHBOURS,)),
    "zstd": Family(_ZSTD_ID, range(1, 23), 3, None, shuffles=True),
    "lz4": Family(_LZ4_ID, range(0), 0, 0, shuffles=True),
    "bzip2": Family(_BZIP2_ID, range(1, 10), 9, None, shuffles=True),
    "bitshuffle-lz4": Family(_BITSHUFFLE_ID, range(0), 0, _BITSHUFFLE_BLOCK),
    "bitshuffle-zstd": Family(_BITSHUFFLE_ID, range(1, 23), 1, _BITSHUFFLE_BLOCK, settings=True),
    "blosc2-blosclz": Family(_BLOSC2_ID, range(10), 5, **_BLOSC2),
    "blosc2-lz4": Family(_BLOSC2_ID, range(10), 5, **_BLOSC2),
    "blosc2-lz4hc": Family(_BLOSC2_ID, range(10), 5, **_BLOSC2),
    "blosc2-zlib": Family(_BLOSC2_ID, range(10), 5, **_BLOSC2),
    "blosc2-zstd": Family(_BLOSC2_ID, range(10), 5, **_BLOSC2),
}
_TRANSFORMS = (*_BLOSC2["transforms"], _NEIGHBOURS)
_SETTING_NAMES = {number: name for name, number in ZSTD_SETTINGS.items()}
_BLOSC2_COMPRESSORS = {"blosclz": 0, "lz4": 1, "lz4hc": 2, "zlib": 4, "zstd": 5}  # of the filter, not of the library
_SHUFFLE = "shuffle"
_CHECKSUM = "fletcher32"
_SPELLING = re.compile(
    r"(?P<shuffle>shuffle\+)?(?P<name>[a-z0-9-]+)(?::(?P<level>\d{1,9}|[a-z]+\d))?"
    r"(?:,(?P<transform>shuffle|bitshuffle|delta|nn))?(?:,block=(?P<block>\w+))?(?P<checksum>\+fletcher32)?"
)
LEAST_BLOCK_BYTES = 128  # bitshuffle's: 16 elements of 8 bytes
MAX_BLOCK_BYTES = 64 * 1024**2
_BLOCK_RULE = f"block= must be a multiple of {LEAST_BLOCK_BYTES} up to {size_name(MAX_BLOCK_BYTES)}, such as 64KiB"


@dataclass(frozen=True)
class Codec:
    """A compression, independent of the data it is used on.

    Parameters
    ----------
    name : str
        One of `codec_names`.
    level : int
        Compression level, or the number of one of zstd's settings, or of pixels in a block of szip; 0 where the codec
        has none of these.
    block_bytes : int
        Bytes that bitshuffle transposes and compresses at once, or lz4 compresses; 0 for 64 KiB and a whole chunk.
    shuffle : bool
        HDF5's byte shuffle before the codec.
    transform : {"", "shuffle", "bitshuffle", "delta", "nn"}
        What Blosc 2 does before it compresses; of szip, "nn" for differences of neighbours.
    fletcher32 : bool
        HDF5's checksum behind the codec: a reader notices damage.

    Raises
    ------
    OptionError
        The codec does not have such a part.
    """

    name: str
    level: int = 0
    block_bytes: int = 0
    shuffle: bool = False
    transform: str = ""
    fletcher32: bool = False

    def __post_init__(self) -> None:
        family = FAMILIES.get(self.name)
        if family is None:
            raise _no_codec(str(self), f"choose from {', '.join(FAMILIES)}")
        if not family.levels and self.level:
            raise _no_codec(str(self), f"{self.name} takes no level")
        is_setting = family.settings and self.level in _SETTING_NAMES
        if family.levels and self.level not in family.levels and not is_setting:
            raise _no_codec(str(self), f"{self.name} has {_levels(family)}")
        if self.shuffle and not family.shuffles:
            raise _no_codec(str(self), f"{self.name} takes no shuffle")
        if self.transform not in ("", *family.transforms):
            raise _no_codec(str(self), f"{self.name} takes no {self.transform}")
        if family.block_bytes is None and self.block_bytes:
            raise _no_codec(str(self), f"{self.name} takes no block=")
        if family.block_bytes and not self.block_bytes:
            object.__setattr__(self, "block_bytes", family.block_bytes)
        if self.block_bytes and not _is_block(self.block_bytes):
            raise _no_codec(str(self), _BLOCK_RULE)

    def __str__(self) -> str:
        text = (f"{_SHUFFLE}+" if self.shuffle else "") + self.name
        if self.name not in FAMILIES or FAMILIES[self.name].levels:
            text += f":{_SETTING_NAMES.get(self.level, self.level)}"
        if self.transform:
            text += f",{self.transform}"
        if self.block_bytes:
            text += f",block={size_name(self.block_bytes)}"
        return text + (f"+{_CHECKSUM}" if self.fletcher32 else "")

    def dataset_options(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        """Keywords for ``h5py.Group.create_dataset``.

        Parameters
        ----------
        dtype : numpy.dtype
            Type of the dataset; bitshuffle counts its blocks in elements.

        Raises
        ------
        OptionError
            The HDF5 that is here does not have the codec.
        """
        self.require()
        options: dict[str, Any] = {"shuffle": True} if self.shuffle else {}
        if self.fletcher32:
            options["fletcher32"] = True
        family, _, compressor = self.name.partition("-")
        if family == "gzip":
            options |= {"compression": "gzip", "compression_opts": self.level}
        elif family == "szip":
            options |= {"compression": "szip", "compression_opts": (self.transform or "ec", self.level)}
        elif family == "zstd":
            options |= hdf5plugin.Zstd(clevel=self.level)
        elif family == "lz4":
            options |= hdf5plugin.LZ4(nbytes=self.block_bytes)
        elif family == "bzip2":
            options |= hdf5plugin.BZip2(blocksize=self.level)
        elif family == "blosc2":
            values = (0, 0, 0, 0, self.level, _BLOSC2_TRANSFORMS[self.transform], _BLOSC2_COMPRESSORS[compressor])
            options |= {"compression": _BLOSC2_ID, "compression_opts": values}
        elif family == "bitshuffle":
            elements = _block_elements(self.block_bytes, dtype.itemsize)
            if compressor == "lz4":
                options |= hdf5plugin.Bitshuffle(nelems=elements, cname="lz4")
            else:
                options |= {"compression": _BITSHUFFLE_ID, "compression_opts": (elements, 3, self.level)}
        return options

    def for_other_programs(self) -> Codec:
        """Return the codec with the nearest level in place of one of zstd's settings, which they write as level 22."""
        return replace(self, level=nearest_level(self.level)) if FAMILIES[self.name].settings else self

    def require(self) -> None:
        """Raise OptionError where the HDF5 that is here does not have the codec."""
        if self.name == "szip" and not can_write_szip():
            reason = "the HDF5 of the h5py that is installed has no szip that can encode (h5py's wheels for Linux have)"
            raise OptionError("compression", f"{self}: {reason}; use another codec, such as shuffle+gzip:2")


def codec_names() -> list[str]:
    """Names of all codecs, without levels."""
    return list(FAMILIES)


def parse_codec(text: str) -> Codec:
    """Read a codec's spelling.

    Parameters
    ----------
    text : str
        For example ``"bitshuffle-zstd:1,block=64KiB"``; parts left out take the codec's default.

    Raises
    ------
    OptionError
        The text is not a codec, and the message names the nearest one; or the HDF5 that is here does not have it.
    """
    match = _SPELLING.fullmatch(text.strip())
    family = FAMILIES.get(match["name"]) if match else None
    if match is None or family is None:
        raise _no_codec(text, f"choose from {', '.join(FAMILIES)}")
    if match["level"] is not None and match["level"][0].isalpha() and match["level"] not in ZSTD_SETTINGS:
        raise _no_codec(text, f"beside levels there are {' and '.join(ZSTD_SETTINGS)} of bitshuffle-zstd")
    block_bytes = 0
    if match["block"] is not None:
        if family.block_bytes is None:
            raise _no_codec(text, f"{match['name']} takes no block=")
        block_bytes = _parse_block(match["block"])
        if not _is_block(block_bytes):
            raise _no_codec(text, _BLOCK_RULE)
    if match["level"] is not None and not family.levels:
        raise _no_codec(text, f"{match['name']} takes no level")
    codec = Codec(
        match["name"],
        _parse_level(match["level"], family),
        block_bytes,
        bool(match["shuffle"]),
        match["transform"] or "",
        bool(match["checksum"]),
    )
    codec.require()
    return codec


def nearest_spelling(text: str) -> str:
    """Return the spelling of the codec that is nearest to a text, part by part."""
    words = [word for word in re.split(r"[+,\s]+", text.lower()[:200]) if word]
    named = max(words, key=_likeness, default="")
    name = difflib.get_close_matches(_without_level(named), FAMILIES, n=1, cutoff=0.0)[0]
    family = FAMILIES[name]
    others = [word for word in words if word is not named]
    levels = [number[1] for word in (named, *others) if (number := re.search(r"(?:^|[:=_-])(-?\d{1,9})$", word))]
    level = int(levels[0].lstrip("-")) if levels else family.default_level
    near_settings = [near for word in re.split(r"[:=_]", ":".join(words)) if (near := _nearest(word, [*ZSTD_SETTINGS]))]
    setting = ZSTD_SETTINGS[near_settings[0]] if family.settings and near_settings else 0
    transform = next((near for word in others if (near := _nearest(word, [*_TRANSFORMS]))), "")
    block = next((word.partition("=")[2] for word in others if "=" in word), "")
    codec = Codec(
        name,
        setting or min(family.levels, key=lambda known: abs(known - level), default=0),
        0 if family.block_bytes is None else _nearest_block(block),
        family.shuffles and _nearest(transform, [_SHUFFLE]) is not None,
        transform if transform in family.transforms else "",
        any(_nearest(word, [_CHECKSUM]) for word in others),
    )
    return str(codec)


def codec_of(dataset: h5py.Dataset) -> Codec | str:
    """Name the codec of an existing dataset.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of any program.

    Returns
    -------
    Codec or str
        A codec with filters of the same effect; the names of the filters, where there is no such codec.
    """
    filters = filters_of(dataset)
    stages = [(filter_id, values) for filter_id, _, values, _ in filters]
    fletcher32 = bool(stages) and stages[-1][0] == FLETCHER32_ID
    if fletcher32:
        stages.pop()
    shuffle = len(stages) > 1 and stages[0] == (SHUFFLE_ID, (dataset.dtype.itemsize,))
    if shuffle:
        stages.pop(0)
    codec = None
    if not stages:
        codec = Codec("none", fletcher32=fletcher32)
    elif len(stages) == 1:
        codec = _stage_codec(*stages[0], dataset.dtype.itemsize, shuffle, fletcher32)
    return codec or " + ".join(filter_name(filter_id, name) for filter_id, _, _, name in filters)


def _stage_codec(
    filter_id: int, values: tuple[int, ...], itemsize: int, shuffle: bool, fletcher32: bool
) -> Codec | None:
    """Name a compressor by its number and parameters; None where it has no spelling."""
    name, level, block_bytes, transform = "", values[0] if values else 0, 0, ""
    if filter_id == DEFLATE_ID:
        name = "gzip"
    elif filter_id == SZIP_ID and len(values) > 1:
        name, level, transform = "szip", values[1], _NEIGHBOURS if values[0] & h5py.h5z.SZIP_NN_OPTION_MASK else ""
    elif filter_id == _ZSTD_ID:
        name, level = "zstd", level or 3  # zstd's own default
    elif filter_id == _LZ4_ID:
        name, level, block_bytes = "lz4", 0, level
    elif filter_id == _BZIP2_ID:
        name, level = "bzip2", level or 9
    elif filter_id == _BITSHUFFLE_ID and len(values) > 4:
        name = {2: "bitshuffle-lz4", 3: "bitshuffle-zstd"}.get(values[4], "")
        level = (values[5] if len(values) > 5 else 0) or 3 if values[4] == 3 else 0
        block_bytes = _bitshuffle_block(values[3], itemsize)
        if not block_bytes:
            return None
    elif filter_id == _BLOSC2_ID and len(values) > 6:
        compressors = {number: word for word, number in _BLOSC2_COMPRESSORS.items()}
        spelt = {number: word for word, number in _BLOSC2_TRANSFORMS.items()}
        if values[5] not in spelt or values[6] not in compressors:
            return None
        name, level, transform = f"blosc2-{compressors[values[6]]}", values[4], spelt[values[5]]
    try:
        return Codec(name, level, block_bytes, shuffle, transform, fletcher32)
    except OptionError:
        return None


def _bitshuffle_block(elements: int, itemsize: int) -> int:
    """Return the block size that makes a number of elements; 0 where there is none."""
    # https://github.com/kiyo-masui/bitshuffle, bshuf_default_block_size: about 8 KiB, at least 128 elements.
    elements = elements or max(8192 // itemsize // 8 * 8, 128)
    block_bytes = -(-elements * itemsize // LEAST_BLOCK_BYTES) * LEAST_BLOCK_BYTES
    return block_bytes if _block_elements(block_bytes, itemsize) == elements else 0


def _block_elements(block_bytes: int, itemsize: int) -> int:
    """Return a block's elements: bitshuffle wants a multiple of eight."""
    return block_bytes // itemsize // 8 * 8


def _levels(family: Family) -> str:
    return f"{'even ' if family.levels.step == 2 else ''}levels {family.levels[0]} to {family.levels[-1]}"


def _parse_level(level: str | None, family: Family) -> int:
    if level is None:
        return family.default_level
    return ZSTD_SETTINGS[level] if level in ZSTD_SETTINGS else int(level)


def _parse_block(size: str) -> int:
    try:
        return parse_size(size)
    except ValueError:
        return 0


def _is_block(nbytes: int) -> bool:
    return LEAST_BLOCK_BYTES <= nbytes <= MAX_BLOCK_BYTES and nbytes % LEAST_BLOCK_BYTES == 0


def _no_codec(text: str, reason: str) -> OptionError:
    return OptionError("compression", f"{text!r} is not a codec: {reason}; perhaps {nearest_spelling(text)} is meant")


def _nearest(word: str, names: list[str]) -> str | None:
    found = difflib.get_close_matches(word, names, n=1, cutoff=0.75)
    return found[0] if found else None


def _nearest_block(size: str) -> int:
    """Return the block nearest to a size; 0, the codec's own, where the text is not a size."""
    number = re.match(r"(\d{1,9})\s*([kmg]?)", size.lower())
    if number is None:
        return 0
    nbytes = int(number[1]) << 10 * " kmg".index(number[2] or " ")
    return min(max(nbytes // LEAST_BLOCK_BYTES, 1) * LEAST_BLOCK_BYTES, MAX_BLOCK_BYTES)


def _likeness(word: str) -> float:
    """Return how much a word looks like a codec's name; 0 for the parts beside a name."""
    if "=" in word or _nearest(word, [_CHECKSUM]) or word in _TRANSFORMS:
        return 0.0
    return max(difflib.SequenceMatcher(None, _without_level(word), name).ratio() for name in FAMILIES)


def _without_level(word: str) -> str:
    return re.sub(r"(:.*|[=_-]\d+)$", "", word)
