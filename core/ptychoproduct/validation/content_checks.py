"""Checks of what datasets hold: that it decodes, has not changed, and is what the source has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

import h5py
import numpy as np

from ptychoproduct.errors import ContractError, OptionError, ProductError, SourceError
from ptychoproduct.hdf5.chunk_grid import datasets_of, not_stored
from ptychoproduct.hdf5.contract_fields import names_of_ours, read_attribute, read_recipe, storage_problems
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import last_words, local_dataset, local_group
from ptychoproduct.hdf5.row_checksums import in_ranges
from ptychoproduct.model import contract
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.model.positions import UNITS, pixels_to_metres, to_object_pixels
from ptychoproduct.model.probe_shape import probe_doubt
from ptychoproduct.model.transforms import parse_array_transform
from ptychoproduct.scan.scan import FrameStack, Scan
from ptychoproduct.scan.scan_files import ScanFiles, opened_scan
from ptychoproduct.streaming.sources import windows_of
from ptychoproduct.streaming.transformed_rows import TransformedRows
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.checks import Problem, Subject, check
from ptychoproduct.validation.damage import can_show_damage, damage, is_small
from ptychoproduct.validation.metadata_digest import metadata_damage

_COMPARED_BYTES = 4 * 1024**2
_MOST_NAMED = 5
_NO_PROBE = np.ones((1, 1), np.complex64)  # it is not compared, so a source need not have one


@check
def links_stay_inside(subject: Subject) -> Iterator[Problem]:
    """Nothing in the file leads out of it."""
    for group in _groups(subject.file):
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                where = f"{group.name.rstrip('/')}/{name}"
                yield Problem("error", where, f"links to {link.filename}; store the data in this file")


@check
def everything_stored(subject: Subject) -> Iterator[Problem]:
    """Every chunk of every dataset is in the file, once, and in its place; no rows were lost before it was repacked."""
    yield from (Problem("error", name, problem) for name, problem in storage_problems(subject.file))
    names = names_of_ours(subject.file)
    for found in datasets_of(subject.file):
        dataset = h5py.Dataset(found)
        lost = dataset.attrs.get(contract.LOST_ROWS, ())
        if len(lost):
            message = f"rows {in_ranges(lost)} were lost before the product was repacked, and are fill values"
            yield Problem("warning", names.get(found, dataset.name), message)


@check
def everything_decodes(subject: Subject) -> Iterator[Problem]:
    """Everything can be read, and has the stored digest; without ``deep``, all but large datasets."""
    unseen = [] if contract.METADATA_DIGEST.name in subject.file.attrs else ["attributes"]
    told = [dataset for name, dataset in subject.found.items() if subject.read.get(name, dataset) is None]
    for dataset in _datasets(subject):
        if isinstance(dataset, Problem):
            yield dataset
            continue
        yield from _damaged_attributes(dataset)
        if not_stored(dataset.id, allow_gaps=True) or dataset.shape is None or (not subject.deep and dataset in told):
            continue  # another check tells
        is_frames = dataset.name == f"/{contract.DIFFRACTION.name}"
        if not_stored(dataset.id):
            if dataset not in subject.found.values():
                yield Problem("warning", dataset.name, "is not stored as a whole, so it was not decoded")
        elif not subject.deep and (is_frames or not is_small(dataset)):
            subject.unread.append(dataset.name)
        else:
            words = damage(dataset, "frames", subject.progress) if is_frames else damage(dataset)
            yield from (Problem("error", dataset.name, message) for message in words)
            if dataset.size and not can_show_damage(dataset):
                unseen.append(dataset.name)
    changed = metadata_damage(subject.file)
    if changed is not None:
        yield Problem("error", "/", changed)
    if unseen and subject.deep:
        listed = ", ".join(unseen[:_MOST_NAMED]) + (" and others" if unseen[_MOST_NAMED:] else "")
        yield Problem("warning", "/", f"there is no digest or checksum of {listed}: changed bytes there cannot be seen")


def _datasets(subject: Subject) -> Iterator[h5py.Dataset | Problem]:
    """Give each dataset in the groups that the contract knows once, or what is wrong with it."""
    seen: set[h5py.Dataset] = set()  # a dataset may have several names
    for group in _groups(subject.file):
        yield from _damaged_attributes(group)
        for name in group:
            try:
                dataset = local_dataset(group, name)
            except ContractError as error:
                is_hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
                found = group.get(name) if is_hard else group
                if found is None or (isinstance(found, h5py.Dataset) and group.name == f"/{contract.RAW_DATA}"):
                    where = f"{group.name.rstrip('/')}/{name}"
                    yield Problem("error", where, error.sentence)
                continue  # a group, or a link that other checks report
            if dataset is not None and dataset not in seen:
                seen.add(dataset)
                yield dataset


@check
def same_as_source(subject: Subject) -> Iterator[Problem]:
    """Positions and frames are those of the source; with a source only."""
    files = subject.source
    if files is None:
        return
    files = _without_need_of_a_probe(files)
    has_frames = subject.get(contract.DIFFRACTION) is not None
    with ExitStack() as stack:
        try:
            scan = stack.enter_context(opened_scan(files, Resources(), has_frames))
        except SourceError as error:
            scan = stack.enter_context(opened_scan(files, Resources(), False))
            yield Problem("error", f"/{contract.DIFFRACTION.name}", f"cannot be compared: {error.with_flags}")
        yield from _compare_positions(subject, scan, UNITS if files.positions_in is None else (files.positions_in,))
        if scan.frames is not None:
            yield from _compare_frames(subject, scan, scan.frames)
        elif not has_frames:
            yield Problem("warning", f"/{contract.DIFFRACTION.name}", "there are no frames to compare with the source")


def _without_need_of_a_probe(files: ScanFiles) -> ScanFiles:
    """Give a scan a probe if it has none: it is not compared. One of its own says which frames its positions are of."""
    if files.probe is None and files.crop is not None:
        try:
            with opened_scan(files, Resources()):
                return files
        except (OptionError, SourceError):  # it has none, or one of whole frames
            pass
    return replace(files, probe=_NO_PROBE) if files.probe is None else files


@check
def probe_fits_frames(subject: Subject) -> Iterator[Problem]:
    """The probe has the size of the frames."""
    probe, frames, object_ = map(subject.get, (contract.PROBE, contract.DIFFRACTION, contract.OBJECT))
    if probe is None or frames is None:
        return
    doubt = probe_doubt(probe.shape, frames.shape, () if object_ is None else object_.shape)
    if doubt is not None:
        yield Problem("warning", f"/{contract.PROBE.name}", doubt)


def _groups(file: h5py.File) -> Iterator[h5py.Group]:
    """Give the groups that the contract knows."""
    yield file
    for path in (contract.RAW_DATA, contract.ENTRY, *(plot.group for plot in contract.PLOTS)):
        group: h5py.Group | None = file
        try:
            for name in path.split("/"):
                group = None if group is None else local_group(group, name)
        except ContractError:
            continue
        if group is not None:
            yield group


def _damaged_attributes(owner: h5py.Group | h5py.Dataset) -> Iterator[Problem]:
    """Report attributes, or HDF5's notes on them, that cannot be read."""
    try:
        h5py.h5o.get_info(owner.id)
        list(owner.attrs.values())
    except (OSError, RuntimeError, KeyError) as error:
        yield Problem("error", owner.name, f"its attributes cannot be read: {last_words(error)}")


