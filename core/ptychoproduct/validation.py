"""Holding a file against the contract: small checks, each of which tells all that it finds.

A check is a function that yields `Problem` objects, registered with `@check`; adding one touches nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import h5py
import hdf5plugin  # noqa: F401 - registers the filters that frames are compressed with
import numpy as np

from ptychoproduct import contract
from ptychoproduct.axes import axis_order, canonical_axes
from ptychoproduct.errors import ContractError, OptionError, ProductError
from ptychoproduct.export import frames_member
from ptychoproduct.links import local_dataset, open_hdf5, reading
from ptychoproduct.metadata import ExportMeta
from ptychoproduct.npz import NpzArchive
from ptychoproduct.positions import outside_object
from ptychoproduct.reader import blocks_of, read_attribute
from ptychoproduct.sources import member_rows
from ptychoproduct.streaming import Progress

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or that deserves a look.

    Parameters
    ----------
    severity : {"error", "warning"}
        Errors make the product invalid.
    where : str
        HDF5 path, with ``@name`` for an attribute.
    message : str
        What was found, and what was expected.
    """

    severity: Literal["error", "warning"]
    where: str
    message: str


@dataclass(frozen=True)
class ValidationReport:
    """Everything that the checks found.

    Parameters
    ----------
    product : Path
    checks : tuple of str
        Names of the checks that were run.
    problems : tuple of Problem
    """

    product: Path
    checks: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def is_valid(self) -> bool:
        """Whether there are no errors."""
        return not any(problem.severity == "error" for problem in self.problems)


@dataclass(frozen=True)
class Subject:
    """What the checks look at.

    Parameters
    ----------
    file : h5py.File
    datasets : dict
        Datasets of the contract that there are and that lie in the file, by their first name.
    source_npz : Path or None
        A scan to compare with.
    deep : bool
        Whether frames are decoded.
    progress : callable or None
    """

    file: h5py.File
    datasets: dict[str, h5py.Dataset]
    source_npz: Path | None = None
    deep: bool = False
    progress: Progress | None = None
    read: dict[str, Array] = field(default_factory=dict)

    def get(self, dataset: contract.Dataset) -> h5py.Dataset | None:
        """Return a dataset of the contract, None where there is none."""
        return self.datasets.get(dataset.name)

    def values(self, dataset: contract.Dataset) -> Array | None:
        """Return the values of a dataset of the contract, None where there are none or they cannot be read."""
        found = self.get(dataset)
        if found is None:
            return None
        if dataset.name not in self.read:
            try:
                with reading(found):
                    self.read[dataset.name] = found[()]
            except ContractError:
                return None  # reported by `readable`
        return self.read[dataset.name]


Check = Callable[[Subject], Iterator[Problem]]
_CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Register a check under its function's name."""
    _CHECKS[function.__name__] = function
    return function


