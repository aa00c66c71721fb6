"""What makes a product valid: small checks, each of which reports all that it finds.

A check is a function that yields problems, registered with `@check`. Checks meet files of any content: they ask
`Subject` for what fits the contract, and leave the rest to the checks that report it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Progress
from ptychoproduct.errors import ContractError, counted
from ptychoproduct.hdf5.chunk_grid import not_stored
from ptychoproduct.hdf5.contract_fields import fits_contract, not_a_product, read_attribute, read_recipe, type_fits
from ptychoproduct.hdf5.local_links import local_dataset, reading
from ptychoproduct.hdf5.nexus import phase_rad
from ptychoproduct.model import contract
from ptychoproduct.scan.scan_files import ScanFiles

_PHASE_RAD = 1e-5  # arctangents differ by a few units in the last place from machine to machine


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or that the user should look at.

    Parameters
    ----------
    severity : {"error", "warning"}
        Errors make the product invalid.
    where : str
        HDF5 path, with ``@name`` for an attribute.
    message : str
        What is wrong, in a sentence.
    """

    severity: Literal["error", "warning"]
    where: str
    message: str


@dataclass(frozen=True)
class Subject:
    """What the checks look at.

    Parameters
    ----------
    file : h5py.File
    found : dict
        Datasets of the contract that there are and that lie in the file, by their first name.
    source : ScanFiles or None
        A scan to compare with.
    deep : bool
        Whether everything is decoded.
    progress : callable or None
    patterns : Path or None
        A patterns file that belongs to the product.
    unread : list of str
        Datasets whose content was not read, of which checks tell here.
    """

    file: h5py.File
    found: dict[str, h5py.Dataset]
    source: ScanFiles | None = None
    deep: bool = False
    progress: Progress | None = None
    patterns: Path | None = None
    unread: list[str] = field(default_factory=list)
    read: dict[str, Array | None] = field(default_factory=dict)

    def get(self, expected: contract.Dataset) -> h5py.Dataset | None:
        """Return a dataset that has the contract's kind of numbers and dimensions; None where there is none."""
        dataset = self.found.get(expected.name)
        return dataset if dataset is not None and fits_contract(dataset, expected) else None

    def values(self, expected: contract.Dataset) -> Array | None:
        """Return the values of such a dataset, None where they cannot be read."""
        if expected.name not in self.read:
            dataset = self.get(expected)
            if dataset is not None and not_stored(dataset.id):
                dataset = None
            try:
                with nullcontext() if dataset is None else reading(dataset):
                    self.read[expected.name] = None if dataset is None else dataset[()]
            except ContractError:
                self.read[expected.name] = None
        return self.read[expected.name]

    def attribute(self, expected: contract.Dataset | None, attribute: contract.Attribute) -> Any:
        """Return an attribute of a dataset, or of the root; None where it is missing or of another type."""
        target = self.file if expected is None else self.get(expected)
        try:
            return None if target is None else read_attribute(target, attribute)
        except ContractError:
            return None


Check = Callable[[Subject], Iterator[Problem]]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Register a check under its function's name."""
    CHECKS[function.__name__] = function
    return function


@check
def attributes_present(subject: Subject) -> Iterator[Problem]:
    """Required attributes are there, each readable as its type."""
    groups: list[tuple[str, Any, tuple[contract.Attribute, ...]]] = [("/", subject.file, contract.ROOT_ATTRIBUTES)]
    for dataset in contract.DATASETS:
        found = subject.found.get(dataset.name)
        if found is not None:
            groups.append((f"/{dataset.name}", found, dataset.attributes))
    for where, target, attributes in groups:
        for attribute in attributes:
            try:
                value = read_attribute(target, attribute)
            except ContractError as error:
                yield Problem("error", f"{where}@{attribute.name}", error.sentence)
                continue
            if value is None and attribute.presence == "required":
                yield Problem("error", f"{where}@{attribute.name}", "is missing; a product needs this attribute")
            if isinstance(value, float) and not np.isfinite(value):
                yield Problem("warning", f"{where}@{attribute.name}", f"found {value}, expected a finite number")


@check
def attribute_aliases_agree(subject: Subject) -> Iterator[Problem]:
    """All names of an attribute hold the same value."""
    attributes = subject.file.attrs
    for attribute in contract.ROOT_ATTRIBUTES:
        names = [name for name in (attribute.name, *attribute.aliases) if name in attributes]
        if len({str(attributes[name]) for name in names}) > 1:
            found = ", ".join(f"{name} = {attributes[name]}" for name in names)
            yield Problem("error", f"/@{attribute.name}", f"found {found}, expected one value")


