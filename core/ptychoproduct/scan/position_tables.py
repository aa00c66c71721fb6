"""Positions in tables: text in any of the usual forms, and NPY arrays."""

from __future__ import annotations

import codecs
import csv
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError, SourceError, warn
from ptychoproduct.model.position_units import are_metres
from ptychoproduct.model.positions import distinct_values, means_of_numbers
from ptychoproduct.npz.npy import NpyFile
from ptychoproduct.system.file_kinds import not_a

_OPTION = "positions_columns"
_COMMENTS = ("#", "%")
_SEPARATORS = ("\t", ";", ",", None)  # None: blanks, however many
_MOST_LINES_BEFORE = 1000
_LOOKED_AT = 1000

_UNITS = {
    "px": "px pix pixel pixels",
    "m": "m metre metres meter meters",
    "mm": "mm millimetre millimetres millimeter millimeters",
    "um": "um \u03bcm micron microns micrometre micrometres micrometer micrometers",
    "nm": "nm nanometre nanometres nanometer nanometers",
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words.split()}
# Of names without blanks, in small letters: x, xcoords, pos_x, probe_position_x_m, x_(um), y[mm].
_COORDINATE = re.compile(
    r"(?:probe_)?(?:pos(?:ition)?s?_?)?(?P<axis>[xy])(?:_?(?:coord(?:inate)?s?|pos(?:ition)?s?))?"
    rf"(?:[_(\[/]+(?P<unit>{'|'.join(_UNIT_OF)})[)\]]?)?"
)
# Of any names: samx_um, samx(mm).
_WITH_UNIT = re.compile(rf"(?P<name>.+?)\s*[_(\[/]+(?P<unit>{'|'.join(_UNIT_OF)})[)\]]?")
_INDEX_NAMES = {"", "#", "i", "n", "no", "nr", "id", "idx", "index", "indexes", "number", "frame", "point"} | {
    "probe_position_indexes",
    "unnamed:_0",  # pandas
}


@dataclass(frozen=True)
class PositionTable:
    """Positions, with what their table says of them.

    Parameters
    ----------
    x, y : array, [N], float64
    unit : {"px", "m", "mm", "um", "nm"} or None
        None where the table does not say it.
    numbers : array or None, [N], int64
        By which frames are paired with positions; None where rows are counted from 0 or 1, or have no numbers.
    scan_index : array or None, [N]
        PtychoPINN's.
    """

    x: Array
    y: Array
    unit: str | None = None
    numbers: Array | None = None
    scan_index: Array | None = None


@dataclass(frozen=True)
class _Columns:
    """Which columns hold what."""

    x: int
    y: int
    unit: str | None = None
    index: int | None = None
    scan_index: int | None = None

    @property
    def used(self) -> list[int]:
        return [column for column in (self.x, self.y, self.index, self.scan_index) if column is not None]


@dataclass(frozen=True)
class _Text:
    """A table in a text.

    Parameters
    ----------
    separator : str or None
        Between fields; None for blanks.
    rows : list of str
    first : list of str
        Fields of the first row, without empty ones at its end.
    above : list of str
        Lines above the rows.
    has_empty_end : bool
        Rows end with a separator.
    is_bare : bool
        There is nothing but rows.
    """

    separator: str | None
    rows: list[str]
    first: list[str]
    above: list[str]
    has_empty_end: bool
    is_bare: bool


