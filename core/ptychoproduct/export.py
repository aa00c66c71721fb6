"""From a scan, in an NPZ file or in memory, to a product."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ptychoproduct import arrays, contract
from ptychoproduct.axes import axis_order, canonical_axes
from ptychoproduct.errors import SourceError
from ptychoproduct.metadata import ExportMeta
from ptychoproduct.npy import Member
from ptychoproduct.npz import NpzArchive
from ptychoproduct.options import ExportOptions
from ptychoproduct.sources import ArrayRows, member_rows
from ptychoproduct.streaming import Progress
from ptychoproduct.unpickle import unpickle_text
from ptychoproduct.writer import ExportSummary, ProductWriter

Array = np.ndarray[Any, Any]

# Arrays from this size on are streamed, not loaded.
_LARGE_BYTES = 8 * 1024**2
_MOST_PICKLE_BYTES = 64 * 1024**2
_START_KEYS = ("xcoords_start", "ycoords_start")
_PRODUCT_KEYS = ("xcoords", "ycoords", "scan_index", "probeGuess", "objectGuess")


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
    npz_path = Path(npz_path)
    options = options or ExportOptions()
    with NpzArchive(npz_path) as archive:
        metadata = _metadata_text(archive)
        x_px, y_px = (archive.read(archive.require(key)) for key in ("xcoords", "ycoords"))
        probe = archive.read(archive.require("probeGuess"))
        frames = frames_member(archive) if include_raw else None
        with ProductWriter(
            out_path, meta, include_raw=include_raw, options=options, progress=progress, source=npz_path
        ) as writer:
            writer.set_positions(x_px, y_px, _read_if_there(archive, "scan_index"))
            _write_reconstruction(writer, probe, _read_if_there(archive, "objectGuess"), reconstruction)
            if frames is not None:
                order = axis_order(frames.shape, len(x_px), options.axis_order, npz_path, frames.key)
                rows = member_rows(archive, frames, canonical_axes(order), options.memory_bytes)
                writer.write_frames(rows, order, frames.member)
                _link_guesses(writer, "objectGuess" in archive.members)
                for member in archive.members.values():
                    if member != frames and member.key not in _PRODUCT_KEYS:
                        _keep_member(writer, archive, member, metadata, options)
    assert writer.summary is not None
    return writer.summary


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
    options = options or ExportOptions()
    name = type(raw).__name__
    x_px, y_px, probe = (_required_attribute(raw, key) for key in ("xcoords", "ycoords", "probeGuess"))
    frames = _attribute(raw, "diff3d")
    with ProductWriter(out_path, meta, include_raw=include_raw, options=options, progress=progress) as writer:
        writer.set_positions(x_px, y_px, _attribute(raw, "scan_index"))
        objectguess = _attribute(raw, "objectGuess")
        _write_reconstruction(writer, probe, objectguess, reconstruction)
        if include_raw:
            if frames is not None:
                order = axis_order(frames.shape, len(x_px), options.axis_order, name, "diff3d")
                writer.write_frames(ArrayRows(frames, canonical_axes(order)), order)
            _link_guesses(writer, objectguess is not None)
            for key in (*_START_KEYS, "Y", "norm_Y_I"):
                _keep_array(writer, key, _attribute(raw, key))
            metadata = getattr(raw, "metadata", None)
            if metadata is not None:
                text = metadata if isinstance(metadata, str) else json.dumps(metadata)
                writer.keep_text(f"{contract.METADATA_KEY}.npy", text)
    assert writer.summary is not None
    return writer.summary


def _metadata_text(archive: NpzArchive) -> str | None:
    """Return the pickled ``_metadata``, and refuse every other pickle; None where there is nothing pickled."""
    text = None
    for member in archive.members.values():
        if not member.dtype.hasobject:
            continue
        expected = f"plain data; pickles are not opened, but for a string in {contract.METADATA_KEY}"
        if member.key != contract.METADATA_KEY or member.nbytes > _MOST_PICKLE_BYTES:
            raise SourceError(archive.path, key=member.key, found="an array of Python objects", expected=expected)
        try:
            text = unpickle_text(archive.read_bytes(member)[member.data_start :])
        except ValueError as error:
            raise SourceError(archive.path, key=member.key, found=str(error), expected=expected) from error
    return text


def frames_member(archive: NpzArchive) -> Member:
    """Return the member that holds the diffraction frames, or SourceError where there is none."""
    for key in contract.FRAME_KEYS:
        if key in archive.members:
            return archive.members[key]
    return archive.require(" or ".join(contract.FRAME_KEYS))


def frame_bytes(npz_path: str | PathLike[str]) -> int:
    """Return the size of a scan's frames, without reading them; 0 where there are none.

    Raises
    ------
    SourceError
        The NPZ file cannot be read.
    """
    with NpzArchive(Path(npz_path)) as archive:
        return max((archive.members[key].nbytes for key in contract.FRAME_KEYS if key in archive.members), default=0)


def _read_if_there(archive: NpzArchive, key: str) -> Array | None:
    member = archive.members.get(key)
    return None if member is None else archive.read(member)


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


def _link_guesses(writer: ProductWriter, has_object: bool) -> None:
    writer.link("probeGuess.npy", contract.PROBE)
    if has_object:
        writer.link("objectGuess.npy", contract.OBJECT)


def _keep_member(
    writer: ProductWriter, archive: NpzArchive, member: Member, metadata: str | None, options: ExportOptions
) -> None:
    source_dtype = None if member.is_array else arrays.MEMBER_BYTES
    if member.dtype.hasobject:
        writer.keep_text(member.member, metadata or "")
    elif _is_streamed(member.shape, member.dtype):
        rows = member_rows(archive, member, memory_bytes=options.memory_bytes)
        writer.keep_rows(member.member, rows, source_dtype)
    else:
        writer.keep(member.member, archive.read(member), source_dtype)


def _keep_array(writer: ProductWriter, key: str, array: Array | None) -> None:
    if array is None:
        return
    if _is_streamed(array.shape, array.dtype):
        writer.keep_rows(f"{key}.npy", ArrayRows(array, range(array.ndim)))
    else:
        writer.keep(f"{key}.npy", array)


def _is_streamed(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array is streamed by rows: it is large, its rows are not, and HDF5 has its type."""
    if not shape or not arrays.has_hdf5_type(dtype):
        return False
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    return shape[0] * row_bytes >= _LARGE_BYTES >= row_bytes


def _required_attribute(raw: Any, key: str) -> Array:
    array = _attribute(raw, key)
    if array is None:
        raise SourceError(type(raw).__name__, key=key, found="None", expected="an array")
    return array


def _attribute(raw: Any, key: str) -> Array | None:
    value = getattr(raw, key, None)
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise SourceError(type(raw).__name__, key=key, found="an array of Python objects", expected="plain data")
    return array
