"""A scan of another convention, as it becomes one of ptychodus's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from os import fspath
from typing import TYPE_CHECKING, Any

import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import SourceError, warn
from ptychoproduct.hdf5.contract_fields import read_attribute
from ptychoproduct.hdf5.local_links import open_hdf5
from ptychoproduct.model import contract
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.model.metadata import ExportMeta, ResolvedMetadata
from ptychoproduct.model.object_center import with_object_center
from ptychoproduct.model.positions import pixels_to_metres
from ptychoproduct.model.transforms import (
    parse_array_transform,
    parse_positions_transform,
    transformed_array,
    transformed_positions,
)
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.product.writer import ProductWriter
from ptychoproduct.scan.field_layouts import BAD_PIXELS
from ptychoproduct.scan.scan import Extra, FrameStack, Scan
from ptychoproduct.streaming.transformed_rows import TransformedRows
from ptychoproduct.validation.physics_evidence import judge_scan

if TYPE_CHECKING:
    from ptychoproduct.product.patterns_file import DiffractionFile


def with_found_convention(scan: Scan, given: ExportMeta, options: ExportOptions) -> ExportOptions:
    """Return options that apply the convention which physics finds, where that is asked for and another one is found.

    Parameters
    ----------
    scan : Scan
    given : ExportMeta
    options : ExportOptions

    Warns
    -----
    ProductWarning
        Another convention is going to be applied.
    """
    if options.convention != "auto":
        return options
    found = judge_scan(
        scan if scan.frames is None else transformed_scan(scan, options),
        given,
        axis_order=options.axis_order,
        object_center=options.object_center,
        positions_transform=options.positions_transform,
    )
    changes: dict[str, Any] = {"convention": "given"}
    if found.better is not None:
        for name, text in found.options.items():
            changes[name] = ",".join(filter(None, (getattr(options, name), text)))
        warn(f"{scan.origin}: {found.finding}; so the scan is converted with {found.flags}")
    return replace(options, **changes)


def with_bad_pixels(scan: Scan, file: DiffractionFile) -> Scan:
    """Put the bad pixels that are asked for in the place of the scan's own."""
    given = file.bad_pixels
    if given is None or isinstance(given, np.ndarray):
        return scan if given is None else replace(scan, bad_pixels=given)
    from ptychoproduct.scan.array_files import read_bad_pixels  # and what reads images, 5 ms

    mask, files = read_bad_pixels(fspath(given))
    return replace(scan, bad_pixels=mask, files=(*scan.files, *files))


def transformed_scan(scan: Scan, options: ExportOptions) -> Scan:
    """Return a scan with its frames, bad pixels and probe transformed as the options say."""
    if options.probe_transform:
        steps = parse_array_transform(options.probe_transform, "probe_transform")
        scan = replace(scan, probe=np.ascontiguousarray(transformed_array(steps, np.asarray(scan.probe))))
    steps = parse_array_transform(options.frames_transform)
    if steps and scan.frames is not None:
        order = scan.frames.axis_order(len(scan.x), options.axis_order, scan.origin)
        _, height, width = (scan.frames.shape[axis] for axis in canonical_axes(order))
        mask = scan.bad_pixels
        scan = replace(
            scan,
            frames=_transformed_frames(scan.frames, steps, order),
            bad_pixels=None if mask is None else transformed_array(steps, np.asarray(mask)),
            extras=(_with_turned_mask(extra, steps, (height, width), scan.origin) for extra in scan.extras),
        )
    return scan


def _with_turned_mask(extra: Extra, steps: tuple[str, ...], frame_shape: tuple[int, int], origin: Origin) -> Extra:
    """Turn the mask that is kept beside the frames like them; any other array stays as it is."""
    if extra.member != f"{BAD_PIXELS}{NPY_SUFFIX}" or not isinstance(extra.content, np.ndarray):
        return extra
    shape = extra.content.shape[-2:]
    if len(shape) == 2 and shape != frame_shape:
        raise SourceError(
            origin, key=BAD_PIXELS, found=f"shape {extra.content.shape}", expected=f"{frame_shape}, that of a frame"
        )
    turned = transformed_array(steps, extra.content) if len(shape) == 2 else extra.content
    return replace(extra, content=np.ascontiguousarray(turned))


def _transformed_frames(frames: FrameStack, steps: tuple[str, ...], order: str) -> FrameStack:
    _, rows, columns = canonical_axes(order)
    shape = list(frames.shape)
    if steps.count("transpose") % 2:
        shape[rows], shape[columns] = shape[columns], shape[rows]
    as_stored = frames.as_stored
    return replace(
        frames,
        shape=tuple(shape),
        rows=lambda axes: TransformedRows(frames.rows(axes), steps),
        chunks=(),
        transform=",".join(filter(None, (frames.transform, *steps))),
        as_stored=(lambda: TransformedRows(as_stored(), steps)) if as_stored and order == "NHW" else as_stored,
    )