def read_text_table(path: Path, unit: str | None = None, columns: str | None = None) -> PositionTable:
    """Read positions from text, its fields separated by commas, tabs, semicolons or blanks.

    Parameters
    ----------
    path : Path
    unit : {"px", "m", "mm", "um", "nm"}, optional
        What the user says; the table's own word is given back whatever this is.
    columns : str, optional
        Names of all columns, separated by commas; or, of those in a header, the ones of x and y, or of index, x and y.
        By default those in the header. Where they name an index, the mean of the rows with one index is taken.

    Raises
    ------
    SourceError
        The file has no table of numbers, or it is not clear which columns are positions.
    OptionError
        `columns` does not fit the table.

    Warns
    -----
    ProductWarning
        There is no header, and the order of the columns is assumed.
    """
    text = _text(path)
    if columns is None:
        found = _header(text, path)
    else:
        found = _chosen(columns, [names for _, names in _names_above(text)]) or _given(columns, len(text.first), path)
    table = _numbers_of(text, found, path)
    if found is None:
        by_ptychodus = _by_ptychodus(text, table, unit)
        found = _assumed(table, path, y_first=by_ptychodus and text.separator == ",", metres=by_ptychodus)
    return _taken(table if columns is None else _means(table, found, path), found, path)


def read_npy_table(path: Path, columns: str | None = None) -> PositionTable:
    """Read positions from an NPY array [N, 2], or [2, N], or one with named fields; see `read_text_table`."""
    with NpyFile(path) as file:
        return table_of(file.array.read(), path, columns)


def table_of(array: Array, path: Path, columns: str | None = None) -> PositionTable:
    """Take positions from an array of a file; see `read_npy_table`."""
    if array.dtype.names is not None and array.ndim == 1 and array.size:
        names = list(array.dtype.names)
        found = _named(names) if columns is None else _chosen(columns, [names]) or _given(columns, len(names), path)
        if found is None:
            raise _unclear(path, f"the fields are {', '.join(names)}; one x and one y with one unit are needed")
        table = {column: array[names[column]] for column in found.used}
        return _taken(table, found, path)
    if array.ndim != 2 or array.dtype.kind not in "iuf" or not array.size:
        raise SourceError(path, f"{array.dtype} of shape {array.shape} is not a table of positions; [N, 2] is needed")
    width = 2 if columns is None else len(columns.split(","))
    if array.shape[1] != width and array.shape[0] == width:
        array = array.T
    table = dict(enumerate(array.T))
    found = _assumed(table, path) if columns is None else _given(columns, len(table), path)
    return _taken(table, found, path)


def _text(path: Path) -> _Text:
    """Find the table in a file, and what stands above it."""
    lines = _lines(path)
    for separator in _SEPARATORS:
        for number, line in enumerate(islice(lines, _MOST_LINES_BEFORE)):
            if line.startswith(_COMMENTS):
                continue
            fields = _split(line, separator)
            if sum(map(_is_number, fields)) < 2:
                continue
            has_empty_end = not fields[-1]
            while not fields[-1]:
                fields.pop()
            rows = [row for row in lines[number:] if not row.startswith(_COMMENTS)]
            return _Text(separator, rows, fields, lines[:number], has_empty_end, is_bare=len(rows) == len(lines))
    raise SourceError(path, f"there is no table of numbers with columns x and y{_decimal_comma(lines)}")


def _numbers_of(text: _Text, columns: _Columns | None, path: Path) -> dict[int, Array]:
    """Read all columns where all hold numbers, so that NumPy notices rows of another length; else those with names."""
    is_all = all(map(_is_number, text.first))
    if columns is None and not is_all:
        raise _unclear(path, f"the first row of numbers is {text.rows[0]!r}{_decimal_comma(text.rows)}")
    used = list(range(len(text.first))) if columns is None or is_all else columns.used
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # NumPy warns where there are no data
            values = np.loadtxt(
                text.rows,
                delimiter=text.separator,
                quotechar='"',
                usecols=None if is_all and not text.has_empty_end else used,
                ndmin=2,
            )
    except (ValueError, UserWarning) as error:
        raise SourceError(path, f"this is not a table of numbers: {error}") from error
    return {column: values[:, place] for place, column in enumerate(used)}


def _decimal_comma(lines: Sequence[str]) -> str:
    return "; numbers need a decimal point, not a comma" if any(re.search(r"\d,\d", line) for line in lines[:9]) else ""


