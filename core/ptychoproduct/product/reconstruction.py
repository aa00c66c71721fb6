"""Writing the reconstruction of a product: probe, object, losses, photon counts, and the attributes of each."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import OptionError, SourceError, warn
from ptychoproduct.model import contract
from ptychoproduct.model.array_checks import complex_array, real_array, require_length
from ptychoproduct.model.geometry import covering_object
from ptychoproduct.model.metadata import ResolvedMetadata
from ptychoproduct.model.object_center import warn_outside, with_object_center
from ptychoproduct.product.scan_positions import ScanPositions


def write_attributes(
    target: h5py.File | h5py.Dataset, attributes: Sequence[contract.Attribute], meta: ResolvedMetadata
) -> None:
    """Write those of the contract's attributes that have a value, under all their names."""
    for attribute in attributes:
        value = getattr(meta, attribute.field) if attribute.field else attribute.default
        if value is None or attribute is contract.SYNTHETIC:
            continue
        for name in (attribute.name, *attribute.aliases):
            target.attrs[name] = np.float64(value) if attribute.dtype == "float64" else value


def write_probe(
    file: h5py.File, probe: Array, opr_weights: Array | None, meta: ResolvedMetadata, origin: Origin
) -> None:
    """Write the probe, see `ProductWriter.set_probe`."""
    probe = complex_array(probe, (2, 3, 4), "probeGuess", origin)
    dataset = file.create_dataset(contract.PROBE.name, data=probe)
    write_attributes(dataset, contract.PROBE.attributes, meta)
    if opr_weights is not None:
        weights = real_array(opr_weights, 2, "opr_weights", origin)
        modes = probe.shape[0] if probe.ndim == 4 else 1
        require_length(weights.shape[1], modes, "opr_weights", origin, "coherent modes of the probe")
        dataset.attrs[contract.OPR.name] = weights
        file.create_dataset(contract.OPR.name, data=weights)


def write_object(file: h5py.File, array: Array, layer_spacing_m: Sequence[float] | Array, origin: Origin) -> None:
    """Write the object without its attributes, see `ProductWriter.set_object`."""
    array = complex_array(array, (2, 3), "objectGuess", origin)
    layers = array.shape[0] if array.ndim == 3 else 1
    spacing_m = real_array(layer_spacing_m, 1, "object_layer_spacing_m", origin)
    require_length(len(spacing_m), layers - 1, "object_layer_spacing_m", origin, "gaps between layers")
    if not (np.isfinite(spacing_m) & (spacing_m >= 0)).all():
        raise OptionError("object_layer_spacing_m", f"is {spacing_m}; distances must be finite and not negative")
    file.create_dataset(contract.OBJECT.name, data=array)
    file.create_dataset(contract.OBJECT_LAYER_SPACING.name, data=spacing_m)


def complete_object(
    file: h5py.File, positions: ScanPositions, center: str, meta: ResolvedMetadata, origin: Origin
) -> ResolvedMetadata:
    """Write the attributes of the object, or an object of ones where there is none; return its centre in the metadata.

    Parameters
    ----------
    file : h5py.File
    positions : ScanPositions
    center : {"auto", "corner", "zero"}
        See `with_object_center`.
    meta : ResolvedMetadata
    origin : path
        What messages name.
    """
    if contract.OBJECT.name in file:
        x_m, y_m = positions.in_metres(meta)
        shape = file[contract.OBJECT.name].shape
        meta = with_object_center(center, x_m, y_m, shape, meta)
        warn_outside(x_m, y_m, shape, meta, origin)
    else:
        meta = _write_synthetic_object(file, positions.x_px, positions.y_px, meta, origin)
    write_attributes(file[contract.OBJECT.name], contract.OBJECT.attributes, meta)
    return meta


def _write_synthetic_object(
    file: h5py.File, x_px: Array, y_px: Array, meta: ResolvedMetadata, origin: Origin
) -> ResolvedMetadata:
    """Write an object of ones that covers all positions, and warn."""
    probe = file[contract.PROBE.name]
    try:
        shape, meta = covering_object(x_px, y_px, probe.shape, meta)
    except ValueError as error:
        problem = (
            f"there is no object, and positions in object pixels need {error}; give an object or the positions' unit"
        )
        raise SourceError(origin, problem, key="objectGuess") from None
    write_object(file, np.ones(shape, probe.dtype), (), origin)
    file[contract.OBJECT.name].attrs[contract.SYNTHETIC.name] = True
    warn(f"{origin}: has no objectGuess; the object is {shape[0]} x {shape[1]} ones, marked synthetic")
    return meta


def write_losses(
    file: h5py.File, values: Sequence[float] | Array, epochs: Sequence[int] | Array | None, origin: Origin
) -> None:
    """Write the loss history, see `ProductWriter.set_losses`."""
    values = real_array(values, 1, "loss_values", origin)
    numbers = np.arange(len(values)) if epochs is None else real_array(epochs, 1, "loss_epochs", origin)
    require_length(len(numbers), len(values), "loss_epochs", origin, "loss values")
    file.create_dataset(contract.LOSS_VALUES.name, data=values)
    for alias in contract.LOSS_VALUES.aliases:
        file[alias] = file[contract.LOSS_VALUES.name]
    file.create_dataset(contract.LOSS_EPOCHS.name, data=np.asarray(numbers, np.int64))


def all_datasets(file: h5py.File) -> list[h5py.Dataset]:
    """Return every dataset of a product once, also where several hard links lead to it."""
    groups = [file, *([file[contract.RAW_DATA]] if contract.RAW_DATA in file else [])]
    found = [item for group in groups for item in group.values() if isinstance(item, h5py.Dataset)]
    found += [file[shown.name] for shown in contract.VIEW_DATASETS if shown.name in file]
    return list(dict.fromkeys(found))
