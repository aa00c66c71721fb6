"""From a scan, wherever it is, to a product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike, fspath
from typing import Any

import numpy as np

from ptychoproduct import contract
from ptychoproduct.atomic import OutputGroup, output_group
from ptychoproduct.autochoice import sample_for
from ptychoproduct.axes import axis_order, canonical_axes
from ptychoproduct.chunking import RowOutput
from ptychoproduct.companions import read_bad_pixels
from ptychoproduct.cores import available_threads
from ptychoproduct.diffractionfile import DiffractionFile, DiffractionSummary, DiffractionWriter
from ptychoproduct.errors import SourceError
from ptychoproduct.exactframes import sample, write_counts
from ptychoproduct.exportsummary import ExportSummary
from ptychoproduct.geometry import warn_of_contradictions, with_detector_pixels, with_sample_pixels
from ptychoproduct.inputs import Origin, check_frames, real_array
from ptychoproduct.members import NPY_SUFFIX
from ptychoproduct.metadata import ExportMeta
from ptychoproduct.options import ExportOptions
from ptychoproduct.positions import to_object_pixels
from ptychoproduct.rawscan import rawdata_scan
from ptychoproduct.scan import Extra, FrameStack, Scan, detector_shape
from ptychoproduct.streaming import Progress, write_rows
from ptychoproduct.writer import ProductWriter

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
            write_rows(companion.begin(), frames.rows(axes), options.threads or available_threads())
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
