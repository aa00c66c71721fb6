"""From a scan, wherever it is, to a product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array, Origin, Progress
from ptychoproduct.convert.exact_counts import sample, write_counts
from ptychoproduct.errors import SourceError
from ptychoproduct.model import contract
from ptychoproduct.model.array_checks import check_frames, real_array
from ptychoproduct.model.axes import axis_order, canonical_axes
from ptychoproduct.model.geometry import warn_of_contradictions, with_detector_pixels, with_sample_pixels
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.positions import to_object_pixels
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.product.patterns_file import DiffractionFile, DiffractionWriter
from ptychoproduct.product.summary import DiffractionSummary, ExportSummary
from ptychoproduct.product.writer import ProductWriter
from ptychoproduct.scan.companions import read_bad_pixels
from ptychoproduct.scan.layouts import HDF5, NPY, NPZ
from ptychoproduct.scan.rawdata import rawdata_scan
from ptychoproduct.scan.scan import Extra, FrameStack, Scan, detector_shape
from ptychoproduct.scan.scan_files import ScanFiles, opened_scan
from ptychoproduct.streaming.chunk_stream import RowOutput, write_rows
from ptychoproduct.system.atomic import OutputGroup, output_group
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.resources import Resources
from ptychoproduct.tuning.auto import sample_for


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


def export_product_from_rawdata(
    raw: Any,
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    reconstruction: Reconstruction | None = None,
    diffraction: DiffractionFile | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan in memory.

    Parameters
    ----------
    raw : RawData or alike
        Any object with the attributes of `RawData`; PtychoPINN's own, for one. Attributes that it lacks count as None.
    out_path, meta, include_raw, reconstruction, diffraction, options, progress
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
        scan,
        out_path,
        meta,
        include_raw,
        reconstruction=reconstruction,
        diffraction=diffraction,
        options=options,
        progress=progress,
    )


def export_product_from_scan(
    scan: Scan,
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    reconstruction: Reconstruction | None = None,
    diffraction: DiffractionFile | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan from anywhere; the road that all the others take.

    Parameters
    ----------
    scan : Scan
        Its frames are read here, a few at a time.
    out_path, meta, include_raw, reconstruction, diffraction, options, progress
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
    meta = _geometry(scan, meta or ExportMeta(), options)
    results = reconstruction or Reconstruction()
    if diffraction is not None:
        scan = _with_bad_pixels(scan, diffraction)
    source, inputs = (scan.files[0], scan.files[1:]) if scan.files else (None, ())
    companion = None
    with (
        output_group() as group,
        ProductWriter(
            out_path,
            meta,
            include_raw=include_raw,
            options=options,
            progress=progress,
            source=source,
            inputs=inputs,
            group=group,
        ) as writer,
    ):
        x_px, y_px = _in_pixels(scan, meta, "xcoords", scan.x), _in_pixels(scan, meta, "ycoords", scan.y)
        writer.set_positions(x_px, y_px, scan.scan_index)
        _write_reconstruction(writer, scan.probe, scan.object, results)
        if diffraction is not None:
            companion = _write_both(writer, scan, diffraction, results, group)
        elif include_raw and scan.frames is not None:
            _write_frames(writer, scan.frames, _axis_order(scan, options), scan.origin)
        if include_raw:
            for extra in scan.extras:
                _keep(writer, _extra_in_pixels(scan, meta, extra))
    assert writer.summary is not None
    return replace(writer.summary, diffraction=companion)


def _geometry(scan: Scan, meta: ExportMeta, options: ExportOptions) -> ExportMeta:
    """Return metadata with the pixel sizes that follow from the detector's, and tell of others."""
    frame_shape = detector_shape(scan.frames, np.shape(scan.probe), np.size(scan.x), options.axis_order)
    warn_of_contradictions(meta, frame_shape, scan.origin)
    return with_sample_pixels(meta, frame_shape)


def _in_pixels(scan: Scan, meta: ExportMeta, key: str, coordinates: Array) -> Array:
    pixel_m = meta.object_pixel_width_m if key.startswith("x") else meta.object_pixel_height_m
    return to_object_pixels(coordinates, key, scan.positions_in, pixel_m, scan.origin)


def _extra_in_pixels(scan: Scan, meta: ExportMeta, extra: Extra) -> Extra:
    """Bring positions before correction to the unit of the others."""
    key = extra.member.removesuffix(NPY_SUFFIX)
    if key not in contract.START_KEYS or not isinstance(extra.content, np.ndarray):
        return extra
    return replace(extra, content=_in_pixels(scan, meta, key, extra.content))


def _axis_order(scan: Scan, options: ExportOptions) -> str:
    assert scan.frames is not None
    return axis_order(scan.frames.shape, len(scan.x), options.axis_order, scan.origin, scan.frames.key)


def _write_frames(
    writer: ProductWriter,
    frames: FrameStack,
    order: str,
    origin: Origin,
    beside: Callable[[], Sequence[RowOutput]] = tuple,
) -> None:
    opened = partial(frames.rows, canonical_axes(order))
    measured = writer.options.measured
    if writer.options.store_counts:
        trial = None if measured is None else sample_for(measured, opened(), opened)
        write_counts(writer, frames, order, origin, trial, beside)
        return
    source = opened()
    trial = None if measured is None else sample_for(measured, source, opened)
    chunks = frames.chunks if order == "NHW" else None
    writer.write_frames(source, order, frames.member, chunks, beside(), sample=trial)


