"""NeXus's data groups: ``signal`` names the frames, ``axes`` and ``NAME_indices`` the positions of the scan.

See https://manual.nexusformat.org/classes/base_classes/NXdata.html.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import warn
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.model.positions import UNITS_M
from ptychoproduct.scan.field_values import SPELLINGS
from ptychoproduct.scan.places import as_text

_MOST_GROUPS = 1000
# samx, SampleX, x_set, stage_x_readback; not max, index.
_AXIS = re.compile(r"(?:.*[^a-zA-Z]|.*[a-z](?=[XY])|sam|scan|stage|pos|)([xXyY])(?:[^a-zA-Z].*|)")


def nexus_signals(source: Hdf5Source) -> Iterator[str]:
    """Give the paths of the signals of a file's data groups, the default one's first."""
    for group in _data_groups(source):
        signal = _signal(source, group)
        if signal is not None:
            yield f"{group}/{signal}"


def nexus_positions(source: Hdf5Source, shape: Sequence[int]) -> tuple[Array, Array, str | None, str] | None:
    """Return x and y [N], their unit, and their paths, of frames of that shape; None where no data group has them.

    Warns
    -----
    ProductWarning
        The names of axes of a grid do not say which is x.
    """
    for group in _data_groups(source):
        signal = _signal(source, group)
        found = None if signal is None else source.find(f"{group}/{signal}")
        if found is None or found.shape != tuple(shape) or found.ndim < 3:
            continue
        scan = found.shape[:-2]
        axes = dict(_axes(source, group, scan))
        of = {letter: [name for name in axes if _letter(name) == letter] for letter in "xy"}
        if len(of["x"]) != 1 or len(of["y"]) != 1:
            if len(scan) != 2 or len(axes) != 2:
                continue
            y, x = axes  # in the order of the frames' axes
            warn(f"{source.path}: {group}: axes {y}, {x}: rows of the scan are taken as y, columns as x")
            of = {"x": [x], "y": [y]}
        names = (of["x"][0], of["y"][0])
        units = {_unit(source.attributes(f"{group}/{name}")) for name in names}
        if len(units) == 1 and (unit := units.pop()) in (None, *UNITS_M):
            x_of, y_of = (np.broadcast_to(axes[name], scan).astype(np.float64).reshape(-1) for name in names)
            return x_of, y_of, unit, ", ".join(f"{group}/{name}" for name in names)
    return None


def _data_groups(source: Hdf5Source) -> Iterator[str]:
    """Give the groups of class NXdata; those that ``default`` leads to before the others."""
    default, group = "", "/"
    while name := as_text(source.attributes(group).get("default")):
        group = f"{default}/{name.strip('/')}" if not name.startswith("/") else name
        if group in (default, "/") or group.count("/") > 8:
            break
        default = group
    if default and _class(source, default) == "NXdata":
        yield default
    unvisited, seen = ["/"], 0
    while unvisited and seen < _MOST_GROUPS:
        parent = unvisited.pop(0)
        for name in source.groups(parent):
            seen += 1
            path = f"{parent.rstrip('/')}/{name}"
            unvisited.append(path)
            if path != default and _class(source, path) == "NXdata":
                yield path


def _class(source: Hdf5Source, group: str) -> str:
    return as_text(source.attributes(group).get("NX_class"))


def _signal(source: Hdf5Source, group: str) -> str | None:
    """Return the name of a group's signal: what its attribute says, or the dataset whose attribute signal is 1."""
    said = as_text(source.attributes(group).get("signal"))
    if said:
        return said if "/" not in said and source.exists(f"{group}/{said}") else None
    for name in source.names(group):
        if str(source.attributes(f"{group}/{name}").get("signal", "")).strip("b'") == "1":
            return name
    return None


def _axes(source: Hdf5Source, group: str, scan: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """Give the names of axes of the scan, and their values in a shape that fits the scan's."""
    attributes = source.attributes(group)
    names = [as_text(name) for name in np.atleast_1d(np.asarray(attributes.get("axes", ())))]
    places: dict[str, tuple[int, ...]] = {name: (at,) for at, name in enumerate(names)}
    for key in attributes:
        indices = np.atleast_1d(np.asarray(attributes[key]))
        if key.endswith("_indices") and indices.dtype.kind in "iu":
            places[key.removesuffix("_indices")] = tuple(indices.tolist())
    for name, axes in places.items():
        if name in ("", ".") or "/" in name or any(axis >= len(scan) for axis in axes):
            continue
        found = source.find(f"{group}/{name}")
        expected = tuple(scan[axis] for axis in axes)
        if found is None or found.dtype.kind not in "iuf" or math.prod(found.shape or ()) != math.prod(expected):
            continue
        values = source.read(found).reshape(expected)
        yield name, values.reshape([length if axis in axes else 1 for axis, length in enumerate(scan)])


def _letter(name: str) -> str | None:
    match = _AXIS.fullmatch(name)
    return None if match is None else match[1].lower()


def _unit(attributes: Mapping[str, Any]) -> str | None:
    """Return the unit of an axis; None where it does not say one."""
    said = as_text(attributes.get("units"))
    return SPELLINGS.get(said.lower(), said) or None
