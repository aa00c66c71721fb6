"""Sizes in bytes, as people write them: 64KiB, 1GiB, 1.5GB, 4096."""

from __future__ import annotations

import re
from fractions import Fraction

_SIZE = re.compile(r"(?P<number>\d{1,9}(\.\d{1,9})?) ?(?P<unit>[KMGT]I?B|B)?", re.IGNORECASE)
_PREFIXES = ("", "K", "M", "G", "T")
_BINARY = {f"{prefix}iB": 1024**power for power, prefix in enumerate(_PREFIXES) if prefix}
_UNITS = {"": 1} | {f"{prefix}B": 1000**power for power, prefix in enumerate(_PREFIXES)} | _BINARY
_FACTORS = {unit.upper(): factor for unit, factor in _UNITS.items()}


def parse_size(text: str) -> int:
    """Read a size: a number, and B; kB, MB, GB or TB, powers of 1000; or KiB, MiB, GiB or TiB, powers of 1024.

    Raises
    ------
    ValueError
        The text is not a size, or no whole number of bytes.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size, such as 64KiB or 1GiB")
    nbytes = Fraction(match["number"]) * _FACTORS[(match["unit"] or "").upper()]
    if nbytes.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return int(nbytes)


def size_name(nbytes: int) -> str:
    """Spell a size in the largest unit that it is a whole number of."""
    for unit, factor in reversed(_BINARY.items()):
        if nbytes and nbytes % factor == 0:
            return f"{nbytes // factor}{unit}"
    return str(nbytes)


def decimal_size(nbytes: int) -> str:
    """Write a size for people, in powers of 1000: 5.1 MB."""
    power = max((power for power in range(len(_PREFIXES)) if nbytes >= 1000**power), default=0)
    if power == 0:
        return "1 byte" if nbytes == 1 else f"{nbytes} bytes"
    return f"{nbytes / 1000**power:,.1f} {_PREFIXES[power].replace('K', 'k')}B"