def _lines(path: Path) -> list[str]:
    """Read the lines that are not empty, without blanks around them."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SourceError(path, "there is no such file") from None
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # the micro sign of older programs; numbers are the same
    if "\0" in text:
        wanted = "a text, NPY, NPZ or HDF5 file of positions"
        raise SourceError(path, not_a(path, wanted) or f"this is not {wanted}")
    return [stripped for line in text.splitlines() if (stripped := line.strip(" "))]


def _split(line: str, separator: str | None) -> list[str]:
    if separator is None:
        line, separator = " ".join(line.split()), " "
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]
    except csv.Error:
        return []


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _header(text: _Text, path: Path) -> _Columns | None:
    """Find names of the columns above the numbers, in the line next to them or in a comment; None where none are.

    Raises
    ------
    SourceError
        There is a line that does not say which columns are x and y.
    """
    for line, names in _names_above(text):
        found = _named(names)
        if found is not None:
            return found
        if not line.startswith(_COMMENTS):
            problem = f"{line!r} above the numbers does not name one x and one y, of {len(text.first)} columns"
            raise _unclear(path, problem)
    return None


def _names_above(text: _Text) -> Iterator[tuple[str, list[str]]]:
    """Give the lines above the numbers, the next one first, and the names in each: of all columns, or none."""
    width = len(text.first)
    for line in reversed(text.above):
        is_comment = line.startswith(_COMMENTS)
        names_only = re.sub(r"\s+(?=[(\[])", "", line.lstrip("".join(_COMMENTS)).strip() if is_comment else line)
        split = [_split(names_only, separator) for separator in (text.separator, *_SEPARATORS)]
        yield line, next((names[:width] for names in split if len(names) >= width and not any(names[width:])), [])


def _named(names: Sequence[str]) -> _Columns | None:
    """Find the columns by their names; None where x and y are not one each, with one unit."""
    plain = [re.sub(r"[\s-]+", "_", name.strip(" \"'")).casefold() for name in names]
    matches = [(column, match) for column, name in enumerate(plain) if (match := _COORDINATE.fullmatch(name))]
    if sorted(match["axis"] for _, match in matches) != ["x", "y"]:
        return None
    if len({_UNIT_OF.get(match["unit"]) for _, match in matches}) > 1:
        return None
    places = {match["axis"]: column for column, match in matches}
    index = next((column for column, name in enumerate(plain) if name in _INDEX_NAMES), None)
    scan_index = plain.index("scan_index") if "scan_index" in plain else None
    return _Columns(places["x"], places["y"], _UNIT_OF.get(matches[0][1]["unit"]), index, scan_index)


def _chosen(columns: str, headers: Iterable[Sequence[str]]) -> _Columns | None:
    """Find names of a header that the user gives, with or without their units: x and y, or index, x and y."""
    wanted = [re.sub(r"\s+(?=[(\[])", "", name.strip()).casefold() for name in columns.split(",")]
    meant = _named(wanted)  # words such as y,x say what they are; of others the order does
    for header in headers:
        names = [name.strip(" \"'").casefold() for name in header]
        split = [_WITH_UNIT.fullmatch(name) for name in names]
        bare = [name if match is None else match["name"] for name, match in zip(names, split, strict=True)]
        places = [[at for at, name in enumerate(zip(names, bare, strict=True)) if word in name] for word in wanted]
        at = [place for found in places for place in found]
        renames = meant is not None and len(wanted) == len(header)
        if renames or any(len(found) != 1 for found in places) or len(set(at)) < len(at):
            continue
        if meant is not None:
            first, second, index = at[meant.x], at[meant.y], None if meant.index is None else at[meant.index]
        elif len(at) in (2, 3):
            index, (first, second) = at[0] if len(at) == 3 else None, at[-2:]
        else:
            continue
        units = {None if (match := split[place]) is None else _UNIT_OF[match["unit"]] for place in (first, second)}
        if len(units) == 1:
            return _Columns(first, second, units.pop(), index)
    return None


def _given(columns: str, width: int, path: Path) -> _Columns:
    names = columns.split(",")
    found = _named(names)
    if found is None:
        raise OptionError(_OPTION, f"{columns!r} does not name one x and one y with one unit, such as y,x or x_um,y_um")
    if len(names) != width:
        raise OptionError(_OPTION, f"{columns!r} names {len(names)} columns; the table has {width}", file=path)
    return found


def _assumed(table: dict[int, Array], path: Path, *, y_first: bool = False, metres: bool = False) -> _Columns:
    """Say what columns without names are: two coordinates, the rows' numbers before them perhaps."""
    if len(table) not in (2, 3) or (len(table) == 3 and not _counts(table[0])):
        raise _unclear(path, f"{len(table)} column{'s' * (len(table) != 1)} without names")
    first = len(table) - 2
    order, x, y = ("y, x", first + 1, first) if y_first else ("x, y", first, first + 1)
    as_ptychodus = " in metres, as ptychodus writes them" if metres else ""
    warn(
        f"{path}: the columns have no names; they are taken as {'index, ' * first}{order}{as_ptychodus} "
        f"(--positions-columns decides)"
    )
    return _Columns(x, y, "m" if metres else None, 0 if first else None)