def _write_both(
    writer: ProductWriter, scan: Scan, file: DiffractionFile, results: Reconstruction, group: OutputGroup
) -> DiffractionSummary | None:
    """Write frames and patterns in one pass, and once more the patterns where a look at some frames was misleading."""
    frames, options = scan.frames, writer.options
    if frames is None:
        raise SourceError(scan.origin, "no frames", key=contract.FRAME_KEYS[0], expected="frames, to make patterns of")
    order = _axis_order(scan, options)
    axes = canonical_axes(order)
    shape = tuple(frames.shape[axis] for axis in axes)
    elements = sample(frames)
    check_frames(shape, elements.dtype, frames.key, scan.origin)
    with DiffractionWriter(
        file,
        shape,
        elements,
        with_detector_pixels(writer.meta, shape),
        bad_pixels=scan.bad_pixels,
        chunk_shape=options.frames_chunk(shape[1:]),
        overwrite=options.overwrite,
        sources=scan.files,
        group=group,
        origin=scan.origin,
        key=frames.key,
    ) as companion:
        _write_frames(writer, frames, order, scan.origin, companion.begin)
        while not companion.is_complete:
            write_rows(companion.begin(), frames.rows(axes), Resources(options.threads or available_threads()))
        counts = results.probe_photon_counts
        companion.finish(
            writer.position_indexes(),
            None if counts is None else real_array(counts, 1, "probe_photon_counts", scan.origin),
        )
    return companion.summary


def _with_bad_pixels(scan: Scan, file: DiffractionFile) -> Scan:
    """Put the bad pixels that are asked for in the place of the scan's own."""
    given = file.bad_pixels
    if given is None or isinstance(given, np.ndarray):
        return scan if given is None else replace(scan, bad_pixels=given)
    mask, files = read_bad_pixels(fspath(given))
    return replace(scan, bad_pixels=mask, files=(*scan.files, *files))


def _write_reconstruction(
    writer: ProductWriter, probe: Array, objectguess: Array | None, results: Reconstruction
) -> None:
    writer.set_probe(probe, results.opr_weights)
    if objectguess is not None:
        writer.set_object(objectguess, results.object_layer_spacing_m)
    writer.set_losses(results.loss_values, results.loss_epochs)
    if results.probe_photon_counts is not None:
        writer.set_probe_photon_counts(results.probe_photon_counts)


def _keep(writer: ProductWriter, extra: Extra) -> None:
    if isinstance(extra.content, str):
        writer.keep_text(extra.member, extra.content)
    elif isinstance(extra.content, np.ndarray):
        writer.keep(extra.member, extra.content, extra.source_dtype)
    else:
        writer.keep_rows(extra.member, extra.content, extra.source_dtype)


def export_product_from_npz(
    npz_path: str | PathLike[str],
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    positions_in: str | None = None,
    reconstruction: Reconstruction | None = None,
    diffraction: DiffractionFile | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    reorder_progress: Progress | None = None,
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
    positions_in : {"px", "m", "um"}, optional
        Unit of the positions, object pixels by default; ``/raw_data`` has them in pixels whatever it is.
    reconstruction : Reconstruction, optional
    diffraction : DiffractionFile, optional
        The companion that ptychodus reconstructs from, written in the same pass: both files appear, or neither.
    options : ExportOptions, optional
    progress : callable, optional
        Called with a number of bytes whenever frames of that size have been written.
    reorder_progress : callable, optional
        Called with a number of bytes whenever so many have been read to bring the axes of frames into order.

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
    return export_product_from_files(
        ScanFiles(npz_path, NPZ, positions_in=positions_in),
        out_path,
        meta,
        include_raw,
        reconstruction=reconstruction,
        diffraction=diffraction,
        options=options,
        progress=progress,
        reorder_progress=reorder_progress,
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
    diffraction: DiffractionFile | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    reorder_progress: Progress | None = None,
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
    out_path, meta, include_raw, reconstruction, diffraction, options, progress, reorder_progress
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
    return export_product_from_files(
        ScanFiles(npy_path, NPY, positions=positions, positions_in=positions_in, probe=probe),
        out_path,
        meta,
        include_raw,
        reconstruction=reconstruction,
        diffraction=diffraction,
        options=options,
        progress=progress,
        reorder_progress=reorder_progress,
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
    diffraction: DiffractionFile | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    reorder_progress: Progress | None = None,
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
    out_path, meta, include_raw, reconstruction, diffraction, options, progress, reorder_progress
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
    files = ScanFiles(h5_path, HDF5, dataset, positions, positions_in, probe)
    return export_product_from_files(
        files,
        out_path,
        meta,
        include_raw,
        reconstruction=reconstruction,
        diffraction=diffraction,
        options=options,
        progress=progress,
        reorder_progress=reorder_progress,
    )


def export_product_from_files(
    files: ScanFiles,
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    reconstruction: Reconstruction | None = None,
    diffraction: DiffractionFile | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    reorder_progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan in files of any kind that is known.

    Parameters
    ----------
    files : ScanFiles
    out_path, meta, include_raw, reconstruction, diffraction, options, progress, reorder_progress
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
    options = options or ExportOptions()
    resources = _resources(out_path, options, reorder_progress)
    with opened_scan(files, resources, include_raw or diffraction is not None) as scan:
        return export_product_from_scan(
            scan,
            out_path,
            meta,
            include_raw,
            reconstruction=reconstruction,
            diffraction=diffraction,
            options=options,
            progress=progress,
        )


def _resources(out_path: str | PathLike[str], options: ExportOptions, progress: Progress | None = None) -> Resources:
    """Spill beside the product: that disk has to hold a scan anyway."""
    folder = Path(out_path).absolute().parent
    resources = Resources(options.threads or available_threads(), options.memory_bytes, folder)
    return resources if progress is None else replace(resources, reorder_progress=progress)
