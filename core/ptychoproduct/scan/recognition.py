"""What is recognised in a file that is no product, and how it is converted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.hdf5.local_links import naming_damage
from ptychoproduct.hdf5.matlab import complex_of_pairs
from ptychoproduct.model.position_units import are_metres
from ptychoproduct.model.units import field_unit
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.scan.companions import file_beside, position_columns
from ptychoproduct.scan.cxi import cxi_object_place
from ptychoproduct.scan.field_layouts import BAD_PIXELS, LAYOUTS
from ptychoproduct.scan.frame_scan import frames_dataset, mask_beside
from ptychoproduct.scan.grid_positions import scan_grid, steps_in
from ptychoproduct.scan.layout import Layout
from ptychoproduct.scan.layouts import HDF5, NPZ, content_kind
from ptychoproduct.scan.nexus import nexus_positions, nexus_signals
from ptychoproduct.scan.npz_parts import POSITION_KEYS, npz_values
from ptychoproduct.scan.npz_scan import FRAME_KEYS
from ptychoproduct.scan.places import first_named, joined_name, named, paths_of, places
from ptychoproduct.scan.ptypy import ptypy_bad_pixels
from ptychoproduct.scan.source_metadata import hdf5_values

_MOST_STACKS = 8
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Part:
    """A part of a scan.

    Parameters
    ----------
    path : str
        Of the dataset, or of two with a comma between; a file's name where it is in another one.
    shape : tuple of int
    dtype, unit : str
        "" where there is none.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Value:
    """A number: its value in that unit, and where it is."""

    value: float
    unit: str
    path: str


@dataclass(frozen=True)
class Recognition:
    """What a file has of a scan.

    Parameters
    ----------
    file : Path
    program : str
        The layout that most of it is in; "" where it is none that is known.
    parts : dict
        By "frames", "positions", "probe", "object" and "mask".
    values : dict of Value
        By the fields of `ExportMeta`.
    stacks : tuple
        Paths and shapes of what could be frames, the largest first; where there are none at a usual path.
    missing : tuple of str
        What `convert` needs and the file has not.
    problems : tuple of str
        What could not be read.
    kind : {"h5", "npz"}
    """

    file: Path
    program: str
    parts: dict[str, Part]
    values: dict[str, Value]
    stacks: tuple[tuple[str, tuple[int, ...]], ...] = ()
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    kind: str = HDF5

    @property
    def command(self) -> tuple[str, ...]:
        """The words of the command that converts it; what is in capitals has to be replaced."""
        words = ["ptychoproduct", "convert", str(self.file), f"{self.file.stem}_product.h5"]
        frames = self.parts["frames"].shape if "frames" in self.parts else self.stacks[0][1] if self.stacks else ()
        if not frames:
            words.append("--no-include-diffraction")
        elif "frames" not in self.parts:
            words += ["--frames-key" if self.kind == NPZ else "--dataset", self.stacks[0][0]]
        if "positions" in self.missing:
            words += ["--positions", "POSITIONS.csv"] if scan_grid(frames) is None else ["--scan-step", "STEP"]
        return (*words, *(("--probe", "PROBE.npy") if "probe" in self.missing else ()))


_NEEDED = ("positions", "probe")


@dataclass
class _Reading:
    """Reads part after part; what cannot be read is a problem, and no end."""

    problems: list[str] = field(default_factory=list)

    def attempt(self, read: Callable[[], _Found | None]) -> _Found | None:
        try:
            return read()
        except SourceError as error:
            self.problems.append(": ".join(filter(None, (error.key, error.sentence))))
            return None


def recognised(path: Path) -> Recognition | None:
    """Look for a scan in a file; None where it is a product, is no HDF5 file, or has nothing of a scan.

    Frames, probe and object are not read. Links are followed within the file's folder, as when it is converted.

    Raises
    ------
    SourceError
        The file is damaged.
    """
    kind = content_kind(path)
    if kind == NPZ:
        return _recognised_npz(path)
    if kind != HDF5:
        return None
    with naming_damage(path), Hdf5Source(path) as source:
        if source.exists("/probe_position_x_m"):
            return None
        found = _recognised(source)
    return found if found.parts or found.stacks or found.problems else None


def _recognised_npz(path: Path) -> Recognition | None:
    with NpzArchive(path) as archive:
        members, parts = archive.members, {}
        known = {"frames": FRAME_KEYS, "probe": ("probeGuess", "probe"), "object": ("objectGuess", "object")}
        for name, keys in (known | {"mask": (BAD_PIXELS,)}).items():
            key = next((key for key in keys if key in members), None)
            if key is not None:
                parts[name] = Part(key, members[key].shape, str(members[key].dtype))
        for x, y, unit in POSITION_KEYS:
            if {x, y} <= members.keys() and "positions" not in parts:
                parts["positions"] = Part(f"{x}, {y}", members[x].shape, str(members[x].dtype), unit or "")
        values = {name: Value(value, field_unit(name), key) for name, (value, key) in npz_values(archive).items()}
        real = {key: array.shape for key, array in members.items() if array.dtype.kind in "iuf"}
        stacks = () if "frames" in parts else tuple(item for item in real.items() if len(item[1]) in (3, 4))
        missing = tuple(name for name in _NEEDED if name not in parts)
        layout = "PtychoPINN" if "positions" in parts else ""
        return Recognition(path, layout, parts, values, stacks[:_MOST_STACKS], missing, kind=NPZ)