def _by_ptychodus(text: _Text, table: dict[int, Array], unit: str | None) -> bool:
    """Whether ptychodus may have written it: no header, one separator, Python's shortest form of numbers in metres."""
    separator = text.separator or " "
    if unit not in (None, "m") or separator not in ", " or not text.is_bare or len(table) != 2:
        return False
    return are_metres(*table.values()) and all(
        _is_number(field) and repr(float(field)) == field
        for row in islice(text.rows, _LOOKED_AT)
        for field in row.split(separator)
    )


def _taken(table: dict[int, Array], columns: _Columns, path: Path) -> PositionTable:
    scan_index = None if columns.scan_index is None else _whole(table[columns.scan_index])
    numbers = None if columns.index is None else _numbers(table[columns.index], path)
    return PositionTable(table[columns.x], table[columns.y], columns.unit, numbers, scan_index)


def _means(table: dict[int, Array], columns: _Columns, path: Path) -> dict[int, Array]:
    """Take the mean of the readings of each number, where several have one."""
    numbers = np.zeros(0) if columns.index is None else _whole(table[columns.index])
    if numbers.dtype != np.int64 or (count := distinct_values(numbers)) == len(numbers):
        return table
    low, high = numbers.min(), numbers.max()
    said = f"{count} numbers, {low} to {high}, the first frame being number {int(low == 1 and high == count)}"
    warn(f"{path}: the mean is taken of the readings of each of {said}")
    return {column: means_of_numbers(numbers, table[column]) for column in columns.used}


def _counts(column: Array) -> bool:
    """Whether rows are counted from 0 or 1."""
    return column[0] in (0, 1) and np.array_equal(column, np.arange(len(column)) + column[0])


def _numbers(column: Array, path: Path) -> Array | None:
    """Return the numbers of the rows; None where the order of rows is as good, or the column does not number them."""
    numbers = _whole(column)
    if _counts(numbers) or numbers.dtype != np.int64 or (numbers == numbers[0]).all():
        return None
    if distinct_values(numbers) < len(numbers):
        warn(f"{path}: numbers in the column of indexes repeat; the order of rows is taken")
        return None
    return numbers - 1 if numbers.min() == 1 and numbers.max() == len(numbers) else numbers


def _whole(column: Array) -> Array:
    """Return integers as int64; everything else as it is."""
    if column.dtype.kind not in "iuf":
        return column
    with np.errstate(invalid="ignore"):
        numbers: Array = column.astype(np.int64)
    return numbers if np.array_equal(numbers, column) else column


def _unclear(path: Path, problem: str) -> SourceError:
    return SourceError(path, f"{problem}; say what the columns are, such as --positions-columns x,y")
