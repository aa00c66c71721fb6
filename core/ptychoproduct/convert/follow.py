"""A scan that another program is still writing becomes a product that grows with it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.convert.known import resolved_metadata
from ptychoproduct.errors import OptionError, ProductWarning, SourceError, warn
from ptychoproduct.hdf5.folder_links import Hdf5Source
from ptychoproduct.hdf5.local_links import naming_damage
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.position_units import known_unit, warn_of_span
from ptychoproduct.model.positions import to_object_pixels
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.product.summary import ExportSummary
from ptychoproduct.product.writer import ProductWriter
from ptychoproduct.scan.assembly import Companions
from ptychoproduct.scan.field_layouts import BAD_PIXELS
from ptychoproduct.scan.frame_scan import hdf5_scan, mask_beside
from ptychoproduct.scan.growing_frames import GrowingFrames
from ptychoproduct.scan.scan import FrameStack, Scan
from ptychoproduct.streaming.sources import RowSource
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.resources import Resources

_EVERY_S = 0.05
_BLOCK_BYTES = 16 << 20


def follow_scan(
    source_path: str | PathLike[str],
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    *,
    companions: Companions | None = None,
    dataset: str | None = None,
    frames: int | None = None,
    timeout_s: float | None = None,
    compression: str = "balanced",
    is_stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] | None = None,
) -> ExportSummary:
    """Write the frames of a growing dataset into a product that others can read meanwhile.

    It ends when each position has its frame, when the file is closed by its writer, or as the arguments say.

    Parameters
    ----------
    source_path : path
        An HDF5 file that is written with SWMR; one that is complete is converted.
    out_path : path
        What has this name is replaced at the first frame.
    meta : ExportMeta, optional
    companions : Companions, optional
        Where positions and probe are, if not in the file. They are read at the start.
    dataset : str, optional
        Path of the frames; by default the first that a layout has.
    frames : int, optional
        After how many it ends; by default as many as there are positions.
    timeout_s : float, optional
        After how long without a new frame it ends.
    compression : str
        See `ExportOptions`.
    is_stopped : callable
        Whether it is to end now.
    progress : callable, optional
        Called with the number of frames so far, and that of the frames that are expected.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SourceError
        There are no positions, no probe or no frames, or frames changed after they had been read.
    OptionError
        More frames are asked for than there are positions.

    Warns
    -----
    ProductWarning
        Not all positions have a frame.
    """
    path, companions = Path(source_path), companions or Companions()
    if timeout_s is not None and not timeout_s > 0:
        raise OptionError("timeout", "must be above zero")
    with naming_damage(path):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*another program is writing it", ProductWarning)
            source = Hdf5Source(path)
        with source:
            growing = GrowingFrames(source, dataset)
            scan = hdf5_scan(source, companions, Resources(available_threads()), include_frames=False)
            return _Follower(growing, source, scan, frames, timeout_s, is_stopped, progress).write(
                out_path, meta or ExportMeta(), ExportOptions(compression, chunk_frames=1)
            )


class _Follower:
    def __init__(
        self,
        growing: GrowingFrames,
        source: Hdf5Source,
        scan: Scan,
        frames: int | None,
        timeout_s: float | None,
        is_stopped: Callable[[], bool],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._growing, self._source, self._path = growing, source, source.path
        self._timeout_s, self._is_stopped = timeout_s, is_stopped
        self._progress = progress or (lambda *_: None)
        key, (_, rows, columns) = growing.dataset.name, growing.dataset.shape
        self._shape = (len(scan.x), rows, columns)
        self._scan = replace(_in_order(scan), frames=FrameStack(key, self._shape, _not_read))
        self._wanted = len(scan.x) if frames is None else frames
        if not 0 < self._wanted <= len(scan.x):
            raise OptionError("frames", f"must be 1 to {len(scan.x)}, as many as there are positions")

    def write(self, out_path: str | PathLike[str], meta: ExportMeta, options: ExportOptions) -> ExportSummary:
        """Write the product until following ends."""
        scan, results = self._scan, self._scan.reconstruction
        resolved = resolved_metadata(scan, meta, options)
        unit = known_unit(scan.positions_in, scan.x, scan.y, scan.origin)
        sizes = resolved.object_pixel_width_m, resolved.object_pixel_height_m
        x_px = to_object_pixels(scan.x, "xcoords", unit, sizes[0], scan.origin)
        y_px = to_object_pixels(scan.y, "ycoords", unit, sizes[1], scan.origin)
        warn_of_span(scan.x, scan.y, unit, *sizes, scan.origin)
        with ProductWriter(
            out_path, resolved, options=options, source=self._path, inputs=scan.files[1:], live=True
        ) as writer:
            writer.set_probe(scan.probe, results.opr_weights)
            if scan.object is not None:
                spacing = results.object_layer_spacing_m
                writer.set_object(scan.object, spacing, is_synthetic=scan.is_object_synthetic)
            taken = self._append_all(writer, x_px, y_px)
            self._growing.require_unchanged()
            if not taken:
                raise SourceError(self._path, "no frame has come", key=self._growing.dataset.name)
            if taken < len(x_px):
                warn(f"{self._path}: {taken:,} of {len(x_px):,} positions have a frame; the product has these only")
            index = None if scan.scan_index is None else scan.scan_index[:taken]
            writer.set_positions(x_px[:taken], y_px[:taken], index)
            mask = mask_beside(self._source, self._growing.dataset, self._shape)
            if mask is not None:
                writer.keep(f"{BAD_PIXELS}{NPY_SUFFIX}", mask[1])
        assert writer.summary is not None
        return replace(writer.summary, notes=scan.notes)

    def _append_all(self, writer: ProductWriter, x_px: Array, y_px: Array) -> int:
        """Append frames as they come; return how many."""
        frame_bytes = self._growing.dataset.dtype.itemsize * self._shape[1] * self._shape[2]
        most = max(1, min(64, _BLOCK_BYTES // frame_bytes))
        taken, last_s = 0, time.monotonic()
        self._progress(0, self._wanted)
        while taken < self._wanted and not self._is_stopped():
            ready, is_last = self._growing.refresh()
            ready = min(ready, self._wanted)
            if ready > taken:
                while taken < ready and not self._is_stopped():
                    end = min(ready, taken + most)
                    writer.append(self._growing.read(taken, end), x_px[taken:end], y_px[taken:end])
                    taken = end
                    self._progress(taken, self._wanted)
                last_s = time.monotonic()
            elif is_last or (self._timeout_s is not None and time.monotonic() - last_s > self._timeout_s):
                break
            else:
                time.sleep(_EVERY_S)
        return taken


def _in_order(scan: Scan) -> Scan:
    """Return the scan with its positions in the order of frames, where they have numbers."""
    if scan.numbers is None:
        return scan
    order = np.argsort(scan.numbers, kind="stable")
    if not np.array_equal(np.asarray(scan.numbers)[order], np.arange(len(scan.x))):
        raise SourceError(
            scan.origin, f"positions must be numbered 0 to {len(scan.x) - 1}, as frames are; give --positions"
        )
    index = None if scan.scan_index is None else np.asarray(scan.scan_index)[order]
    return replace(scan, x=np.asarray(scan.x)[order], y=np.asarray(scan.y)[order], scan_index=index, numbers=None)


def _not_read(_: object) -> RowSource:
    raise AssertionError("frames that grow are read by GrowingFrames")
