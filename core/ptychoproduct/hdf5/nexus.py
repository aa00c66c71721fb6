"""What NeXus viewers look for: which of a product's datasets to draw, and over which axes.

The rules are those of https://manual.nexusformat.org/datarules.html#find-the-plottable-data: the attribute ``default``
leads from the root to an entry, and from there to a group of class NXdata, whose ``signal`` and ``axes`` name datasets.
All of these are soft links to the product's own, which programs that walk through a file pass by; but for the object's
phase: viewers draw real numbers.
"""

from __future__ import annotations

import h5py
import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.model import contract
from ptychoproduct.model.metadata import ResolvedMetadata


def add_plots(file: h5py.File, meta: ResolvedMetadata) -> None:
    """Add the plots of `contract.PLOTS` that a product has the data for; viewers open the first.

    Parameters
    ----------
    file : h5py.File
        Complete otherwise.
    meta : ExportMeta
        Where the object is.
    """
    if not file[contract.OBJECT.name].attrs.get(contract.SYNTHETIC.name, False):
        _write_phase(file, meta)
    plots = [plot for plot in contract.PLOTS if plot.signal.name in file]
    for plot in plots:
        _write_plot(file, plot)
    for target, nx_class, default in (
        (file, "NXroot", contract.ENTRY),
        (file[contract.ENTRY], "NXentry", _last(plots[0].group)),
    ):
        target.attrs.update({contract.NX_CLASS.name: nx_class, contract.NX_DEFAULT.name: default})


def phase_rad(array: Array) -> Array:
    """Return the phase of complex numbers, -π to π, as float32."""
    with np.errstate(invalid="ignore"):  # NaN has no phase
        return np.angle(array).astype(np.float32)


def _write_phase(file: h5py.File, meta: ResolvedMetadata) -> None:
    found = file[contract.OBJECT.name]
    phase = file.create_dataset(contract.PHASE.name, found.shape, np.float32)
    for layer in np.ndindex(found.shape[:-2]):  # one at a time is in memory
        phase[layer] = phase_rad(found[layer])
    for dataset, pixels, pixel_m, center_m in (
        (contract.PHASE_Y, found.shape[-2], meta.object_pixel_height_m, meta.object_center_y_m),
        (contract.PHASE_X, found.shape[-1], meta.object_pixel_width_m, meta.object_center_x_m),
    ):
        file[dataset.name] = center_m + (np.arange(pixels) - (pixels - 1) / 2) * pixel_m


def _write_plot(file: h5py.File, plot: contract.Plot) -> None:
    group = file.require_group(plot.group)
    for dataset in (plot.signal, *filter(None, plot.axes), *plot.beside):
        if _last(dataset.name) not in group:
            group[_last(dataset.name)] = h5py.SoftLink(f"/{dataset.name}")
        if dataset.unit:
            file[dataset.name].attrs[contract.UNITS.name] = dataset.unit
    signal = file[plot.signal.name]
    axes = [_last(axis.name) if axis else "." for axis in plot.axes]
    if signal.ndim > 1:  # in a scatter plot, all axes belong to the only dimension
        axes = ["."] * (signal.ndim - len(axes)) + axes  # layers of an object
        signal.attrs[contract.INTERPRETATION.name] = "image"
    group.attrs.update({contract.NX_CLASS.name: "NXdata", "signal": _last(plot.signal.name), "axes": axes})
    for axis in plot.beside:
        group.attrs[f"{_last(axis.name)}_indices"] = 0


def _last(path: str) -> str:
    return path.rpartition("/")[2]