def transformed_pixels(
    x_px: Array, y_px: Array, scan: Scan, meta: ResolvedMetadata, options: ExportOptions
) -> tuple[Array, Array]:
    """Return positions as the options say.

    Parameters
    ----------
    x_px, y_px : array, [N], pixels
    scan, meta, options
        By which the object's centre is known.
    """
    if options.positions_transform and (x_px.ndim != 1 or x_px.shape != y_px.shape):
        raise SourceError(scan.origin, "positions of another shape cannot be transformed", key="xcoords")
    return _transformed(x_px, y_px, scan, meta, options)


def _transformed(
    x_px: Array, y_px: Array, scan: Scan, meta: ResolvedMetadata, options: ExportOptions
) -> tuple[Array, Array]:
    def center_px(x: Array, y: Array) -> tuple[float, float]:
        sizes = meta.object_pixel_width_m, meta.object_pixel_height_m
        if scan.object is None:
            return float(x.min() + x.max()) / 2, float(y.min() + y.max()) / 2
        in_metres = pixels_to_metres(x, sizes[0]), pixels_to_metres(y, sizes[1])
        found = with_object_center(options.object_center, *in_metres, scan.object.shape, meta)
        return found.object_center_x_m / sizes[0], found.object_center_y_m / sizes[1]

    return transformed_positions(parse_positions_transform(options.positions_transform), x_px, y_px, center_px)


def starts_transformed(
    extras: Iterable[Extra], x_px: Array, y_px: Array, scan: Scan, meta: ResolvedMetadata, options: ExportOptions
) -> Iterator[Extra]:
    """Transform positions before correction like those after it, and give the source's own, too.

    Parameters
    ----------
    extras : iterable of Extra
        Others are passed on.
    x_px, y_px : array, [N], pixels
        Positions of the source.
    scan, meta, options
        See `transformed_pixels`.

    Warns
    -----
    ProductWarning
        They are not transformed.
    """
    starts: dict[str, Extra] = {}
    passed = set()
    for extra in extras:
        key = extra.member.removesuffix(NPY_SUFFIX)
        if options.positions_transform and key in contract.START_KEYS:
            starts[key] = extra
        else:
            passed.add(key)
            yield extra
    if not starts:
        return
    values = [start.content for key in contract.START_KEYS if (start := starts.get(key)) is not None]
    lists = [value for value in values if isinstance(value, np.ndarray) and value.shape == x_px.shape]
    if len(lists) < len(contract.START_KEYS):
        key = next(iter(starts))
        warn(f"{scan.origin}: {key}: is not transformed, unless x and y are there, with a number for each position")
        yield from starts.values()
        return
    moved = _transformed(np.stack([x_px, lists[0]]), np.stack([y_px, lists[1]]), scan, meta, options)
    for key, (_, new), kept, value in zip(
        contract.START_KEYS, moved, contract.SOURCE_POSITIONS[2:], lists, strict=True
    ):
        yield replace(starts[key], content=new)
        if kept not in passed:  # of a product that was transformed before, which has them
            yield Extra(f"{kept}{NPY_SUFFIX}", value)


def keep_convention(writer: ProductWriter, x_px: Array, y_px: Array, scan: Scan) -> None:
    """Note the transforms in the product, and keep the positions that the source has.

    A source that is a product may have been transformed before; then its own source comes back.

    Parameters
    ----------
    writer : ProductWriter
    x_px, y_px : array, [N], pixels
        Before the transform.
    scan : Scan
    """
    options, before = writer.options, dict[str, str]()
    if scan.product is not None and scan.files[:1] == (scan.product,):
        with open_hdf5(scan.product) as file:
            for attribute in (contract.POSITIONS_TRANSFORM, contract.PROBE_TRANSFORM):
                before[attribute.name] = read_attribute(file, attribute) or ""
    for attribute, text in (
        (contract.POSITIONS_TRANSFORM, options.positions_transform),
        (contract.PROBE_TRANSFORM, options.probe_transform),
    ):
        text = ",".join(filter(None, (before.get(attribute.name), text)))
        if text:
            writer.note(attribute, text)
    if options.positions_transform and not before.get(contract.POSITIONS_TRANSFORM.name):
        for name, values in zip(contract.SOURCE_POSITIONS[:2], (x_px, y_px), strict=True):
            writer.keep(f"{name}.npy", np.asarray(values))