def validate_product(
    path: str | PathLike[str],
    *,
    source_npz: str | PathLike[str] | None = None,
    deep: bool = False,
    progress: Progress | None = None,
) -> ValidationReport:
    """Check a product against the contract.

    Parameters
    ----------
    path : path
    source_npz : path, optional
        The scan that the product was made from; its positions and frames are compared.
    deep : bool
        Whether every chunk of every dataset is decoded.
    progress : callable, optional
        Called with a number of bytes whenever frames of that size have been looked at.

    Returns
    -------
    ValidationReport

    Raises
    ------
    SourceError
        A file cannot be opened.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        problems: list[Problem] = []
        datasets: dict[str, h5py.Dataset] = {}
        for expected in contract.DATASETS:
            try:
                found = _find(file, expected)
            except ContractError as error:
                problems.append(
                    Problem("error", f"/{expected.name}", f"found {error.found}, expected {error.expected}")
                )
            else:
                if found is not None:
                    datasets[expected.name] = found
        subject = Subject(file, datasets, None if source_npz is None else Path(source_npz), deep, progress)
        for function in _CHECKS.values():
            problems.extend(function(subject))
        return ValidationReport(path, tuple(_CHECKS), tuple(dict.fromkeys(problems)))


@check
def attributes_present(subject: Subject) -> Iterator[Problem]:
    """Required attributes are there, each readable as its type."""
    groups: list[tuple[str, Any, tuple[contract.Attribute, ...]]] = [("/", subject.file, contract.ROOT_ATTRIBUTES)]
    for dataset in contract.DATASETS:
        found = subject.get(dataset)
        if found is not None:
            groups.append((f"/{dataset.name}", found, dataset.attributes))
    for where, target, attributes in groups:
        for attribute in attributes:
            try:
                value = read_attribute(target, attribute)
            except ContractError as error:
                yield Problem("error", f"{where}@{attribute.name}", f"found {error.found}, expected {attribute.dtype}")
                continue
            if value is None and attribute.presence == "required":
                yield Problem("error", f"{where}@{attribute.name}", "missing, required")
            if isinstance(value, float) and not np.isfinite(value):
                yield Problem("error", f"{where}@{attribute.name}", f"found {value}, expected a finite number")


@check
def attribute_aliases_agree(subject: Subject) -> Iterator[Problem]:
    """Two spellings of an attribute hold one value."""
    for attribute in contract.ROOT_ATTRIBUTES:
        values = {
            name: subject.file.attrs[name]
            for name in (attribute.name, *attribute.aliases)
            if name in subject.file.attrs
        }
        if len({str(value) for value in values.values()}) > 1:
            found = ", ".join(f"{name} = {value}" for name, value in values.items())
            yield Problem("error", f"/@{attribute.name}", f"found {found}, expected one value")


@check
def datasets_present(subject: Subject) -> Iterator[Problem]:
    """Required datasets are there, of the right type and dimensions."""
    for expected in contract.DATASETS:
        required = expected.presence == "required"
        if expected in contract.RAW_DATASETS:
            required = required and contract.RAW_DATA in subject.file
        found = subject.get(expected)
        where = f"/{expected.name}"
        if found is None:
            if required:
                yield Problem("error", where, "missing, required")
            continue
        if found.dtype.newbyteorder("=").name not in expected.dtypes:
            yield Problem("error", where, f"found {found.dtype}, expected {' or '.join(expected.dtypes)}")
        if found.ndim not in map(len, expected.shapes):
            shapes = " or ".join(f"[{', '.join(shape)}]" for shape in expected.shapes)
            yield Problem("error", where, f"found shape {found.shape}, expected {shapes}")


@check
def readable(subject: Subject) -> Iterator[Problem]:
    """The small datasets can be read."""
    for expected in contract.ROOT_DATASETS:
        found = subject.get(expected)
        if found is not None and subject.values(expected) is None:
            yield Problem("error", f"/{expected.name}", "cannot be read: its data or filter is damaged or missing")


@check
def one_length(subject: Subject) -> Iterator[Problem]:
    """Everything that has one entry a position has as many as there are positions."""
    positions = subject.get(contract.POSITION_X)
    if positions is None or positions.ndim != 1:
        return
    for expected in contract.DATASETS:
        found = subject.get(expected)
        if found is None or expected.shapes[0][0] != "N" or found.ndim != len(expected.shapes[0]):
            continue
        if found.shape[0] != len(positions):
            message = f"found length {found.shape[0]}, expected {len(positions)}, the positions"
            yield Problem("error", f"/{expected.name}", message)


@check
def positions_finite(subject: Subject) -> Iterator[Problem]:
    """Every position is a number."""
    for expected in (contract.POSITION_X, contract.POSITION_Y):
        values = subject.values(expected)
        if values is not None and values.dtype.kind in "iuf":
            count = int(np.count_nonzero(~np.isfinite(values)))
            if count:
                yield Problem("error", f"/{expected.name}", f"found {count} values that are not finite")


@check
def indexes_pair(subject: Subject) -> Iterator[Problem]:
    """Indexes can pair patterns with positions."""
    indexes = subject.values(contract.POSITION_INDEXES)
    if indexes is None or indexes.dtype.kind not in "iu":
        return
    where = f"/{contract.POSITION_INDEXES.name}"
    distinct = len(np.unique(indexes))
    if distinct < indexes.size:
        message = (
            f"found {distinct} distinct values for {indexes.size} positions; ptychodus averages those of one index"
        )
        yield Problem("warning", where, message)
    if indexes.size and indexes.min() < 0:
        yield Problem("error", where, f"found {indexes.min()}, expected no negative index")


@check
def pixel_sizes_positive(subject: Subject) -> Iterator[Problem]:
    """Pixels have a size."""
    for expected in (contract.PROBE, contract.OBJECT):
        found = subject.get(expected)
        if found is None:
            continue
        for attribute in expected.attributes:
            if not attribute.name.startswith("pixel_") or attribute.name not in found.attrs:
                continue
            size = found.attrs[attribute.name]
            if np.isreal(size) and not np.all(size > 0):
                yield Problem("error", f"/{expected.name}@{attribute.name}", f"found {size}, expected a positive size")


@check
def layers_spaced(subject: Subject) -> Iterator[Problem]:
    """There is one spacing between two object layers."""
    found, spacing = subject.get(contract.OBJECT), subject.get(contract.OBJECT_LAYER_SPACING)
    if found is None or spacing is None or found.ndim not in (2, 3):
        return
    layers = found.shape[0] if found.ndim == 3 else 1
    if spacing.shape != (layers - 1,):
        message = f"found shape {spacing.shape}, expected ({layers - 1},) for {layers} object layers"
        yield Problem("error", f"/{contract.OBJECT_LAYER_SPACING.name}", message)


@check
def opr_weights_fit(subject: Subject) -> Iterator[Problem]:
    """OPR weights have one column a coherent mode, and are the same in both places."""
    probe, weights = subject.get(contract.PROBE), subject.values(contract.OPR)
    if probe is None:
        return
    attribute = probe.attrs.get(contract.OPR.name)
    modes = probe.shape[0] if probe.ndim == 4 else 1
    for where, values in ((f"/{contract.OPR.name}", weights), (f"/probe@{contract.OPR.name}", attribute)):
        if values is not None and (np.ndim(values) != 2 or np.shape(values)[1] != modes):
            message = f"found shape {np.shape(values)}, expected [K, {modes}] for {modes} coherent modes"
            yield Problem("error", where, message)
    if weights is not None and attribute is not None and not np.array_equal(weights, attribute, equal_nan=True):
        yield Problem("error", f"/{contract.OPR.name}", "found other values than the attribute of the probe has")


@check
def losses_agree(subject: Subject) -> Iterator[Problem]:
    """Losses and epochs have one length, and every name of the losses the same values."""
    values, epochs = subject.values(contract.LOSS_VALUES), subject.get(contract.LOSS_EPOCHS)
    if values is None:
        return
    if epochs is not None and epochs.shape != values.shape:
        message = f"found shape {epochs.shape}, expected {values.shape}, like the losses"
        yield Problem("error", f"/{contract.LOSS_EPOCHS.name}", message)
    for alias in contract.LOSS_VALUES.aliases:
        if contract.LOSS_VALUES.name in subject.file and alias in subject.file:
            other = local_dataset(subject.file, alias)
            if other is not None and not np.array_equal(other[()], values, equal_nan=True):
                yield Problem("error", f"/{alias}", f"found other values than in {contract.LOSS_VALUES.name}")


@check
def polarization_known(subject: Subject) -> Iterator[Problem]:
    """The polarization is one that ptychodus knows."""
    value = subject.file.attrs.get("polarization")
    if value is not None and value not in contract.POLARIZATIONS:
        expected = " or ".join(contract.POLARIZATIONS)
        yield Problem("error", "/@polarization", f"found {value!r}, expected {expected}")


@check
def photon_counts_counted(subject: Subject) -> Iterator[Problem]:
    """Photon counts are finite and not negative; ptychodus refuses others."""
    counts = subject.values(contract.PHOTON_COUNTS)
    if counts is not None and counts.dtype.kind in "iuf" and not (np.isfinite(counts) & (counts >= 0)).all():
        yield Problem("error", f"/{contract.PHOTON_COUNTS.name}", "found values that are negative or not finite")


@check
def frames_canonical(subject: Subject) -> Iterator[Problem]:
    """Frames are in the canonical order, and say so."""
    frames = subject.get(contract.DIFFRACTION)
    if frames is None:
        return
    for attribute, expected in (
        (contract.AXIS_CANONICAL, ("NHW",)),
        (contract.ORIGINAL_AXIS_ORDER, contract.AXIS_ORDERS),
    ):
        value = frames.attrs.get(attribute.name)
        if value is not None and value not in expected:
            message = f"found {value!r}, expected {' or '.join(expected)}"
            yield Problem("error", f"/{contract.DIFFRACTION.name}@{attribute.name}", message)


@check
def pixels_and_metres_agree(subject: Subject) -> Iterator[Problem]:
    """Positions in pixels, times the object pixel size, are the positions in metres."""
    found = subject.get(contract.OBJECT)
    for raw, positions, size in (
        (contract.RAW_X, contract.POSITION_X, contract.OBJECT_PIXEL_WIDTH),
        (contract.RAW_Y, contract.POSITION_Y, contract.OBJECT_PIXEL_HEIGHT),
    ):
        px, m = subject.values(raw), subject.values(positions)
        if found is None or px is None or m is None or size.name not in found.attrs or px.shape != m.shape:
            continue
        pixel_m = found.attrs[size.name]
        if not np.allclose(px * pixel_m, m, rtol=1e-6, atol=1e-6 * abs(pixel_m)):
            message = f"found other positions than {raw.name} times the object's {size.name}"
            yield Problem("error", f"/{positions.name}", message)


@check
def positions_on_object(subject: Subject) -> Iterator[Problem]:
    """The scan lies on the object."""
    found = subject.get(contract.OBJECT)
    x_m, y_m = subject.values(contract.POSITION_X), subject.values(contract.POSITION_Y)
    if found is None or x_m is None or y_m is None or x_m.shape != y_m.shape or found.ndim < 2:
        return
    try:
        values = {attribute.field: read_attribute(found, attribute) for attribute in contract.OBJECT.attributes}
        meta = ExportMeta(**{name: value for name, value in values.items() if name and value is not None})
    except (ContractError, OptionError):
        return  # reported by other checks
    count, _ = outside_object(x_m, y_m, found.shape, meta)
    if count:
        message = f"found {count} of {len(x_m)} positions outside the object, by its center and pixel size"
        yield Problem("warning", f"/{contract.POSITION_X.name}", message)


@check
def object_measured(subject: Subject) -> Iterator[Problem]:
    """The object is a result, not a stand-in."""
    found = subject.get(contract.OBJECT)
    if found is not None and found.attrs.get(contract.SYNTHETIC.name, False):
        yield Problem("warning", f"/{contract.OBJECT.name}", "synthetic: ones that stand for an object nobody gave")


@check
def links_stay_inside(subject: Subject) -> Iterator[Problem]:
    """Nothing in the file leads out of it."""
    groups = [subject.file]
    if isinstance(subject.file.get(contract.RAW_DATA, getlink=True), h5py.HardLink):
        raw = subject.file[contract.RAW_DATA]
        groups += [raw] if isinstance(raw, h5py.Group) else []
    for group in groups:
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                where = f"{group.name.rstrip('/')}/{name}"
                yield Problem("error", where, f"found a link to {link.filename}, expected data in this file")


@check
def frames_decode(subject: Subject) -> Iterator[Problem]:
    """Every chunk can be decoded; with ``deep`` only."""
    if not subject.deep:
        return
    frames = subject.get(contract.DIFFRACTION)
    if frames is None or frames.ndim < 1:
        return
    rows = frames.chunks[0] if frames.chunks else max(1, len(frames))
    for first in range(0, len(frames), rows):
        try:
            with reading(frames):
                block = frames[first : first + rows]
        except ContractError as error:
            last = min(first + rows, len(frames)) - 1
            yield Problem("error", f"/{contract.DIFFRACTION.name}", f"frames {first} to {last}: {error}")
        else:
            if subject.progress is not None:
                subject.progress(block.nbytes)


@check
def same_as_source(subject: Subject) -> Iterator[Problem]:
    """Positions and frames are those of the source; with ``source_npz`` only."""
    if subject.source_npz is None:
        return
    with NpzArchive(subject.source_npz) as archive:
        yield from _compare_positions(subject, archive)
        yield from _compare_frames(subject, archive)


def _compare_positions(subject: Subject, archive: NpzArchive) -> Iterator[Problem]:
    found = subject.get(contract.OBJECT)
    for key, positions, size in (
        ("xcoords", contract.POSITION_X, contract.OBJECT_PIXEL_WIDTH),
        ("ycoords", contract.POSITION_Y, contract.OBJECT_PIXEL_HEIGHT),
    ):
        values = subject.values(positions)
        if values is None or found is None or size.name not in found.attrs:
            continue
        expected = archive.read(archive.require(key)) * found.attrs[size.name]
        if values.shape != expected.shape:
            yield Problem("error", f"/{positions.name}", f"found {len(values)} positions, expected {len(expected)}")
        elif not np.array_equal(values, expected):
            index = int(np.argmax(values != expected))
            message = f"found {values[index]} at position {index}, expected {expected[index]} by the source's {key}"
            yield Problem("error", f"/{positions.name}", message)


def _compare_frames(subject: Subject, archive: NpzArchive) -> Iterator[Problem]:
    frames = subject.get(contract.DIFFRACTION)
    where = f"/{contract.DIFFRACTION.name}"
    if frames is None:
        yield Problem("warning", where, "no frames to compare with the source")
        return
    try:
        member = frames_member(archive)
        order = axis_order(member.shape, len(frames), _recorded_order(frames), archive.path, member.key)
    except ProductError as error:
        yield Problem("error", where, f"cannot be compared: {error}")
        return
    rows = member_rows(archive, member, canonical_axes(order))
    if (rows.shape, rows.dtype) != (frames.shape, frames.dtype):
        yield Problem("error", where, f"found {frames.dtype} {frames.shape}, expected {rows.dtype} {rows.shape}")
        return
    first = 0
    for block in blocks_of(frames):
        expected = np.empty(block.shape, block.dtype)
        rows.read_into(first, memoryview(expected).cast("B"))
        same = (block.view(np.uint8) == expected.view(np.uint8)).reshape(len(block), -1).all(axis=1)
        if not same.all():
            yield Problem("error", where, f"frame {first + int(np.argmin(same))} differs from the source")
            return
        first += len(block)
        if subject.progress is not None:
            subject.progress(block.nbytes)
    rows.finish()


def _recorded_order(frames: h5py.Dataset) -> str:
    order = str(frames.attrs.get(contract.ORIGINAL_AXIS_ORDER.name, "auto"))
    return order if order in contract.AXIS_ORDERS else "auto"


def _find(file: h5py.File, expected: contract.Dataset) -> h5py.Dataset | None:
    for name in (expected.name, *expected.aliases):
        found = local_dataset(file, name)
        if found is not None:
            return found
    return None