@check
def datasets_present(subject: Subject) -> Iterator[Problem]:
    """Required datasets are there, of the right type and dimensions."""
    for expected in contract.DATASETS:
        found = subject.found.get(expected.name)
        where = f"/{expected.name}"
        if found is None:
            if expected.presence == "required" and (
                expected in contract.ROOT_DATASETS or subject.file.get(contract.RAW_DATA, getlink=True) is not None
            ):
                old = subject.file.get(contract.OLD_LAYER_DISTANCE.name, getlink=True)
                if expected == contract.OBJECT_LAYER_SPACING and old is not None:
                    yield Problem("warning", where, f"is missing; {contract.OLD_LAYER_DISTANCE.name} is read instead")
                    continue
                message = "is missing; a product needs this dataset"
                if expected == contract.PROBE and contract.OBJECT.name not in subject.found:
                    message = f"is missing; this {not_a_product(Path(subject.file.filename), expected.name)}"
                yield Problem("error", where, message)
            continue
        if found.shape is None:
            yield Problem("error", where, "is empty (it has no shape); store an array")
            continue
        if not type_fits(found, expected):
            yield Problem("error", where, f"found {found.dtype}, expected {' or '.join(expected.dtypes)}")
        if found.ndim not in map(len, expected.shapes):
            shapes = " or ".join(f"[{', '.join(shape)}]" for shape in expected.shapes)
            yield Problem("error", where, f"found shape {found.shape}, expected {shapes}")


@check
def readable(subject: Subject) -> Iterator[Problem]:
    """The datasets of the product itself can be read."""
    for expected in (*contract.ROOT_DATASETS, *contract.VIEW_DATASETS):
        found = subject.get(expected)
        if found is not None and subject.values(expected) is None and not not_stored(found.id):
            yield Problem("error", f"/{expected.name}", "cannot be read: its data or filter is damaged or missing")


@check
def one_length(subject: Subject) -> Iterator[Problem]:
    """What has an entry for each position has as many entries as there are positions."""
    positions = subject.get(contract.POSITION_X)
    if positions is None:
        return
    for expected in contract.DATASETS:
        found = subject.get(expected)
        if found is not None and expected.shapes[0][0] == "N" and found.shape[0] != positions.shape[0]:
            message = f"found length {found.shape[0]}, expected {positions.shape[0]}, the number of positions"
            yield Problem("error", f"/{expected.name}", message)


@check
def layers_spaced(subject: Subject) -> Iterator[Problem]:
    """There is one spacing between two object layers."""
    found, spacing = subject.get(contract.OBJECT), subject.get(contract.OBJECT_LAYER_SPACING)
    if found is None or spacing is None:
        return
    layers = found.shape[0] if found.ndim == 3 else 1
    if spacing.shape[0] != layers - 1:
        message = f"found length {spacing.shape[0]}, expected {layers - 1} for {counted(layers, 'object layer')}"
        yield Problem("error", f"/{contract.OBJECT_LAYER_SPACING.name}", message)


@check
def opr_weights_fit(subject: Subject) -> Iterator[Problem]:
    """OPR weights have a column for each coherent mode and a row for each position, alike in both places."""
    probe, weights = subject.get(contract.PROBE), subject.values(contract.OPR)
    if probe is None:
        return
    attribute = probe.attrs.get(contract.OPR.name)
    modes = probe.shape[0] if probe.ndim == 4 else 1
    for where, values in ((f"/{contract.OPR.name}", weights), (f"/probe@{contract.OPR.name}", attribute)):
        if values is not None and (np.ndim(values) != 2 or np.shape(values)[1] != modes):
            message = f"found shape {np.shape(values)}, expected [K, {modes}] for {counted(modes, 'coherent mode')}"
            yield Problem("error", where, message)
    positions = subject.get(contract.POSITION_X)
    if weights is not None and positions is not None and len(weights) != positions.shape[0]:
        message = (
            f"found {counted(len(weights), 'row')} for {counted(positions.shape[0], 'position')}; "
            "ptychodus needs a row for each position"
        )
        yield Problem("warning", f"/{contract.OPR.name}", message)
    if weights is not None and attribute is not None and not _same(weights, attribute):
        yield Problem("error", f"/{contract.OPR.name}", "its values differ from the attribute of the probe")


