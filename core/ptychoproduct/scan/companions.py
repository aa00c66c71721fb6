"""Positions and probes in files beside the frames: CSV, NPY, NPZ and HDF5."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError, SourceError
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model.positions import check_unit
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.npz.npy import NpyFile
from ptychoproduct.scan import layouts
from ptychoproduct.scan.layouts import HDF5, NPY, NPZ, file_kind

_PROBE_KEYS = ("probeGuess", "probe")


@dataclass(frozen=True)
class Positions:
    """Scan positions, with what else of the scan their file holds.

    Parameters
    ----------
    x, y : array, [N]
    unit : {"px", "m", "um"}
    numbers : array, [N], optional
        By which ptychodus pairs them with patterns.
    scan_index : array, [N], optional
        PtychoPINN's.
    probe : array, optional
    object : array, optional
    files : tuple of Path
        Where they were read.
    """

    x: Array
    y: Array
    unit: str
    numbers: Array | None = None
    scan_index: Array | None = None
    probe: Array | None = None
    object: Array | None = None
    files: tuple[Path, ...] = ()


def read_positions(path: Path, unit: str | None = None) -> Positions:
    """Read positions from a file of their own.

    Parameters
    ----------
    path : Path
        CSV with the columns x and y, NPZ with ``xcoords`` and ``ycoords``, or HDF5 in one of the known layouts.
    unit : {"px", "m", "um"}, optional
        Of the numbers; by default what the file's layout says, else pixels.

    Raises
    ------
    SourceError
        The file has no positions.
    OptionError
        The unit is none.
    """
    check_unit(unit)
    kind = file_kind(path)
    if kind == HDF5:
        with Hdf5Source(path) as source:
            return positions_in(source, unit)
    if kind == NPZ:
        with NpzArchive(path) as archive:
            x, y = (archive.require(key).read() for key in ("xcoords", "ycoords"))
            others = {
                field: archive.members[key].read() if key in archive.members else None
                for field, key in (("scan_index", "scan_index"), ("probe", "probeGuess"), ("object", "objectGuess"))
            }
            return Positions(x, y, unit or "px", **others, files=(path,))
    if kind == NPY:
        raise SourceError(path, found="an NPY file", expected="positions in a CSV, NPZ or HDF5 file")
    return Positions(*_read_csv(path), unit or "px", files=(path,))


def positions_in(source: Hdf5Source, unit: str | None = None) -> Positions:
    """Read positions, and what else there is, where one of the known layouts has them.

    Raises
    ------
    SourceError
        None has.
    """
    for layout in layouts.POSITIONS:
        x, y = source.find(layout.x), source.find(layout.y)
        if x is None or y is None:
            continue
        if layout.x == layout.y:
            table = source.read(x)
            if table.ndim != 2 or table.shape[1] not in (2, 3):
                raise SourceError(
                    source.path, key=layout.x, found=f"shape {table.shape}", expected="[N, 3], positions along x, y, z"
                )
            columns = table[:, 0], table[:, 1]
        else:
            columns = _flat(source.read(x)), _flat(source.read(y))
        return Positions(
            *columns,
            unit or layout.unit,
            numbers=_read_if_there(source, layout.numbers),
            scan_index=_read_if_there(source, layout.scan_index),
            probe=find_probe(source),
            object=next((source.read(found) for found in map(source.find, layouts.OBJECTS) if found is not None), None),
            files=source.files,
        )
    known = ", ".join(dict.fromkeys(name for layout in layouts.POSITIONS for name in (layout.x, layout.y)))
    raise SourceError(source.path, found="no positions", expected=f"--positions, or one of {known}")


def read_probe(reference: str) -> tuple[Array, tuple[Path, ...]]:
    """Read a probe from a file of its own.

    Parameters
    ----------
    reference : str
        An NPY, NPZ or HDF5 file; behind a colon the key in it, where that is no usual one.

    Returns
    -------
    array
    tuple of Path
        The files.

    Raises
    ------
    SourceError
        The file has no probe.
    """
    array, files = _read_array(reference, "probe", _PROBE_KEYS, layouts.PROBES)
    return _from_matlab(array), files


def read_bad_pixels(reference: str) -> tuple[Array, tuple[Path, ...]]:
    """Read a mask of bad pixels from a file of its own; arguments, result and errors are as in `read_probe`."""
    keys = (layouts.BAD_PIXELS, "mask")
    return _read_array(reference, "bad_pixels", keys, (f"/{layouts.BAD_PIXELS}", *layouts.MASKS))


def _read_array(
    reference: str, option: str, npz_keys: Sequence[str], datasets: Sequence[str]
) -> tuple[Array, tuple[Path, ...]]:
    path, key = _split(reference)
    what = option.replace("_", " ")
    kind = file_kind(path)
    if kind == NPY:
        if key is not None:
            raise OptionError(option, found=repr(reference), expected="no key: an NPY file has but one array")
        with NpyFile(path) as file:
            return file.array.read(), (path,)
    if kind == NPZ:
        with NpzArchive(path) as archive:
            usual = next((name for name in npz_keys if name in archive.members), npz_keys[0])
            return archive.require(key or usual).read(), (path,)
    if kind == HDF5:
        with Hdf5Source(path) as source:
            found = next(filter(None, map(source.find, datasets if key is None else (key,))), None)
            if found is None:
                expected = "a dataset" if key else f"one of {', '.join(datasets)}"
                raise SourceError(path, key=key, found=f"no {what}", expected=expected)
            return source.read(found), source.files
    if not path.exists():
        raise SourceError(path, "no such file")
    raise SourceError(path, found="another kind of file", expected=f"a {what} in an NPY, NPZ or HDF5 file")


def find_probe(source: Hdf5Source) -> Array | None:
    """Read the probe where one of the known layouts has it; None where there is none."""
    for name in layouts.PROBES:
        dataset = source.find(name)
        if dataset is not None:
            return _from_matlab(source.read(dataset))
    return None


def _from_matlab(array: Array) -> Array:
    """Return a complex array; MATLAB, and so fold_slice, names the parts of its numbers, and has rows last."""
    names = array.dtype.names or ()
    if names != ("real", "imag") or array.ndim < 2 or array.dtype["real"].kind != "f":
        return array
    result = np.empty(array.shape, np.result_type(array.dtype["real"], np.complex64))
    result.real, result.imag = array["real"], array["imag"]
    return result.swapaxes(-1, -2)


def _read_if_there(source: Hdf5Source, name: str | None) -> Array | None:
    dataset = None if name is None else source.find(name)
    return None if dataset is None else source.read(dataset)


def _flat(array: Array) -> Array:
    """Return [1, N] or [N, 1], which is what MATLAB makes of [N], as [N]."""
    return array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array


def _split(reference: str) -> tuple[Path, str | None]:
    """Split ``FILE:KEY``; a file whose own name has a colon is that file."""
    name, colon, key = reference.rpartition(":")
    if not colon or not name or Path(reference).exists():
        return Path(reference), None
    return Path(name), key


def _read_csv(path: Path) -> tuple[Array, Array]:
    """Read the columns x and y of a CSV file, whose header, if it has one, names them."""
    expected = "CSV with two columns, x and y"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file, warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # NumPy warns where there are no data
            header_lines, header = _csv_header(file)
            file.seek(0)
            table = np.loadtxt(file, delimiter=",", skiprows=header_lines, ndmin=2)
    except FileNotFoundError:
        raise SourceError(path, "no such file") from None
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, UserWarning, csv.Error) as error:  # UnicodeDecodeError is a ValueError
        raise SourceError(path, found=f"no table of numbers ({error})", expected=expected) from error
    if table.shape[1] != 2:
        raise SourceError(path, found=f"{table.shape[1]} columns", expected=expected)
    names = [name.strip().lower() for name in header]
    if names and sorted(names) not in (["x", "y"], ["xcoords", "ycoords"]):
        raise SourceError(path, found=f"columns {', '.join(header)}", expected=expected)
    x, y = (0, 1) if names == sorted(names) else (1, 0)
    return table[:, x], table[:, y]


def _csv_header(file: TextIO) -> tuple[int, list[str]]:
    """Return how many lines stand before the numbers, and what the last of them calls the columns, if it does."""
    rows = csv.reader(file)
    for row in rows:
        if not row or row[0].startswith("#"):
            continue
        try:
            list(map(float, row))
        except ValueError:
            return rows.line_num, row
        break
    return 0, []
