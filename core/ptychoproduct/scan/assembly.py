"""Putting a scan together: frames from one file, positions and probe from that file or from companion files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.matlab import is_matlab_file
from ptychoproduct.model.array_checks import require_length
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.positions import check_unit, rows_of_frames
from ptychoproduct.scan.field_layouts import FRAME_NUMBERS
from ptychoproduct.scan.field_values import said_by
from ptychoproduct.scan.positions import Positions
from ptychoproduct.scan.scan import Extra, FrameStack, Scan


@dataclass(frozen=True)
class Companions:
    """Where positions and probe are, if not in the file that holds the frames.

    Parameters
    ----------
    positions : path, or pair of arrays [N], optional
        See `read_positions`; or x and y themselves.
    positions_in : {"px", "m", "mm", "um", "nm"}, optional
        Their unit; by default what the file says.
    probe : str, path or array, optional
        See `read_probe`; or the probe itself. By default that of the file of positions, or of frames.
    positions_columns : str, optional
        See `read_positions`.
    scan_step_m : tuple of float, optional
        Of frames on a grid, see `grid_positions`.
    """

    positions: str | PathLike[str] | tuple[Array, Array] | None = None
    positions_in: str | None = None
    probe: str | PathLike[str] | Array | None = None
    positions_columns: str | None = None
    scan_step_m: tuple[float, ...] | None = None


def given_positions(companions: Companions, path: Path, shape: Sequence[int]) -> Positions | None:
    """Return positions that are not in the file of the frames, which have that shape; None where none are given."""
    given = companions.positions
    check_unit(companions.positions_in)
    if companions.scan_step_m is not None:
        from ptychoproduct.scan.grid_positions import grid_positions  # with what reads steps in HDF5 files, 4 ms

        return Positions(*grid_positions(shape, companions.scan_step_m, path), "m")
    if given is None:
        return None
    if isinstance(given, tuple):
        x, y = map(np.asarray, given)
        return Positions(x, y, companions.positions_in)
    # What reads all kinds of files of positions takes 15 ms to import, and most scans have theirs.
    from ptychoproduct.scan.companions import read_positions

    return read_positions(given, companions.positions_in, companions.positions_columns)


def probe_of(
    path: Path, companions: Companions, positions: Positions, own: Callable[[], Array | None]
) -> tuple[Array, tuple[Path, ...]]:
    """Return the probe, and the files that it was read from; `own` reads that of the file of frames."""
    given = companions.probe
    if isinstance(given, np.ndarray):
        return given, ()
    if given is not None:
        from ptychoproduct.scan.array_files import read_probe  # and what reads images, 5 ms

        return read_probe(fspath(given))
    found = own() if positions.probe is None else positions.probe
    if found is None:
        raise SourceError(path, key="probeGuess", found="no probe", expected="--probe")
    return found, ()


def paired(origin: Path, shape: tuple[int, ...], positions: Positions, numbers: Array | None = None) -> Positions:
    """Return one position for each frame: of its number, where positions or frames have numbers, else of its row."""
    if positions.numbers is None:
        return positions if numbers is None else replace(positions, scan_index=numbers)
    if numbers is None:
        numbers = np.arange(len(positions.numbers) if len(positions.numbers) in shape else shape[0])
    rows = rows_of_frames(numbers, positions.numbers, origin, FRAME_NUMBERS)
    x, y, scan_index = positions.x, positions.y, positions.scan_index
    for key, values in (("x", x), ("y", y), ("scan_index", x if scan_index is None else scan_index)):
        require_length(len(values), len(positions.numbers), key, origin, "numbers of positions")
    return replace(
        positions,
        x=x[rows],
        y=y[rows],
        scan_index=numbers if scan_index is None else scan_index[rows],
        numbers=numbers,
        rows=None if np.array_equal(rows, np.arange(len(x))) else rows,
        metres=None if positions.metres is None else (positions.metres[0][rows], positions.metres[1][rows]),
        reconstruction=positions.reconstruction.of_rows(rows),
    )


def assembled(
    origin: Path,
    files: tuple[Path, ...],
    frames: FrameStack | None,
    positions: Positions,
    probe: tuple[Array, tuple[Path, ...]],
    extras: Iterable[Extra] = (),
    bad_pixels: Array | None = None,
    metadata: ExportMeta | None = None,
    notes: tuple[str, ...] = (),
) -> Scan:
    """Put the parts together; what the file of positions says of itself wins over what that of the frames says."""
    said: dict[str, Any] = {}
    files_of: dict[str, Path] = {}
    for path, meta in (
        (origin, metadata or ExportMeta()),
        (positions.files[0] if positions.files else origin, positions.metadata),
    ):
        names = said_by(meta)
        said |= {name: getattr(meta, name) for name in names}
        files_of |= dict.fromkeys(names, path)
    # A centre is that of an object, in the frame of its scan positions.
    if positions.object is None and positions.files != files:
        said = {name: value for name, value in said.items() if not name.startswith("object_center")}
    files = (*files, *positions.files, *probe[1])
    matlab = [path.name for path in dict.fromkeys(files) if is_matlab_file(path)]
    if matlab:
        notes = (*notes, f"axes are as MATLAB shows them, of {', '.join(matlab)}")
    return Scan(
        origin=origin,
        x=positions.x,
        y=positions.y,
        positions_in=positions.unit,
        probe=probe[0],
        frames=frames,
        object=positions.object,
        scan_index=positions.numbers if positions.scan_index is None else positions.scan_index,
        extras=extras,
        bad_pixels=bad_pixels,
        files=files,
        numbers=positions.numbers,
        positions_m=positions.metres,
        is_object_synthetic=positions.is_object_synthetic,
        reconstruction=positions.reconstruction,
        product=positions.product,
        metadata=ExportMeta(**said),
        metadata_files=files_of,
        notes=notes,
    )
