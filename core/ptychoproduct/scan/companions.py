"""Positions and probes in files beside the frames: tables, NPY, NPZ and HDF5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError, SourceError
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model import contract
from ptychoproduct.model.positions import UNITS, check_unit
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.scan.array_files import find_picture, find_probe, read_array, split_key
from ptychoproduct.scan.cxi import cxi_object, cxi_results
from ptychoproduct.scan.field_layouts import LAYOUTS
from ptychoproduct.scan.field_values import SPELLINGS
from ptychoproduct.scan.grid_positions import grid_positions, scan_grid, steps_in
from ptychoproduct.scan.layout import PositionLayout
from ptychoproduct.scan.layouts import HDF5, NPY, NPZ, file_kind
from ptychoproduct.scan.mda import MDA_SUFFIX, read_mda
from ptychoproduct.scan.nexus import nexus_positions
from ptychoproduct.scan.npz_parts import positions_in_npz
from ptychoproduct.scan.places import as_text, first_named, layouts_of, parts_at, read_place
from ptychoproduct.scan.position_tables import read_npy_table, read_text_table, table_of
from ptychoproduct.scan.positions import Positions
from ptychoproduct.scan.product_source import product_parts, product_reconstruction
from ptychoproduct.scan.source_metadata import hdf5_metadata


def read_positions(reference: str | PathLike[str], unit: str | None = None, columns: str | None = None) -> Positions:
    """Read positions from a file of their own.

    Parameters
    ----------
    reference : str or path
        A table as text or NPY, see `position_tables`, MDA, NPZ with ``xcoords`` and ``ycoords``, or HDF5 in one of the
        known layouts; or, in an NPZ or HDF5 file, an array [N, 2] whose key stands behind a colon, or
        arrays x and y [N] with two keys: ``FILE:KEY``, ``FILE:KEY,KEY``, or the same with two colons.
    unit : {"px", "m", "mm", "um", "nm"}, optional
        Of the numbers; by default what the file says.
    columns : str, optional
        Names of a table's columns, such as ``"y,x"``; by default its header.

    Raises
    ------
    SourceError
        The file has no positions.
    OptionError
        The unit is none, or `columns` does not fit the file.
    """
    check_unit(unit)
    path, key = split_key(fspath(reference))
    kind = file_kind(path)
    if key is not None:
        return _positions_at(path, key, unit, columns)
    if columns is not None and kind in (HDF5, NPZ):
        raise OptionError(
            "positions_columns", f"applies to tables (text and NPY files); {path.name} is an {kind.upper()} file"
        )
    if kind == HDF5:
        with Hdf5Source(path) as source:
            return replace(positions_in(source, unit), metadata=hdf5_metadata(source))
    if kind == NPZ:
        with NpzArchive(path) as archive:
            return positions_in_npz(archive, unit)
    if path.suffix.lower() == MDA_SUFFIX:
        table = read_mda(path, unit)
    else:
        table = read_npy_table(path, columns) if kind == NPY else read_text_table(path, unit, columns)
    return Positions(table.x, table.y, unit or table.unit, table.numbers, table.scan_index, files=(path,))


def _positions_at(path: Path, key: str, unit: str | None, columns: str | None) -> Positions:
    """Read positions from one array [N, 2] in a file, or from two arrays x,y [N]."""
    keys, kind = key.split(","), file_kind(path)
    if len(keys) != 2 or kind not in (HDF5, NPZ):
        array, files = read_array(f"{path}:{key}", "positions", ())
        table = table_of(array, path, columns)
        said = None
        if kind == HDF5:
            with Hdf5Source(path) as source:
                said = unit_said(source.attributes(key))
        return Positions(table.x, table.y, unit or table.unit or said, table.numbers, table.scan_index, files=files)
    if columns is not None:
        raise OptionError("positions_columns", "names the columns of one array; two arrays are x and y")
    (x, files), (y, _) = (read_array(f"{path}:{name}", "positions", ()) for name in keys)
    if kind == HDF5:
        with Hdf5Source(path) as source:
            unit = unit or unit_said(source.attributes(keys[0]))
    return Positions(_flat(x), _flat(y), unit, files=files)


def unit_said(attributes: Mapping[str, Any]) -> str | None:
    """Return the unit of positions that a dataset's attribute says; None where it is none that is known."""
    said = as_text(attributes.get("units"))
    said = SPELLINGS.get(said.lower(), said)
    return said if said in UNITS else None


def own_positions(source: Hdf5Source, shape: Sequence[int], unit: str | None = None) -> Positions:
    """Read the positions of frames of that shape from their file: its own, those of its grid, or of the file beside it.

    Raises
    ------
    SourceError
        There are none.
    """
    try:
        return positions_in(source, unit)
    except NoPositionsError:
        found = nexus_positions(source, shape)
        if found is not None:
            x, y, said, _ = found
            return Positions(x, y, unit or said, files=source.files)
        steps_m = None if scan_grid(shape) is None else steps_in(source)
        if steps_m is not None:
            return Positions(*grid_positions(shape, steps_m, source.path), "m", files=source.files)
        beside = file_beside(source)
        if beside is not None:
            return read_positions(beside, unit)
        if scan_grid(shape) is not None:
            problem = "there are no positions; give --positions or --scan-step, the step of the scan, such as 0.2nm"
            raise SourceError(source.path, problem) from None
        raise


