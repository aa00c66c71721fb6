"""Positions in MDA files of EPICS's sscan record: a raster, or a list of points.

The format is described in https://epics-modules.github.io/sscan/MDAFormat.html: XDR, all numbers big-endian, and a
multiple of four bytes long.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError
from ptychoproduct.model.positions import UNITS
from ptychoproduct.scan.position_tables import PositionTable

MDA_SUFFIX = ".mda"
_MOST_POINTS, _MOST_PARTS = 10**7, 1000
_SPELLINGS = {"micron": "um", "microns": "um", "micrometer": "um", "millimeter": "mm", "meter": "m", "nanometer": "nm"}


@dataclass(frozen=True)
class _Axis:
    """Readings of a positioner, with what it is called and its unit."""

    values: Array
    name: str
    unit: str


class _Reader:
    """Numbers and texts of a file, one after the other; ValueError where it ends before."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0

    def numbers(self, dtype: str, count: int) -> Array:
        dtype_ = np.dtype(dtype)
        end = self.at + count * dtype_.itemsize
        if count < 0 or end > len(self._content):
            raise ValueError("ends before its last point")
        found: Array = np.frombuffer(self._content, dtype_, count, self.at)
        self.at = end
        return found

    def integer(self, most: int = 2**31) -> int:
        number = int(self.numbers(">i4", 1)[0])
        if not 0 <= number <= most:
            raise ValueError(f"has {number} where a number from 0 to {most} must be")
        return number

    def text(self) -> str:
        if not self.integer():
            return ""
        length = self.integer()
        return self.numbers("u1", -(-length // 4) * 4).tobytes()[:length].decode("latin-1")


def read_mda(path: Path, unit: str | None = None) -> PositionTable:
    """Read positions: x and y of the two positioners of a list, or y of the outer scan and x of each of its rows.

    Parameters
    ----------
    path : Path
    unit : {"px", "m", "mm", "um", "nm"}, optional
        What the user says; by default what the file says, which may be volts.

    Raises
    ------
    SourceError
        The file is damaged, does not say a unit of lengths, or its positioners are not those of a raster or of points.
    """
    try:
        reader = _Reader(path.read_bytes())
        return _positions(reader, unit, path)
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SourceError(path, f"this is not an MDA file, or it is damaged: {error}") from error


def _positions(reader: _Reader, unit: str | None, path: Path) -> PositionTable:
    version = float(reader.numbers(">f4", 1)[0])
    if not 1.2 < version < 2:
        raise ValueError(f"version {version:g}")
    reader.integer()
    rank = reader.integer(_MOST_PARTS)
    reader.numbers(">i4", rank + 2)
    done, offsets, axes = _scan(reader)
    if rank == 1 and len(axes) == 2:
        return _table(axes[0], axes[1], unit, path)
    if rank != 2 or len(axes) != 1:
        problem = f"has {rank} axes, the outer one with {len(axes)} positioners; a raster has 2 axes, points have 1"
        raise SourceError(path, f"{problem} with two positioners; give a table of positions")
    rows = []
    for offset in offsets[:done]:
        reader.at = int(offset)
        if reader.at <= 0:
            raise ValueError("a row is not there")
        _, _, row = _scan(reader)
        if len(row) != 1:
            raise SourceError(path, f"a row has {len(row)} positioners, not one; give a table of positions")
        rows.append(row[0])
    if not rows:
        raise ValueError("it has no rows")
    y = np.repeat(axes[0].values[: len(rows)], [len(row.values) for row in rows])
    x = np.concatenate([row.values for row in rows])
    return _table(_Axis(x, rows[0].name, rows[0].unit), _Axis(y, axes[0].name, axes[0].unit), unit, path)


def _scan(reader: _Reader) -> tuple[int, Array, list[_Axis]]:
    """Read a scan: how many of its points are done, where their own scans are, and its positioners."""
    rank, points, done = reader.integer(_MOST_PARTS), reader.integer(_MOST_POINTS), reader.integer(_MOST_POINTS)
    offsets = reader.numbers(">i4", points if rank > 1 else 0)
    reader.text()
    reader.text()
    positioners, detectors, triggers = (reader.integer(_MOST_PARTS) for _ in range(3))
    units = []
    for _ in range(positioners):
        reader.integer()
        # Name, description, mode and unit of what is set, then name, description and unit of what is read back.
        name, _, _, unit, _, _, read_unit = (reader.text() for _ in range(7))
        units.append((name, read_unit or unit))
    for _ in range(detectors):
        reader.integer()
        for _ in range(3):
            reader.text()
    for _ in range(triggers):
        reader.integer()
        reader.text()
        reader.numbers(">f4", 1)
    done = min(done, points)
    axes = [_Axis(reader.numbers(">f8", points)[:done].astype(np.float64), *unit) for unit in units]
    return done, offsets, axes


def _table(x: _Axis, y: _Axis, unit: str | None, path: Path) -> PositionTable:
    if not len(x.values):
        raise ValueError("it has no points")
    said = [axis.unit.strip().casefold() for axis in (x, y)]
    units = {_SPELLINGS.get(word, word) for word in said}
    if unit is None and (len(units) > 1 or not units <= {*UNITS}):
        problem = f"{x.name} is in {x.unit!r}, {y.name} in {y.unit!r}"
        raise SourceError(path, f"{problem}; say what both are in, such as --positions-in um, or give a table")
    return PositionTable(x.values, y.values, unit or units.pop())
