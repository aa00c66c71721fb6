"""From a scan, wherever it is, to a product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from ptychoproduct.aliases import Array, Origin, Progress
from ptychoproduct.convert import conventions
from ptychoproduct.convert.exact_counts import sample, write_counts
from ptychoproduct.convert.known import resolved_metadata
from ptychoproduct.errors import SourceError, warn
from ptychoproduct.model import contract
from ptychoproduct.model.array_checks import check_frames, real_array
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.model.geometry import with_detector_pixels
from ptychoproduct.model.metadata import ExportMeta, ResolvedMetadata
from ptychoproduct.model.position_units import known_unit, warn_of_span
from ptychoproduct.model.positions import to_object_pixels
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.product.summary import DiffractionSummary, ExportSummary
from ptychoproduct.product.writer import ProductWriter
from ptychoproduct.scan.layouts import NPZ
from ptychoproduct.scan.rawdata import rawdata_scan
from ptychoproduct.scan.scan import Extra, FrameStack, Reconstruction, Scan, without_axes_of_one
from ptychoproduct.scan.scan_files import ScanFiles, opened_scan
from ptychoproduct.streaming.chunk_stream import write_rows
from ptychoproduct.streaming.chunk_target import RowOutput
from ptychoproduct.system.atomic import OutputGroup, Place, output_group
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.damage import require_undamaged_products

if TYPE_CHECKING:
    from ptychoproduct.product.patterns_file import DiffractionFile


class ExportChoices(TypedDict, total=False):
    """Keywords that every export takes.

    Parameters
    ----------
    reconstruction : Reconstruction, optional
        Results that a scan does not hold.
    diffraction : DiffractionFile, optional
        The patterns file that ptychodus reconstructs from, written in the same pass: both files appear, or neither.
    options : ExportOptions, optional
    progress : callable, optional
        Called with a number of bytes whenever frames of that size have been written.
    """

    reconstruction: Reconstruction | None
    diffraction: DiffractionFile | None
    options: ExportOptions | None
    progress: Progress | None


def export_product_from_rawdata(
    raw: Any,
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    **choices: Unpack[ExportChoices],
) -> ExportSummary:
    """Convert a scan in memory.

    Parameters
    ----------
    raw : RawData or similar
        Any object with the attributes of `RawData`, such as PtychoPINN's own. Attributes that it lacks count as None.
    out_path, meta, include_raw
        As in `export_product_from_npz`.
    **choices : optional
        The fields of `ExportChoices`, as keywords.

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
    return export_product_from_scan(rawdata_scan(raw), out_path, meta, include_raw, **choices)


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
    place: Place | None = None,
) -> ExportSummary:
    """Convert a scan from anywhere; all other exports call this.

    Parameters
    ----------
    scan : Scan
        Its frames are read here, a few at a time.
    out_path, meta, include_raw
        As in `export_product_from_npz`.
    reconstruction, diffraction, options, progress : optional
        See `ExportChoices`.
    place : Place, optional
        Where the product is until it is complete.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SourceError
        The scan cannot be read, or does not fit together.
    OutputError
        The product cannot be written there.

    Warns
    -----
    ProductWarning
        Something was decided that the user should know of.
    """
    options = conventions.with_found_convention(scan, meta or ExportMeta(), options or ExportOptions())
    if diffraction is not None:
        from ptychoproduct.validation.mixed_pairs import warn_of_mixed_pair  # 2 ms, for the patterns file alone

        scan = conventions.with_bad_pixels(scan, diffraction)
        warn_of_mixed_pair(Path(out_path), Path(diffraction.path))
    if options.frames_transform or options.probe_transform:
        scan = conventions.transformed_scan(scan, options)
    resolved = resolved_metadata(scan, meta or ExportMeta(), options)
    results = (reconstruction or Reconstruction()).over(scan.reconstruction)
    source, inputs = (scan.files[0], scan.files[1:]) if scan.files else (None, ())
    patterns = None
    with (
        output_group() as group,
        ProductWriter(
            out_path,
            resolved,
            include_raw=include_raw,
            options=options,
            progress=progress,
            source=source,
            inputs=inputs,
            group=group,
            place=place,
        ) as writer,
    ):
        unit = known_unit(scan.positions_in, scan.x, scan.y, scan.origin)
        scan = replace(scan, positions_in=unit)
        x_px, y_px = _in_pixels(scan, resolved, "xcoords", scan.x), _in_pixels(scan, resolved, "ycoords", scan.y)
        has_pixel = all(resolved.origins[f"object_pixel_{side}_m"] == "source" for side in ("width", "height"))
        metres = scan.positions_m if has_pixel or unit == "m" else None
        conventions.keep_convention(writer, x_px, y_px, scan)
        if options.positions_transform:
            metres = None
        source_px = np.asarray(x_px), np.asarray(y_px)
        x_px, y_px = conventions.transformed_pixels(*source_px, scan, resolved, options)
        writer.set_positions(x_px, y_px, scan.scan_index, metres=metres, numbers=scan.numbers)
        warn_of_span(scan.x, scan.y, unit, resolved.object_pixel_width_m, resolved.object_pixel_height_m, scan.origin)
        _write_reconstruction(writer, scan, results)
        if diffraction is not None:
            patterns = _write_both(writer, scan, diffraction, results, group)
        elif include_raw and scan.frames is not None:
            _write_frames(writer, scan.frames, _axis_order(scan, options), scan.origin)
        elif include_raw:
            keys = " or ".join(contract.FRAME_KEYS)
            warn(
                f"{scan.origin}: there are no frames ({keys}), so the product has none; give them, or include_raw=False"
            )
        if include_raw:
            extras = (_extra_in_pixels(scan, resolved, extra) for extra in scan.extras)
            for extra in conventions.starts_transformed(extras, *source_px, scan, resolved, options):
                _keep(writer, extra)
    assert writer.summary is not None
    said = {name: path for name, path in scan.metadata_files.items() if resolved.origins[name] == "source"}
    return replace(writer.summary, diffraction=patterns, metadata_files=said, notes=scan.notes)


