"""From a scan, wherever it is, to a product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ptychoproduct.autochoice import sample_for
from ptychoproduct.axes import axis_order, canonical_axes
from ptychoproduct.cores import available_threads
from ptychoproduct.exactframes import write_counts
from ptychoproduct.framescan import Companions, hdf5_scan, npy_scan
from ptychoproduct.hdf5source import Hdf5Source
from ptychoproduct.inputs import Origin
from ptychoproduct.metadata import ExportMeta
from ptychoproduct.npy import NpyFile
from ptychoproduct.npz import NpzArchive
from ptychoproduct.npzscan import npz_scan
from ptychoproduct.options import ExportOptions
from ptychoproduct.rawscan import rawdata_scan
from ptychoproduct.reordering import Reordering
from ptychoproduct.scan import Extra, FrameStack, Scan
from ptychoproduct.streaming import Progress
from ptychoproduct.writer import ExportSummary, ProductWriter

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Reconstruction:
    """Results that PtychoPINN's scans do not hold, and products do.

    Parameters
    ----------
    opr_weights : array, [K, C], real, optional
        Weights of the probe's C coherent modes, for each of K positions.
    object_layer_spacing_m : sequence of float, [L-1]
        Distances between the object's layers.
    loss_values, loss_epochs : sequence, [E]
        Loss history; epochs count from 0 by default.
    probe_photon_counts : sequence of float, [N], optional
        Photons of each position.
    """

    opr_weights: Array | None = None
    object_layer_spacing_m: Sequence[float] = ()
    loss_values: Sequence[float] | Array = field(default=())
    loss_epochs: Sequence[int] | Array | None = None
    probe_photon_counts: Sequence[float] | Array | None = None


def export_product_from_npz(
    npz_path: str | PathLike[str],
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    reconstruction: Reconstruction | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan in PtychoPINN's NPZ format, streaming its frames.

    Parameters
    ----------
    npz_path : path
        With ``xcoords``, ``ycoords``, ``probeGuess`` and, unless `include_raw` is false, ``diff3d`` or
        ``diffraction``. Every other key is kept in ``/raw_data``.
    out_path : path
        ``*.h5`` or ``*.hdf5``; appears when it is complete.
    meta : ExportMeta, optional
    include_raw : bool
        Whether ``/raw_data`` is written.
    reconstruction : Reconstruction, optional
    options : ExportOptions, optional
    progress : callable, optional
        Called with a number of bytes whenever frames of that size have been written.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SourceError
        The NPZ file is damaged, or does not hold a scan.
    OutputError
        The product cannot be written there.

    Warns
    -----
    ProductWarning
        Something was decided that the user should know of.
    """
    options = options or ExportOptions()
    with NpzArchive(Path(npz_path)) as archive:
        scan = npz_scan(archive, include_raw, _reordering(out_path, options))
        return export_product_from_scan(
            scan, out_path, meta, include_raw, reconstruction=reconstruction, options=options, progress=progress
        )