def _recognised(source: Hdf5Source) -> Recognition:
    reading, parts = _Reading(), {}
    usual = chain(places(source, "frames"), nexus_signals(source))
    has_frames = any(_is_there(source, path) for path in usual)  # that there are none is no problem
    frames = reading.attempt(lambda: frames_dataset(source)) if has_frames else None
    if frames is not None:
        parts["frames"] = _part(source, frames)
    positions = reading.attempt(lambda: _positions(source, frames))
    if positions is not None:
        parts["positions"] = positions
    for name in ("probe", "object"):
        dataset = reading.attempt(partial(first_named, source, tuple(paths_of(source, name))))
        if dataset is None and name == "object":
            dataset = reading.attempt(lambda: cxi_object_place(source))
        if dataset is not None:
            parts[name] = _part(source, dataset)
    if frames is not None:
        mask = reading.attempt(lambda: mask_beside(source, frames, frames.shape))
        weights = None if mask is not None else reading.attempt(lambda: ptypy_bad_pixels(source, frames))
        if mask is not None:
            parts["mask"] = Part(mask[0], mask[1].shape)
        elif weights is not None:
            parts["mask"] = Part("weights that are 0", weights.shape)
    numbers = reading.attempt(lambda: hdf5_values(source, frames)) or {}
    values = {name: Value(value, field_unit(name), path) for name, (value, path) in numbers.items()}
    stacks = () if "frames" in parts else tuple(source.stacks()[:_MOST_STACKS])
    problems = dict.fromkeys((*reading.problems, *(f"{name} is not beside it" for name in source.missing)))
    return Recognition(
        source.path,
        _program(source, parts, values),
        parts,
        values,
        stacks,
        tuple(name for name in _NEEDED if name not in parts),
        tuple(problems),
    )


def _is_there(source: Hdf5Source, path: str) -> bool:
    """Whether there is something at a path, which may have ``#``; a link may lead nowhere."""
    before, number, _ = path.partition("#")
    group, _, stem = before.rpartition("/")
    if not number:
        return source.exists(path)
    return any(name.startswith(stem) and name.removeprefix(stem).isdecimal() for name in source.names(group))


def _positions(source: Hdf5Source, frames: h5py.Dataset | None) -> Part | None:
    found = position_columns(source)
    if found is not None:
        layout, (x, y, said) = found
        unit = said or layout.unit or f"{'m' if are_metres(x, y) else 'px'}, by their size"
        return Part(", ".join(dict.fromkeys((layout.x, layout.y))), x.shape, str(x.dtype), unit)
    shape = () if frames is None else frames.shape
    axes = nexus_positions(source, shape)
    if axes is not None:
        return Part(axes[3], axes[0].shape, str(axes[0].dtype), axes[2] or "")
    steps_m = None if scan_grid(shape) is None else steps_in(source)
    if steps_m is not None:
        return Part(f"a grid, {steps_m[0]:g} m between rows, {steps_m[1]:g} m between columns", scan_grid(shape) or ())
    beside = file_beside(source)
    return None if beside is None else Part(beside.name, (), unit="")


def _part(source: Hdf5Source, dataset: h5py.Dataset) -> Part:
    shape = tuple(dataset.shape[::-1] if source.is_matlab(dataset) else dataset.shape)  # as MATLAB shows it
    return Part(dataset.name, shape, str(complex_of_pairs(np.empty(0, dataset.dtype)).dtype))


def _program(source: Hdf5Source, parts: dict[str, Part], values: dict[str, Value]) -> str:
    """Return the layout that has the frames, or else the positions, and most of the others at its places."""

    def of_layout(layout: Layout) -> tuple[set[str], ...]:
        positions = {", ".join(dict.fromkeys((each.x, each.y))) for each in layout.positions}
        others = (*layout.probe, *layout.object, *layout.mask, *(place.path for place in layout.metadata))
        names = {f"/{name}" for name, _, _ in layout.names}
        return (
            {joined_name(name) for path in layout.frames for name in named(source, path) if _is_there(source, name)},
            positions,
            {name for path in others for name in named(source, path)} | names,
        )

    there = {part.path for part in parts.values()} | {value.path for value in values.values()}
    scores: list[tuple[int, ...]] = [tuple(len(found & there) for found in of_layout(layout)) for layout in LAYOUTS]
    best = max(range(len(LAYOUTS)), key=scores.__getitem__)
    return LAYOUTS[best].program if any(scores[best]) else ""