def file_beside(source: Hdf5Source) -> Path | None:
    """Return the file with positions that belongs to one with frames by its name; None where there is none."""
    for before, after in (layout.beside for layout in layouts_of(source) if layout.beside is not None):
        beside = source.path.with_name(source.path.stem.removesuffix(before) + after + source.path.suffix)
        if source.path.stem.endswith(before) and beside.is_file():
            return beside
    return None


class NoPositionsError(SourceError):
    """No layout has positions."""


def positions_in(source: Hdf5Source, unit: str | None = None) -> Positions:
    """Read positions, and what else there is, where one of the known layouts has them.

    Raises
    ------
    SourceError
        None has.
    """
    found = position_columns(source)
    if found is not None:
        layout, (x, y, said) = found
        object_, is_synthetic = find_picture(source, "object"), False
        if object_ is None:
            object_, is_synthetic = cxi_object(source)
        positions = Positions(
            x,
            y,
            unit or said or layout.unit,
            numbers=_numbers(source, layout.numbers, len(x)),
            scan_index=_numbers(source, layout.scan_index, len(x)),
            probe=find_probe(source),
            object=object_,
            files=source.files,
            is_object_synthetic=is_synthetic,
            reconstruction=cxi_results(source),
        )
        product = product_parts(source)
        if product is None:
            return positions
        return _of_product(source, positions, product[1], has_metres=unit in (None, layout.unit))
    known = dict.fromkeys(name for program in LAYOUTS for layout in program.positions for name in (layout.x, layout.y))
    raise NoPositionsError(
        source.path, f"there are no positions; give --positions, or store them under one of {', '.join(known)}"
    )


def position_columns(source: Hdf5Source) -> tuple[PositionLayout, tuple[Array, Array, str | None]] | None:
    """Return the first layout of positions that a file has, with x and y, and the unit that the file says."""
    for layout in (layout for program in layouts_of(source) for layout in program.positions):
        columns = _columns(source, layout)
        if columns is not None:
            return layout, columns
    return None


def _columns(source: Hdf5Source, layout: PositionLayout) -> tuple[Array, Array, str | None] | None:
    """Read x and y, and the unit that their dataset says; None where they are not there."""
    parts = [_positions_parts(source, path) for path in (layout.x, layout.y)]
    if not all(parts):
        return None
    for dataset in {dataset for of_axis in parts for dataset in of_axis}:
        source.require_rows(dataset, what="positions")
    unit = unit_said(parts[0][0].attrs)
    if layout.x != layout.y:
        x, y = (np.concatenate([_flat(source.read(part)) for part in of_axis]) for of_axis in parts)
        return x, y, unit
    tables = [source.read_table(part) for part in parts[0]]
    if layout.is_transposed:
        tables = [table.T for table in tables]
    for table in tables:
        if table.ndim != 2 or table.shape[1] not in (2, 3):
            expected = "[2, N]" if layout.is_transposed else f"[N, 3], positions along {layout.order}, z"
            raise SourceError(source.path, key=layout.x, found=f"shape {table.shape}", expected=expected)
    columns = dict(zip(layout.order.split(", "), np.concatenate([table[:, :2] for table in tables]).T, strict=True))
    return columns["x"], columns["y"], unit


def _positions_parts(source: Hdf5Source, path: str) -> list[h5py.Dataset]:
    if "*" not in path:
        return parts_at(source, path)
    found = first_named(source, (path,))
    return [] if found is None else [found]


def _numbers(source: Hdf5Source, path: str | None, positions: int) -> Array | None:
    """Read the numbers of positions; where these are in parts and do not have one each, they are counted."""
    numbers = None if path is None else read_place(source, path)
    if numbers is None or path is None:
        return None
    if "#" not in path:
        return _flat(numbers)
    return numbers.reshape(-1).astype(np.int64) if numbers.size == positions else np.arange(positions)


def _of_product(source: Hdf5Source, positions: Positions, object_: h5py.Dataset, has_metres: bool) -> Positions:
    """Add what a product has beside positions and probe."""
    x_m, y_m, numbers = (
        _read_if_there(source, dataset.name)
        for dataset in (contract.POSITION_X, contract.POSITION_Y, contract.POSITION_INDEXES)
    )
    assert x_m is not None
    assert y_m is not None
    return replace(
        positions,
        numbers=numbers,
        object=source.read(object_),
        is_object_synthetic=bool(object_.attrs.get(contract.SYNTHETIC.name, False)),
        metres=(x_m, y_m) if has_metres and x_m.shape == positions.x.shape else None,
        product=source.path,
        reconstruction=product_reconstruction(source),
    )


def _read_if_there(source: Hdf5Source, name: str | None) -> Array | None:
    dataset = None if name is None else source.find(name)
    return None if dataset is None else _flat(source.read(dataset))


def _flat(array: Array) -> Array:
    """Return [1, N] or [N, 1], which is what MATLAB makes of [N], as [N]."""
    return array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array
