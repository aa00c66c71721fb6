"""Writing a product: everything that the contract asks for, in one file that appears when it is complete."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Progress
from ptychoproduct.compression.codecs import codec_of
from ptychoproduct.errors import OptionError, SourceError, warn
from ptychoproduct.hdf5 import arrays
from ptychoproduct.hdf5.chunks import create_chunked
from ptychoproduct.hdf5.nexus import add_plots
from ptychoproduct.hdf5.output import hdf5_errors, new_hdf5_file, require_hdf5_suffix
from ptychoproduct.model import contract
from ptychoproduct.model.array_checks import check_raw_array, complex_array, coordinates, real_array, require_length
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.model.geometry import covering_object, resolve_metadata
from ptychoproduct.model.metadata import ExportMeta, ResolvedMetadata
from ptychoproduct.model.object_center import warn_outside, with_object_center
from ptychoproduct.model.plausibility import warn_of_implausible
from ptychoproduct.model.positions import pixels_to_metres, position_indexes, same_for_all
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.product.frame_writer import FrameWriter
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.product.raw_group import link_name
from ptychoproduct.product.summary import ExportSummary
from ptychoproduct.scan.scan import FrameStack
from ptychoproduct.streaming.chunk_stream import RowOutput, write_rows
from ptychoproduct.streaming.sources import RowSource
from ptychoproduct.system.atomic import OutputGroup, atomic_output
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.digests import ContentDigests
from ptychoproduct.validation.read_back import verify_digests


class ProductWriter:
    """A product that is being written; use it as a context manager.

    The file appears under its name when the block ends without an error, and not at all otherwise.

    Parameters
    ----------
    out_path : path
        ``*.h5`` or ``*.hdf5``.
    meta : ExportMeta or ResolvedMetadata, optional
    include_raw : bool
        Whether ``/raw_data`` is written: frames, positions in pixels and whatever is kept besides.
    options : ExportOptions, optional
    progress : callable, optional
        Called with a number of bytes whenever frames of that size have been written.
    source : path, optional
        The file that the data comes from: named in messages, never overwritten.
    inputs : sequence of path
        Other files that the data comes from: never overwritten.
    group : OutputGroup, optional
        Other outputs, which the product appears with.

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
    ) -> None:
        self.path = Path(out_path)
        self.meta = meta if isinstance(meta, ResolvedMetadata) else resolve_metadata(meta or ExportMeta())
        self.options = options or ExportOptions()
        self.summary: ExportSummary | None = None
        self._include_raw = include_raw
        self._progress = progress
        self._resources = Resources(
            self.options.threads or available_threads(),
            self.options.memory_bytes,
            self.path.absolute().parent,
            self._on_progress,
        )
        self._source = source
        self._inputs = tuple(map(Path, inputs if source is None else (source, *inputs)))
        self._group = group
        self._stack = ExitStack()
        self._x_px: list[Array] = []
        self._y_px: list[Array] = []
        self._scan_index: list[Array] = []
        self._metres: tuple[Array, Array] | None = None
        self._indexes: Array | None = None
        self._file_bytes = 0
        self._digests = ContentDigests(wanted=self.options.has_digests or self.options.verify)
        require_hdf5_suffix(self.path)
        warn_of_implausible({name: self.meta.known(name) for name in self.meta.origins}, self._origin)

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        with ExitStack() as stack:
            part = stack.enter_context(
                atomic_output(self.path, overwrite=self.options.overwrite, sources=self._inputs, group=self._group)
            )
            stack.callback(self._measure, part)
            stack.enter_context(self._verified(part))
            self._file, self._output = stack.enter_context(new_hdf5_file(part, self.path))
            with hdf5_errors(self.path, self._output):
                if self._include_raw:
                    self._raw = self._file.create_group(contract.RAW_DATA)
            self._frames = stack.enter_context(
                FrameWriter(self._file, self.options, self._resources, self._digests, self._origin)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._complete()
            summary = self._summarise()
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
        self._metres = metres
        x_px = coordinates(x_px, "xcoords", self._origin)
        y_px = coordinates(y_px, "ycoords", self._origin)
        require_length(len(y_px), len(x_px), "ycoords", self._origin)
        self._x_px, self._y_px, self._scan_index, self._indexes = [x_px], [y_px], [], None
        if scan_index is not None:
            scan_index = np.asarray(scan_index)
            check_raw_array(scan_index, "scan_index", "scan_index", self._origin, len(x_px))
            self._scan_index = [scan_index]
        if numbers is not None and self.options.position_index == "auto":
            self._indexes = position_indexes(numbers, len(x_px), "auto", self._origin)

    def position_indexes(self) -> Array:
        """Choose the numbers that pair positions with patterns, once all positions are set: [N], int64."""
        if self._indexes is None:
            scan_index = np.concatenate(self._scan_index) if self._scan_index else None
            positions = sum(map(len, self._x_px))
            self._indexes = position_indexes(scan_index, positions, self.options.position_index, self._origin)
        return self._indexes

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
        probe = complex_array(probe, (2, 3, 4), "probeGuess", self._origin)
        with hdf5_errors(self.path, self._output):
            dataset = self._file.create_dataset(contract.PROBE.name, data=probe)
            _write_attributes(dataset, contract.PROBE.attributes, self.meta)
            if opr_weights is not None:
                weights = real_array(opr_weights, 2, "opr_weights", self._origin)
                modes = probe.shape[0] if probe.ndim == 4 else 1
                require_length(weights.shape[1], modes, "opr_weights", self._origin, "coherent modes of the probe")
                dataset.attrs[contract.OPR.name] = weights
                self._file.create_dataset(contract.OPR.name, data=weights)

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
        array = complex_array(array, (2, 3), "objectGuess", self._origin)
        layers = array.shape[0] if array.ndim == 3 else 1
        spacing_m = real_array(layer_spacing_m, 1, "object_layer_spacing_m", self._origin)
        require_length(len(spacing_m), layers - 1, "object_layer_spacing_m", self._origin, "gaps between layers")
        if not (np.isfinite(spacing_m) & (spacing_m >= 0)).all():
            raise OptionError("object_layer_spacing_m", found=str(spacing_m), expected="distances, not negative")
        with hdf5_errors(self.path, self._output):
            dataset = self._file.create_dataset(contract.OBJECT.name, data=array)
            if is_synthetic:
                dataset.attrs[contract.SYNTHETIC.name] = True
            self._file.create_dataset(contract.OBJECT_LAYER_SPACING.name, data=spacing_m)

    def set_losses(self, values: Sequence[float] | Array, epochs: Sequence[int] | Array | None = None) -> None:
        """Write the loss history.

        Parameters
        ----------
        values : sequence of float, [E]
        epochs : sequence of int, [E], optional
            0 to E-1 by default.
        """
        values = real_array(values, 1, "loss_values", self._origin)
        numbers = np.arange(len(values)) if epochs is None else real_array(epochs, 1, "loss_epochs", self._origin)
        require_length(len(numbers), len(values), "loss_epochs", self._origin, "loss values")
        with hdf5_errors(self.path, self._output):
            self._file.create_dataset(contract.LOSS_VALUES.name, data=values)
            for alias in contract.LOSS_VALUES.aliases:
                self._file[alias] = self._file[contract.LOSS_VALUES.name]
            self._file.create_dataset(contract.LOSS_EPOCHS.name, data=np.asarray(numbers, np.int64))

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
            Counts are to be stored: how, only all frames can say.
        """
        if self.options.store_counts:
            raise OptionError("store_counts", "needs all frames at once; use write_frames in place of append")
        frames = np.asarray(frames)
        self._frames.check(frames.shape, frames.dtype, "frames")
        if not len(frames):
            return
        new = {"x_px": np.atleast_1d(x_px), "y_px": np.atleast_1d(y_px)}
        if scan_index is not None:
            new["scan_index"] = np.atleast_1d(scan_index)
        for key, values in new.items():
            coordinates(values, key, self._origin)
            require_length(len(values), len(frames), key, self._origin, "frames")
        if self._x_px and bool(self._scan_index) != ("scan_index" in new):
            raise SourceError(self._origin, "given for some frames only", key="scan_index")
        if self._include_raw:
            with hdf5_errors(self.path, self._output):
                self._frames.append(frames)
        self._indexes = None
        self._x_px.append(new["x_px"])
        self._y_px.append(new["y_px"])
        self._scan_index += [new["scan_index"]] if scan_index is not None else []

    def write_frames(
        self,
        frames: FrameStack,
        axis_order: str = "NHW",
        *,
        beside: Sequence[RowOutput] = (),
        recipe: CountsRecipe | None = None,
    ) -> None:
        """Write all frames of a stack, in place of `append`; not into the product where it has no raw data.

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
            An amplitude is none by the recipe, or of a larger count than its type holds. Nothing is left of the frames,
            and they can be written anew.
        OptionError
            Counts are to be stored by the options, and there is no recipe; or it is one for another type.
        """
        if len(frames.shape) != 3:
            raise SourceError(self._origin, f"has shape {frames.shape}; frames have three axes", key=frames.member)
        rows = frames.rows(canonical_axes(axis_order))
        self._frames.check(rows.shape, rows.dtype, frames.member)
        if self.options.store_counts and recipe is None and rows.dtype.kind == "f":
            raise OptionError("store_counts", "needs a recipe for these frames; recognise_counts gives one")
        if not self._include_raw:
            if beside:
                write_rows(beside, rows, self._resources.threads, self._resources.progress)
            return
        with hdf5_errors(self.path, self._output):
            self._frames.write(frames, axis_order, rows, beside, recipe)

    def keep(self, member: str, array: Array, source_dtype: str | None = None) -> None:
        """Keep an array of the source in ``/raw_data``, under the name of its archive member; nothing without raw data.

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
        check_raw_array(array, key, key, self._origin, len(self._x_px[0]) if self._x_px else None)
        if not self._include_raw:
            return
        with hdf5_errors(self.path, self._output):
            name = link_name(member, self._raw)
            dataset = arrays.write_array(self._raw, name, array)
            if source_dtype is not None:
                dataset.attrs[contract.SOURCE_DTYPE.name] = source_dtype
            self._name_member(name, member)

    def keep_text(self, member: str, text: str) -> None:
        """Keep a string that was a 0-d object array; nothing without raw data."""
        if not self._include_raw:
            return
        with hdf5_errors(self.path, self._output):
            name = link_name(member, self._raw)
            arrays.write_text(self._raw, name, text)
            self._name_member(name, member)

    def keep_rows(self, member: str, source: RowSource, source_dtype: str | None = None) -> None:
        """Keep a large array of the source, streamed and compressed like the frames; nothing without raw data."""
        if not self._include_raw:
            return
        with hdf5_errors(self.path, self._output):
            name = link_name(member, self._raw)
            codec = self.options.storage(source.dtype, source.shape[1:], source.shape[0]).codec
            dataset = create_chunked(self._raw, name, source.shape[1:], source.dtype, codec, source.shape[0])
            rows = self._digests.passing(source, dataset)
            write_rows([RowOutput(dataset)], rows, self._resources.threads, lambda _: self._output.check())
            if source_dtype is not None:
                dataset.attrs[contract.SOURCE_DTYPE.name] = source_dtype
            self._name_member(name, member)

    def _measure(self, part: Path) -> None:
        self._file_bytes = part.stat().st_size

    def _on_progress(self, nbytes: int) -> None:
        self._output.check()  # no need to compress what no disk will take
        if self._progress is not None:
            self._progress(nbytes)

    @property
    def _origin(self) -> str | PathLike[str]:
        """What messages about the data name."""
        return self.path if self._source is None else self._source

    def _complete(self) -> None:
        """Write what only the end knows, and what was not given."""
        if contract.PROBE.name not in self._file:
            raise SourceError(self._origin, "no probe was given", key="probeGuess")
        if not self._x_px:
            raise SourceError(self._origin, "no positions were given", key="xcoords")
        x_px, y_px = np.concatenate(self._x_px), np.concatenate(self._y_px)
        scan_index = np.concatenate(self._scan_index) if self._scan_index else None
        x_m, y_m = self._metres or (
            pixels_to_metres(x_px, self.meta.object_pixel_width_m),
            pixels_to_metres(y_px, self.meta.object_pixel_height_m),
        )
        with hdf5_errors(self.path, self._output):
            self._frames.finish()
            if self._frames.dataset is not None:
                require_length(len(self._frames.dataset), len(x_px), "frames", self._origin)
            if contract.OBJECT.name in self._file:
                shape = self._file[contract.OBJECT.name].shape
                self.meta = with_object_center(self.options.object_center, x_m, y_m, shape, self.meta)
                warn_outside(x_m, y_m, shape, self.meta, self._origin)
            else:
                self._write_synthetic_object(x_px, y_px)
            _write_attributes(self._file[contract.OBJECT.name], contract.OBJECT.attributes, self.meta)
            if contract.LOSS_VALUES.name not in self._file:
                self.set_losses([])
            if contract.PHOTON_COUNTS.name in self._file:
                counts = self._file[contract.PHOTON_COUNTS.name]
                require_length(len(counts), len(x_px), contract.PHOTON_COUNTS.name, self._origin)
            _write_attributes(self._file, contract.ROOT_ATTRIBUTES, self.meta)
            self._file.create_dataset(contract.POSITION_X.name, data=x_m)
            self._file.create_dataset(contract.POSITION_Y.name, data=y_m)
            self._file.create_dataset(contract.POSITION_INDEXES.name, data=self.position_indexes())
            if self._include_raw:
                self._write_raw_scan(x_px, y_px, scan_index)
            if self.options.nexus:
                add_plots(self._file, self.meta)
            self._digests.take(self._datasets(), self._resources.threads, keep=self.options.has_digests)

    def _write_raw_scan(self, x_px: Array, y_px: Array, scan_index: Array | None) -> None:
        """Keep what the product's own datasets were made from."""
        for name, array in (("xcoords", x_px), ("ycoords", y_px), ("scan_index", scan_index)):
            if array is not None:
                arrays.write_array(self._raw, name, array)
        for name, dataset in (("probeGuess", contract.PROBE), ("objectGuess", contract.OBJECT)):
            found = self._file[dataset.name]
            if not found.attrs.get(contract.SYNTHETIC.name, False):
                self._raw[name] = found

    def _datasets(self) -> list[h5py.Dataset]:
        """Return all datasets that the product has of its own, once each: hard links lead to one dataset."""
        found = [item for item in self._file.values() if isinstance(item, h5py.Dataset)]
        if self._include_raw:
            found += self._raw.values()
        found += [self._file[shown.name] for shown in contract.VIEW_DATASETS if shown.name in self._file]
        return list(dict.fromkeys(found))

    @contextmanager
    def _verified(self, part: Path) -> Iterator[None]:
        """Read the file back when it has been closed, where that is wanted."""
        yield
        if self.options.verify:
            verify_digests(part, self.path, self._digests.taken, self._progress)

    def _write_synthetic_object(self, x_px: Array, y_px: Array) -> None:
        """Write an object of ones in the place of one that nobody gave, and say so."""
        probe = self._file[contract.PROBE.name]
        try:
            shape, self.meta = covering_object(x_px, y_px, probe.shape, self.meta)
        except ValueError as error:
            raise SourceError(
                self._origin,
                key="objectGuess",
                found=f"none, for positions that need {error}",
                expected="an object, or positions in object pixels",
            ) from None
        self.set_object(np.ones(shape, probe.dtype), is_synthetic=True)
        self._warn(f"has no objectGuess; the object is {shape[0]} x {shape[1]} ones, marked synthetic")

    def _warn(self, message: str) -> None:
        warn(f"{self._origin}: {message}")

    def _summarise(self) -> ExportSummary:
        frames = self._frames.dataset
        return ExportSummary(
            product=self.path,
            positions=len(self._file[contract.POSITION_X.name]),
            frames=0 if frames is None else frames.shape[0],
            frame_shape=() if frames is None else frames.shape[1:],
            frame_dtype="" if frames is None else str(self._frames.dtype),
            compression=str(self.options.compression if frames is None else codec_of(frames)),
            chunk_shape=() if frames is None else frames.chunks,
            frame_bytes=0 if frames is None else frames.size * self._frames.dtype.itemsize,
            stored_bytes=0 if frames is None else frames.id.get_storage_size(),
            meta=self.meta,
            file_bytes=0,
            seconds=0.0,
            choice=self._frames.choice,
            recipe=self._frames.recipe,
            position_index_note=self._index_note(),
        )

    def _index_note(self) -> str | None:
        if self.options.position_index != "auto" or not self._scan_index:
            return None
        scan_index = np.concatenate(self._scan_index)
        return f"0 to {len(scan_index) - 1} (scan_index is the same for all)" if same_for_all(scan_index) else None

    def _name_member(self, name: str, member: str) -> None:
        if member != name + NPY_SUFFIX:
            self._raw[name].attrs[contract.SOURCE_MEMBER.name] = member


def _write_attributes(
    target: h5py.File | h5py.Dataset, attributes: Sequence[contract.Attribute], meta: ResolvedMetadata
) -> None:
    for attribute in attributes:
        value = getattr(meta, attribute.field) if attribute.field else attribute.default
        if value is None or attribute is contract.SYNTHETIC:
            continue
        for name in (attribute.name, *attribute.aliases):
            target.attrs[name] = np.float64(value) if attribute.dtype == "float64" else value