def export_product_from_npy(
    npy_path: str | PathLike[str],
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    positions: str | PathLike[str] | tuple[Array, Array],
    positions_in: str | None = None,
    probe: str | PathLike[str] | Array | None = None,
    reconstruction: Reconstruction | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan whose frames are in an NPY file, streaming them.

    Parameters
    ----------
    npy_path : path
        Frames, in any axis order.
    positions : path, or pair of arrays [N]
        A CSV file with the columns x and y, an NPZ file with ``xcoords`` and ``ycoords``, an HDF5 file in a layout that
        is known; or x and y themselves.
    positions_in : {"px", "m", "um"}, optional
        Their unit; by default what the file's layout says, else object pixels.
    probe : path or array, optional
        An NPY, NPZ or HDF5 file, ``FILE:KEY`` where the key is no usual one; or the probe itself. By default that of
        the file of positions.
    out_path, meta, include_raw, reconstruction, options, progress
        As in `export_product_from_npz`.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SourceError
        A file is damaged, or the files do not hold a scan.
    OutputError
        The product cannot be written there.

    Warns
    -----
    ProductWarning
        Something was decided that the user should know of.
    """
    options, meta = options or ExportOptions(), meta or ExportMeta()
    with NpyFile(Path(npy_path)) as file:
        scan = npy_scan(file, Companions(positions, positions_in, probe), meta, _reordering(out_path, options))
        return export_product_from_scan(
            scan, out_path, meta, include_raw, reconstruction=reconstruction, options=options, progress=progress
        )


def export_product_from_hdf5(
    h5_path: str | PathLike[str],
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    dataset: str | None = None,
    positions: str | PathLike[str] | tuple[Array, Array] | None = None,
    positions_in: str | None = None,
    probe: str | PathLike[str] | Array | None = None,
    reconstruction: Reconstruction | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan whose frames are in an HDF5 file, streaming them.

    Chunks that are already what they are to be in the product are copied and not decoded, so that damage in them is not
    noticed here; a deep validation notices it. Links to other files are followed inside the folder of the file only.

    Parameters
    ----------
    h5_path : path
        Of ptychodus, fold_slice, a CXI or NeXus file, or any other.
    dataset : str, optional
        Path of the frames in the file; by default where those programs keep them, see `layouts`.
    positions, positions_in, probe : optional
        As in `export_product_from_npy`; by default those of the HDF5 file itself.
    out_path, meta, include_raw, reconstruction, options, progress
        As in `export_product_from_npz`.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SourceError
        A file is damaged, leads out of its folder, or the files do not hold a scan.
    OutputError
        The product cannot be written there.

    Warns
    -----
    ProductWarning
        Something was decided that the user should know of.
    """
    options, meta = options or ExportOptions(), meta or ExportMeta()
    with Hdf5Source(Path(h5_path)) as source:
        companions = Companions(positions, positions_in, probe)
        scan = hdf5_scan(source, companions, meta, _reordering(out_path, options), dataset, include_raw)
        return export_product_from_scan(
            scan, out_path, meta, include_raw, reconstruction=reconstruction, options=options, progress=progress
        )


def export_product_from_rawdata(
    raw: Any,
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    reconstruction: Reconstruction | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan in memory.

    Parameters
    ----------
    raw : RawData or alike
        Any object with the attributes of `RawData`; PtychoPINN's own, for one. Attributes that it lacks count as None.
    out_path, meta, include_raw, reconstruction, options, progress
        As in `export_product_from_npz`.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SourceError
        The object does not hold a scan.
    OutputError
        The product cannot be written there.

    Warns
    -----
    ProductWarning
        Something was decided that the user should know of.
    """
    scan = rawdata_scan(raw)
    return export_product_from_scan(
        scan, out_path, meta, include_raw, reconstruction=reconstruction, options=options, progress=progress
    )


def export_product_from_scan(
    scan: Scan,
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    reconstruction: Reconstruction | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan from anywhere; the road that all the others take.

    Parameters
    ----------
    scan : Scan
        Its frames are read here, a few at a time.
    out_path, meta, include_raw, reconstruction, options, progress
        As in `export_product_from_npz`.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SourceError
        The scan cannot be read, or is none.
    OutputError
        The product cannot be written there.

    Warns
    -----
    ProductWarning
        Something was decided that the user should know of.
    """
    options = options or ExportOptions()
    source, inputs = (scan.files[0], scan.files[1:]) if scan.files else (None, ())
    with ProductWriter(
        out_path,
        meta,
        include_raw=include_raw,
        options=options,
        progress=progress,
        source=source,
        inputs=inputs,
    ) as writer:
        writer.set_positions(scan.x_px, scan.y_px, scan.scan_index)
        _write_reconstruction(writer, scan.probe, scan.object, reconstruction)
        if include_raw:
            if scan.frames is not None:
                _write_frames(writer, scan.frames, len(scan.x_px), options.axis_order, scan.origin)
            for extra in scan.extras:
                _keep(writer, extra)
    assert writer.summary is not None
    return writer.summary


def _write_frames(writer: ProductWriter, frames: FrameStack, positions: int, requested: str, origin: Origin) -> None:
    order = axis_order(frames.shape, positions, requested, origin, frames.key)
    axes = canonical_axes(order)
    opened = partial(frames.rows, axes)
    measured = writer.options.measured
    if writer.options.store_counts:
        sample = None if measured is None else sample_for(measured, opened(), opened)
        write_counts(writer, frames, order, origin, sample)
        return
    source = opened()
    sample = None if measured is None else sample_for(measured, source, opened)
    writer.write_frames(source, order, frames.member, frames.chunks if order == "NHW" else None, sample=sample)


def _write_reconstruction(
    writer: ProductWriter, probe: Array, objectguess: Array | None, reconstruction: Reconstruction | None
) -> None:
    results = reconstruction or Reconstruction()
    writer.set_probe(probe, results.opr_weights)
    if objectguess is not None:
        writer.set_object(objectguess, results.object_layer_spacing_m)
    writer.set_losses(results.loss_values, results.loss_epochs)
    if results.probe_photon_counts is not None:
        writer.set_probe_photon_counts(results.probe_photon_counts)


def _reordering(out_path: str | PathLike[str], options: ExportOptions) -> Reordering:
    """Spill beside the product: that disk has to hold a scan anyway."""
    folder = Path(out_path).absolute().parent
    return Reordering(options.memory_bytes, folder, options.threads or available_threads())


def _keep(writer: ProductWriter, extra: Extra) -> None:
    if isinstance(extra.content, str):
        writer.keep_text(extra.member, extra.content)
    elif isinstance(extra.content, np.ndarray):
        writer.keep(extra.member, extra.content, extra.source_dtype)
    else:
        writer.keep_rows(extra.member, extra.content, extra.source_dtype)