def _in_pixels(scan: Scan, meta: ResolvedMetadata, key: str, coordinates: Array) -> Array:
    pixel_m = meta.object_pixel_width_m if key.startswith("x") else meta.object_pixel_height_m
    return to_object_pixels(coordinates, key, scan.positions_in or "px", pixel_m, scan.origin)


def _extra_in_pixels(scan: Scan, meta: ResolvedMetadata, extra: Extra) -> Extra:
    """Convert positions before correction to pixels, like the others."""
    key = extra.member.removesuffix(NPY_SUFFIX)
    if key not in contract.START_KEYS or not isinstance(extra.content, np.ndarray):
        return extra
    return replace(extra, content=_in_pixels(scan, meta, key, without_axes_of_one(extra.content, 1)))


def _axis_order(scan: Scan, options: ExportOptions) -> str:
    assert scan.frames is not None
    return scan.frames.axis_order(len(scan.x), options.axis_order, scan.origin)


def _write_frames(
    writer: ProductWriter,
    frames: FrameStack,
    order: str,
    origin: Origin,
    beside: Callable[[], Sequence[RowOutput]] = tuple,
) -> None:
    if writer.options.store_counts:
        write_counts(writer, frames, order, origin, beside)
    else:
        writer.write_frames(frames, order, beside=beside())


def _write_both(
    writer: ProductWriter, scan: Scan, file: DiffractionFile, results: Reconstruction, group: OutputGroup
) -> DiffractionSummary | None:
    """Write frames and patterns in one pass; patterns in another on a cluster, or where the sample was misleading."""
    from ptychoproduct.product.patterns_file import DiffractionWriter

    frames, options = scan.frames, writer.options
    if frames is None:
        raise SourceError(scan.origin, "there are no frames to make patterns of", key=contract.FRAME_KEYS[0])
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
        **options.replacing,
        sources=scan.files,
        group=group,
        origin=scan.origin,
        key=frames.key,
    ) as patterns:
        is_elsewhere = frames.write_elsewhere is not None
        _write_frames(writer, frames, order, scan.origin, tuple if is_elsewhere else patterns.begin)
        while is_elsewhere or not patterns.is_complete:
            write_rows(patterns.begin(), frames.rows(axes), Resources(options.threads or available_threads()))
            is_elsewhere = False
        counts = results.probe_photon_counts
        writer.conversion_id = patterns.finish(
            writer.position_indexes(),
            None if counts is None else real_array(counts, 1, "probe_photon_counts", scan.origin),
            *(replace(writer.meta, origins={}), scan.x, scan.y, scan.probe, scan.object),
        )
    return patterns.summary


def _write_reconstruction(writer: ProductWriter, scan: Scan, results: Reconstruction) -> None:
    writer.set_probe(scan.probe, results.opr_weights)
    if scan.object is not None:
        writer.set_object(scan.object, results.object_layer_spacing_m, is_synthetic=scan.is_object_synthetic)
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
    reorder_progress: Progress | None = None,
    **choices: Unpack[ExportChoices],
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
    positions_in : {"px", "m", "mm", "um", "nm"}, optional
        Unit of the positions; by default metres where none is above 1e-3, as in ptychodus, else object pixels.
        ``/raw_data`` has them in pixels in any case.
    reorder_progress : callable, optional
        Called with a number of bytes whenever so many have been read to bring the axes of frames into order.
    **choices : optional
        The fields of `ExportChoices`, as keywords.

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
        reorder_progress=reorder_progress,
        **choices,
    )


def export_product_from_files(
    files: ScanFiles,
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    reorder_progress: Progress | None = None,
    **choices: Unpack[ExportChoices],
) -> ExportSummary:
    """Convert a scan in files of any kind that is known.

    Parameters
    ----------
    files : ScanFiles
    out_path, meta, include_raw, reorder_progress
        As in `export_product_from_npz`.
    **choices : optional
        The fields of `ExportChoices`, as keywords.

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
    options = choices.get("options") or ExportOptions()
    folder = Path(out_path).absolute().parent  # this disk must have room for the scan in any case
    resources = Resources(options.threads or available_threads(), options.memory_bytes, folder)
    if reorder_progress is not None:
        resources = replace(resources, reorder_progress=reorder_progress)
    has_frames = include_raw or choices.get("diffraction") is not None
    require_undamaged_products(files)
    with opened_scan(files, resources, has_frames, options.axis_order) as scan:
        return export_product_from_scan(scan, out_path, meta, include_raw, **choices)
