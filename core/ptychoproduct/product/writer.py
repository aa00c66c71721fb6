"""Writing a product: everything that the contract asks for, in one file that appears when it is complete."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ptychoproduct.aliases import Array, Progress
from ptychoproduct.errors import OptionError, SourceError
from ptychoproduct.hdf5.nexus import add_plots
from ptychoproduct.hdf5.output import hdf5_errors, new_hdf5_file, require_hdf5_suffix
from ptychoproduct.model import contract
from ptychoproduct.model.array_checks import check_raw_array, real_array, require_length
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.model.geometry import resolve_metadata
from ptychoproduct.model.metadata import ExportMeta, ResolvedMetadata
from ptychoproduct.model.plausibility import warn_of_implausible
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.product import reconstruction
from ptychoproduct.product.frame_writer import FrameWriter
from ptychoproduct.product.live import LiveProduct
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.product.provenance import write_provenance
from ptychoproduct.product.raw_group import RawGroup
from ptychoproduct.product.scan_positions import ScanPositions
from ptychoproduct.product.summary import ExportSummary
from ptychoproduct.scan.scan import FrameStack
from ptychoproduct.streaming.chunk_stream import write_rows
from ptychoproduct.streaming.chunk_target import RowOutput
from ptychoproduct.streaming.sources import RowSource
from ptychoproduct.system.atomic import OutputGroup, Place, atomic_output
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.physics_evidence import record_physics
from ptychoproduct.validation.read_back import verify_digests
from ptychoproduct.validation.written_digests import ContentDigests


class ProductWriter:
    """A product that is being written; use it as a context manager.

    The file appears under its name when the block ends without an error, and not at all otherwise.

    Parameters
    ----------
    out_path : path
        ``*.h5`` or ``*.hdf5``.
    meta : ExportMeta or ResolvedMetadata, optional
    include_raw : bool
        Whether ``/raw_data`` is written: frames, positions in pixels and what else is kept.
    options : ExportOptions, optional
    progress : callable, optional
        Called with a number of bytes whenever so many have been written.
    source : path, optional
        The file that the data comes from: named in messages, never overwritten.
    inputs : sequence of path
        Other files that the data comes from: never overwritten.
    group : OutputGroup, optional
        Other outputs, which appear at the same time.
    live : bool
        Whether others can read the frames while they are appended, see `LiveProduct`; each is a chunk by default.
    place : Place, optional
        Where it is until it is complete.

    Raises
    ------
    OutputError
        The product cannot be written there.

    Examples
    --------
    >>> with ProductWriter("product.h5", ExportMeta(name="live")) as writer:  # doctest: +SKIP
    ...     writer.set_probe(probe)
    ...     for frames, x_px, y_px in detector:
    ...         writer.append(frames, x_px, y_px)
    """

    def __init__(
        self,
        out_path: str | PathLike[str],
        meta: ExportMeta | ResolvedMetadata | None = None,
        *,
        include_raw: bool = True,
        options: ExportOptions | None = None,
        progress: Progress | None = None,
        source: str | PathLike[str] | None = None,
        inputs: Sequence[str | PathLike[str]] = (),
        group: OutputGroup | None = None,
        live: bool = False,
        place: Place | None = None,
    ) -> None:
        self.path = Path(out_path)
        self.meta = meta if isinstance(meta, ResolvedMetadata) else resolve_metadata(meta or ExportMeta())
        self.options = options or ExportOptions(chunk_frames=1 if live else None)
        self.summary: ExportSummary | None = None
        self.conversion_id: str | None = None  # with a patterns file only
        self._include_raw, self._is_live = include_raw, live
        if live and not self.options.overwrite:
            raise OptionError("live", "replaces what has the product's name; it cannot be used with overwrite=False")
        self._progress = progress
        threads = self.options.threads or available_threads()
        self._resources = Resources(threads, self.options.memory_bytes, progress=self._on_progress)
        self._origin = self.path if source is None else source
        self._inputs = tuple(map(Path, inputs if source is None else (source, *inputs)))
        self._placing: dict[str, Any] = {"sources": self._inputs, "group": group, "place": place}
        self._stack, self._file_bytes = ExitStack(), 0
        self._raw: RawGroup | None = None
        self._positions = ScanPositions(self.options.position_index, self._origin)
        self._digests = ContentDigests(self.options.has_digests, self.options.digests_frames, self.options.verify)
        require_hdf5_suffix(self.path)
        warn_of_implausible({name: self.meta.known(name) for name in self.meta.origins}, self._origin)

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        with ExitStack() as stack:
            part = stack.enter_context(atomic_output(self.path, **self.options.replacing, **self._placing))
            stack.callback(self._measure, part)
            stack.enter_context(self._verified(part))
            self._file, self._output = stack.enter_context(new_hdf5_file(part, self.path))
            with hdf5_errors(self.path, self._output):
                if self._include_raw:
                    checked = replace(self._resources, progress=lambda _: self._output.check())
                    self._raw = RawGroup(self._file, self.options, checked, self._digests, self._output)
            live = LiveProduct(self.path, self.meta, self._origin) if self._is_live else None
            stack.callback(live.close if live else lambda: None)
            kept = (self._digests, self._origin, self._output, live)
            self._frames = stack.enter_context(FrameWriter(self._file, self.options, self._resources, *kept))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            summary = self._complete()
        self.summary = replace(summary, file_bytes=self._file_bytes, seconds=time.perf_counter() - self._started)

    def set_positions(
        self,
        x_px: Array,
        y_px: Array,
        scan_index: Array | None = None,
        *,
        metres: tuple[Array, Array] | None = None,
        numbers: Array | None = None,
    ) -> None:
        """Set all scan positions at once.

        Parameters
        ----------
        x_px, y_px : array, [N], pixels
            Kept as they are in ``/raw_data``; times the object pixel size they are the product's positions.
        scan_index : array, [N], int, optional
            See `position_indexes`.
        metres : pair of arrays [N], optional
            The same positions in metres, to the last bit, where a source has both.
        numbers : array, [N], int, optional
            The numbers that pair positions with patterns, in place of those of `scan_index`, unless the options ask
            for these or for a sequence.

        Raises
        ------
        SourceError
            They are not finite, or not of one length.
        """
        self._positions.set(x_px, y_px, scan_index, metres, numbers)

    def position_indexes(self) -> Array:
        """Choose the numbers that pair positions with patterns, once all positions are set: [N], int64."""
        return self._positions.indexes()

    def set_probe(self, probe: Array, opr_weights: Array | None = None) -> None:
        """Write the probe.

        Parameters
        ----------
        probe : array, [H, W], [I, H, W] or [C, I, H, W], complex
        opr_weights : array, [K, C], real, optional
            Written both as a dataset and as an attribute of the probe, for old readers.

        Raises
        ------
        SourceError
            The shape or type is another.
        """
        with hdf5_errors(self.path, self._output):
            reconstruction.write_probe(self._file, probe, opr_weights, self.meta, self._origin)

    def set_object(
        self, array: Array, layer_spacing_m: Sequence[float] | Array = (), *, is_synthetic: bool = False
    ) -> None:
        """Write the object.

        Parameters
        ----------
        array : array, [H, W] or [L, H, W], complex
        layer_spacing_m : sequence of float, [L-1]
            Distances between layers, along the beam.
        is_synthetic : bool
            Whether it is ones that stand for an unknown object.

        Raises
        ------
        SourceError
            The shape or type is another, or the number of spacings does not fit.
        OptionError
            A spacing is negative or not finite.
        """
        with hdf5_errors(self.path, self._output):
            reconstruction.write_object(self._file, array, layer_spacing_m, self._origin)
            if is_synthetic:
                self._file[contract.OBJECT.name].attrs[contract.SYNTHETIC.name] = True

    def set_losses(self, values: Sequence[float] | Array, epochs: Sequence[int] | Array | None = None) -> None:
        """Write the loss history, [E] values and their epochs, [E], by default 0 to E-1."""
        with hdf5_errors(self.path, self._output):
            reconstruction.write_losses(self._file, values, epochs, self._origin)

    def set_probe_photon_counts(self, counts: Sequence[float] | Array) -> None:
        """Write the photons of each position, [N]."""
        counts = real_array(counts, 1, "probe_photon_counts", self._origin)
        with hdf5_errors(self.path, self._output):
            self._file.create_dataset(contract.PHOTON_COUNTS.name, data=counts)

    def append(self, frames: Array, x_px: Array, y_px: Array, scan_index: Array | None = None) -> None:
        """Append frames with their positions; any number at a time, the total need not be known.

        Parameters
        ----------
        frames : array, [n, H, W], real
        x_px, y_px : array, [n], pixels
        scan_index : array, [n], int, optional
            Given always or never.

        Raises
        ------
        SourceError
            Shapes or types differ from each other, or from those of earlier frames.
        OptionError
            `store_counts` is set, which needs all frames at once.
        """
        if self.options.store_counts:
            raise OptionError("store_counts", "needs all frames at once; use write_frames in place of append")
        frames = np.asarray(frames)
        self._frames.check(frames.shape, frames.dtype, "frames")
        if not len(frames):
            return
        self._positions.append(x_px, y_px, scan_index, len(frames))
        if self._raw is not None:
            with hdf5_errors(self.path, self._output):
                self._frames.append(frames)
                self._frames.share(x_px, y_px)

    def write_frames(
        self,
        frames: FrameStack,
        axis_order: str = "NHW",
        *,
        beside: Sequence[RowOutput] = (),
        recipe: CountsRecipe | None = None,
    ) -> None:
        """Write all frames of a stack, in place of `append`; without raw data, only what is `beside`.

        Parameters
        ----------
        frames : FrameStack
        axis_order : {"NHW", "HNW", "HWN"}
            Of the stack's axes.
        beside : sequence of RowOutput
            Further datasets, of other files too, that are filled in the same pass over the frames.
        recipe : CountsRecipe, optional
            The frames are amplitudes, and are stored as the counts that it finds. `recognise_counts` gives one.

        Raises
        ------
        SourceError
            The stack does not hold frames, or they differ from those before.
        InexactError
            An amplitude does not fit the recipe or its type. No frames are left, and they can be written again.
        OptionError
            `store_counts` is set and there is no recipe, or the recipe is for another type.
        """
        if len(frames.shape) != 3:
            raise SourceError(self._origin, f"has shape {frames.shape}; frames have three axes", key=frames.member)
        rows = frames.rows(canonical_axes(axis_order))
        self._frames.check(rows.shape, rows.dtype, frames.member)
        if self.options.store_counts and recipe is None and rows.dtype.kind == "f":
            raise OptionError("store_counts", "needs a recipe for these frames; recognise_counts gives one")
        if self._raw is None:
            if beside:
                write_rows(beside, rows, self._resources)
            return
        with hdf5_errors(self.path, self._output):
            self._frames.write(frames, axis_order, rows, beside, recipe)

    def keep(self, member: str, array: Array, source_dtype: str | None = None) -> None:
        """Keep an array of the source in ``/raw_data``, if that is written, under the name of its archive member.

        Parameters
        ----------
        member : str
            Its file name in the NPZ archive, such as ``Y.npy``.
        array : array
            Any type but object.
        source_dtype : str, optional
            What it was, where the array's type does not say it.
        """
        key = member.removesuffix(NPY_SUFFIX)
        check_raw_array(array, key, key, self._origin, len(self._positions) or None)
        if self._raw is not None:
            with hdf5_errors(self.path, self._output):
                self._raw.keep(member, array, source_dtype)

    def keep_text(self, member: str, text: str) -> None:
        """Keep a string that was a 0-d object array, if ``/raw_data`` is written."""
        if self._raw is not None:
            with hdf5_errors(self.path, self._output):
                self._raw.keep_text(member, text)

    def keep_rows(self, member: str, source: RowSource, source_dtype: str | None = None) -> None:
        """Keep a large array of the source, streamed and compressed like frames, if ``/raw_data`` is written."""
        if self._raw is not None:
            with hdf5_errors(self.path, self._output):
                self._raw.keep_rows(member, source, source_dtype)

    def note(self, attribute: contract.Attribute, text: str) -> None:
        """Write an attribute of the product."""
        self._file.attrs[attribute.name] = text

    def _measure(self, part: Path) -> None:
        self._file_bytes = part.stat().st_size

    def _on_progress(self, nbytes: int) -> None:
        self._output.check()  # stops early if the disk is full
        if self._progress is not None:
            self._progress(nbytes)

    def _complete(self) -> ExportSummary:
        """Write what is known only at the end, and defaults for what was not given."""
        if contract.PROBE.name not in self._file:
            raise SourceError(self._origin, "no probe was given", key="probeGuess")
        if not len(self._positions):
            raise SourceError(self._origin, "no positions were given", key="xcoords")
        with hdf5_errors(self.path, self._output):
            self._frames.finish()
            if self._frames.dataset is not None:
                require_length(len(self._frames.dataset), len(self._positions), "frames", self._origin)
            self.meta = reconstruction.complete_object(
                self._file, self._positions, self.options.object_center, self.meta, self._origin
            )
            if contract.LOSS_VALUES.name not in self._file:
                reconstruction.write_losses(self._file, (), None, self._origin)
            counts = self._file.get(contract.PHOTON_COUNTS.name)
            if counts is not None:
                require_length(len(counts), len(self._positions), contract.PHOTON_COUNTS.name, self._origin)
            reconstruction.write_attributes(self._file, contract.ROOT_ATTRIBUTES, self.meta)
            if self.conversion_id is not None:
                self.note(contract.CONVERSION_ID, self.conversion_id)
            for expected, data in zip(contract.POSITIONS, self._positions.in_metres(self.meta), strict=True):
                self._file.create_dataset(expected.name, data=data)
            self._file.create_dataset(contract.POSITION_INDEXES.name, data=self._positions.indexes())
            if self._raw is not None:
                self._raw.keep_scan(self._positions)
            if self.options.nexus:
                add_plots(self._file, self.meta)
            write_provenance(self._file, self.options, self._include_raw, self._inputs)
            summary = self._summarise()  # which notes the verdict of physics: the digest covers it
            self._digests.take(self._file, reconstruction.all_datasets(self._file), self._resources.threads)
        return summary

    @contextmanager
    def _verified(self, part: Path) -> Iterator[None]:
        """Read the closed file back, if the options ask for that."""
        yield
        if self.options.verify:
            verify_digests(part, self.path, self._digests.taken, self._progress)

    def _summarise(self) -> ExportSummary:
        return ExportSummary(
            product=self.path,
            positions=len(self._file[contract.POSITION_X.name]),
            meta=self.meta,
            file_bytes=0,
            seconds=0.0,
            position_index_note=self._positions.index_note(),
            physics=record_physics(self._file, self._origin, self._frames.kept, self.options.convention),
            **self._frames.facts(),
        )
