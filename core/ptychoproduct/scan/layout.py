"""What is said of the files of a program: where they keep the parts of a scan, and in which unit.

In a path, ``#`` stands for a number: all datasets of such names are one array, in the order of their numbers. ``*``
stands for any one name. ``@`` stands before the name of an attribute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class PositionLayout(NamedTuple):
    """Where positions are.

    Parameters
    ----------
    x, y : str
        Datasets [N]; the same one for both, [N, 2] or [N, 3], has x and y in its first columns.
    unit : {"px", "m", "mm", "um", "nm"} or None
        Where the dataset has no attribute ``units`` of its own; None where the layout does not say it.
    numbers : str, optional
        Dataset [N] of the numbers by which ptychodus pairs positions and patterns.
    scan_index : str, optional
        PtychoPINN's.
    order : {"x, y", "y, x"}
        Of the columns, where x and y are in one dataset.
    is_transposed : bool
        Whether that dataset is [2, N].
    """

    x: str
    y: str
    unit: str | None
    numbers: str | None = None
    scan_index: str | None = None
    order: str = "x, y"
    is_transposed: bool = False


class StepLayout(NamedTuple):
    """Where the steps of a scan on a grid are: numbers, or axes whose first two values differ by the step.

    Parameters
    ----------
    y, x : str
        Of the first and the second axis of frames [Ry, Rx, H, W].
    unit : str
        A text that says their unit, one for both.
    """

    y: str
    x: str
    unit: str


@dataclass(frozen=True)
class MetadataPlace:
    """Where a program keeps a value.

    Parameters
    ----------
    field : str
        Of `ExportMeta`.
    path : str
        A dataset in an HDF5 file, from the root.
    unit : str
        Of the number, where the dataset has no attribute ``units``; "J/eV" and "m/Å" are told apart by its size. A
        path leads to a text that says it, such as 1/nm, of a pixel in reciprocal space.
    index : int, optional
        Of the value in an array; by default all elements must be the same.
    """

    field: str
    path: str
    unit: str
    index: int | None = None


@dataclass(frozen=True)
class Layout:
    """Where a program keeps the parts of a scan; of several paths, the first that is there counts.

    Parameters
    ----------
    program : str
        Who writes such files.
    frames, probe, object, mask : tuple of str
        Paths from the root. In a mask, not zero means bad.
    positions : tuple of PositionLayout
    steps : tuple of StepLayout
        Of scans on a grid, which have no positions.
    metadata : tuple of MetadataPlace
    names : tuple
        Single numbers at the root, and in NPZ files, by name; the fields of `ExportMeta` and the unit.
    mark : str, optional
        What only such files have; where it is not there, nothing of the layout but `names` counts.
    beside : pair of str, optional
        End of the name of the file with frames, and of the file with positions that belongs to it.
    particle : {"electron"}, optional
        Of the beam.
    positions_transform : str
        What makes ptychodus's positions of those that are there, see `parse_positions_transform`: the program, or the
        definition of the format, has the movement of the sample. It is told and never done unasked, because files of
        one format are written by several programs, and physics finds out which.
    """

    program: str
    frames: tuple[str, ...] = ()
    positions: tuple[PositionLayout, ...] = ()
    probe: tuple[str, ...] = ()
    object: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    metadata: tuple[MetadataPlace, ...] = ()
    names: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    steps: tuple[StepLayout, ...] = ()
    mark: str | None = None
    beside: tuple[str, str] | None = None
    particle: str | None = None
    positions_transform: str = ""
