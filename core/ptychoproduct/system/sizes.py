"""Sizes in bytes, as people write them: 64KiB, 1GiB, 4096."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(?P<number>\d{1,9})(?P<unit>[KMG]iB|B)?")
_UNITS = {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024, "B": 1, None: 1}


def parse_size(text: str) -> int:
    """Read a size: a whole number, and B, KiB, MiB or GiB.

    Raises
    ------
    ValueError
        The text is not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size, such as 64KiB or 1GiB")
    return int(match["number"]) * _UNITS[match["unit"]]


def size_name(nbytes: int) -> str:
    """Spell a size in the largest unit that it is a whole number of."""
    for unit in ("GiB", "MiB", "KiB"):
        if nbytes and nbytes % _UNITS[unit] == 0:
            return f"{nbytes // _UNITS[unit]}{unit}"
    return str(nbytes)