@check
def losses_agree(subject: Subject) -> Iterator[Problem]:
    """Losses and epochs have one length, and every name of the losses the same values."""
    values, epochs = subject.values(contract.LOSS_VALUES), subject.get(contract.LOSS_EPOCHS)
    if values is None:
        return
    if epochs is not None and epochs.shape[0] != len(values):
        message = f"found length {epochs.shape[0]}, expected {len(values)}, the number of losses"
        yield Problem("error", f"/{contract.LOSS_EPOCHS.name}", message)
    for alias in contract.LOSS_VALUES.aliases:
        try:
            other = local_dataset(subject.file, alias)
            same = other is None or _same(other[()], values)
        except (ContractError, OSError, TypeError):
            same = False
        if not same:
            yield Problem("error", f"/{alias}", f"its values differ from {contract.LOSS_VALUES.name}")


def _same(values: Array, others: Array) -> bool:
    """Whether two arrays hold the same numbers; NaN is the same as NaN."""
    return np.array_equal(values, others, equal_nan=np.asarray(values).dtype.kind in "fc")


@check
def polarization_known(subject: Subject) -> Iterator[Problem]:
    """Polarization and particle are ones that are known."""
    for attribute, known in contract.CHOICES.items():
        value = subject.attribute(None, attribute)
        if value is not None and value not in known:
            yield Problem("error", f"/@{attribute.name}", f"found {value!r}, expected {' or '.join(known)}")


@check
def photon_counts_counted(subject: Subject) -> Iterator[Problem]:
    """Photon counts are finite and not negative; ptychodus refuses others."""
    counts = subject.values(contract.PHOTON_COUNTS)
    if counts is not None and not (np.isfinite(counts) & (counts >= 0)).all():
        yield Problem("error", f"/{contract.PHOTON_COUNTS.name}", "some values are negative or not finite")


@check
def frames_canonical(subject: Subject) -> Iterator[Problem]:
    """Frames are in the canonical order, and say so."""
    for attribute, expected in (
        (contract.AXIS_CANONICAL, ("NHW",)),
        (contract.ORIGINAL_AXIS_ORDER, contract.AXIS_ORDERS),
    ):
        value = subject.attribute(contract.DIFFRACTION, attribute)
        if value is not None and value not in expected:
            message = f"found {value!r}, expected {' or '.join(expected)}"
            yield Problem("error", f"/{contract.DIFFRACTION.name}@{attribute.name}", message)


@check
def counts_come_back(subject: Subject) -> Iterator[Problem]:
    """Frames that are stored as counts say how the amplitudes are computed from them."""
    frames = subject.get(contract.DIFFRACTION)
    where = f"/{contract.DIFFRACTION.name}"
    if frames is None:
        return
    if contract.QUANTITY.name in frames.attrs:
        try:
            read_recipe(frames)
        except ContractError as error:
            yield Problem("error", error.key or where, error.sentence)
        return
    for attribute in contract.RECIPE:
        if attribute.name in frames.attrs:
            message = f"has no meaning without {contract.QUANTITY.name}; store both attributes or neither"
            yield Problem("error", f"{where}@{attribute.name}", message)


@check
def object_measured(subject: Subject) -> Iterator[Problem]:
    """The object is a result, and not synthetic."""
    if subject.attribute(contract.OBJECT, contract.SYNTHETIC):
        yield Problem("warning", f"/{contract.OBJECT.name}", "is synthetic: no object was given, so it is all ones")


@check
def plots_show_the_product(subject: Subject) -> Iterator[Problem]:
    """The plots for viewers show the product's own datasets."""
    for plot in contract.PLOTS:
        for dataset in (plot.signal, *filter(None, plot.axes), *plot.beside):
            where = f"{plot.group}/{dataset.name.rpartition('/')[2]}"
            try:
                shown = local_dataset(subject.file, where)
            except ContractError as error:
                yield Problem("error", f"/{where}", error.sentence)
                continue
            if shown is not None and shown != subject.found.get(dataset.name):
                yield Problem("warning", f"/{where}", f"is not the same dataset as /{dataset.name}")
    shown_rad, values = subject.values(contract.PHASE), subject.values(contract.OBJECT)
    if shown_rad is None or values is None:
        return
    same = shown_rad.shape == values.shape and np.allclose(shown_rad, phase_rad(values), 0, _PHASE_RAD, equal_nan=True)
    if not same:
        yield Problem("warning", f"/{contract.PHASE.name}", "its values are not the phase of the object")