def _compare_positions(subject: Subject, scan: Scan, units: Sequence[str]) -> Iterator[Problem]:
    for key, coordinates, positions, size in (
        ("xcoords", scan.x, contract.POSITION_X, contract.OBJECT_PIXEL_WIDTH),
        ("ycoords", scan.y, contract.POSITION_Y, contract.OBJECT_PIXEL_HEIGHT),
    ):
        values, pixel_m = subject.values(positions), subject.attribute(contract.OBJECT, size)
        if values is None or pixel_m is None:
            continue
        if subject.attribute(None, contract.POSITIONS_TRANSFORM):
            kept = local_dataset(subject.file, f"{contract.RAW_DATA}/{key}_source")
            values = values if kept is None else pixels_to_metres(kept[()], pixel_m)
        pixels = (to_object_pixels(coordinates, key, unit, pixel_m, scan.origin) for unit in units)
        in_metres = [pixels_to_metres(array, pixel_m) for array in pixels]
        # The product does not say which unit the source has; in the right one most positions agree.
        expected = max(
            in_metres, key=lambda array: np.count_nonzero(array == values) if array.shape == values.shape else 0
        )
        if values.shape != expected.shape:
            yield Problem("error", f"/{positions.name}", f"found shape {values.shape}, expected {expected.shape}")
        elif not np.array_equal(values, expected):
            index = int(np.argmax(values != expected))
            message = f"found {values[index]} at position {index}, expected {expected[index]} by the source's {key}"
            yield Problem("error", f"/{positions.name}", message)


def _compare_frames(subject: Subject, scan: Scan, stack: FrameStack) -> Iterator[Problem]:
    frames = subject.get(contract.DIFFRACTION)
    where = f"/{contract.DIFFRACTION.name}"
    if frames is None:
        return
    recorded = subject.attribute(contract.DIFFRACTION, contract.ORIGINAL_AXIS_ORDER)
    try:
        order = recorded if recorded in contract.AXIS_ORDERS else "auto"
        order = stack.axis_order(frames.shape[0], order, scan.origin)
    except ProductError as error:
        yield Problem("error", where, f"cannot be compared: {error.with_flags}")
        return
    rows = stack.rows(canonical_axes(order))
    try:
        recipe = read_recipe(frames)
        steps = parse_array_transform(read_attribute(frames, contract.FRAMES_TRANSFORM) or "")
        rows = TransformedRows(rows, steps) if steps else rows
    except (ContractError, OptionError):
        return  # another check reports it
    different: list[int] = []
    with closing(DatasetReader(frames, recipe=recipe)) as reader:
        if (rows.shape, rows.dtype) != (reader.shape, reader.dtype):
            yield Problem("error", where, f"found {reader.dtype} {reader.shape}, expected {rows.dtype} {rows.shape}")
            return
        step = max(1, _COMPARED_BYTES // (math.prod(reader.shape[1:]) * reader.dtype.itemsize))
        for window in windows_of(rows, step):
            for first in window[::step]:
                try:
                    block = reader.read(slice(first, min(first + step, window.stop)))
                except ContractError as error:
                    yield Problem("error", where, f"{error.sentence}, from frame {first} on")
                    return
                expected = np.empty(block.shape, block.dtype)
                rows.read_into(first, memoryview(expected).cast("B"))
                same = (block.view(np.uint8) == expected.view(np.uint8)).reshape(len(block), -1).all(axis=1)
                different += (first + np.flatnonzero(~same)).tolist()
                if subject.progress is not None:
                    subject.progress(block.nbytes)
    rows.finish()  # raises where the source is damaged, which says nothing about the product
    if different:
        others = f" and {len(different) - 1} more differ" if len(different) > 1 else " differs"
        yield Problem("error", where, f"frame {different[0]}{others} from the source")
