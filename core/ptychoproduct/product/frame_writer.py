"""Writing the frames of a product: all at once from a source, or as they come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Origin, Progress
from ptychoproduct.compression.codecs import codec_of
from ptychoproduct.errors import SourceError, warn
from ptychoproduct.hdf5.chunks import create_chunked
from ptychoproduct.hdf5.sharded_chunks import stored_as, stored_bytes
from ptychoproduct.model import contract
from ptychoproduct.model.array_checks import check_frames
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.model.counts import CountsRecipe, InexactError
from ptychoproduct.model.probe_shape import probe_doubt
from ptychoproduct.product.live import LiveProduct
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.scan.scan import FrameStack, FramesToWrite, WriteElsewhere
from ptychoproduct.streaming.chunk_stream import RowAppender, write_rows
from ptychoproduct.streaming.chunk_target import Convert, RowOutput
from ptychoproduct.streaming.sources import ArrayRows, RowSource
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.kept_frames import KeptFrames, frames_to_judge
from ptychoproduct.validation.written_digests import ContentDigests
from ptychoproduct_native import OutputFile

if TYPE_CHECKING:
    from ptychoproduct.tuning.auto import Choice, Sample


class FrameWriter:
    """Writes ``/raw_data/diffraction``, from a source or from frames that are appended.

    A context manager: leaving it with an error drops what is not written yet.

    Parameters
    ----------
    file : h5py.File
        With the group ``/raw_data``.
    options : ExportOptions
    resources : Resources
    digests : ContentDigests
        Where the digest of the frames is made.
    origin : path
        What messages name.
    output : OutputFile
        What HDF5 writes the file to.
    live : LiveProduct, optional
        What others read meanwhile; it gets the frames that are appended, too.

    Attributes
    ----------
    dataset : h5py.Dataset or None
        None before the first frame.
    choice : Choice or None
        What was tried, where the compression was to be measured.
    recipe : CountsRecipe or None
        How the frames are stored as counts; None where they are stored as they are.
    kept : KeptFrames or None
        Frames for physics to judge; None where that is not wanted.
    """

    def __init__(
        self,
        file: h5py.File,
        options: ExportOptions,
        resources: Resources,
        digests: ContentDigests,
        origin: Origin,
        output: OutputFile,
        live: LiveProduct | None = None,
    ) -> None:
        self._live = live
        self.dataset: h5py.Dataset | None = None
        self.choice: Choice | None = None
        self.recipe: CountsRecipe | None = None
        self.kept = KeptFrames() if options.physics else None
        self._file = file
        self._options = options
        self._resources = resources
        self._digests = digests
        self._origin = origin
        self._output = output
        self._appender: RowAppender | None = None
        self._frame_shape: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._appender is not None:
            self._appender.__exit__(kind, error, trace)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the frames in their source, once there are frames."""
        assert self.dataset is not None
        return self.dataset.dtype if self.recipe is None else np.dtype(self.recipe.amplitude_dtype)

    def check(self, shape: tuple[int, ...], dtype: np.dtype[Any], key: str) -> None:
        """Check that these are frames, and like those before.

        Raises
        ------
        SourceError
            They are not frames, or differ from those before.
        """
        check_frames(shape, dtype, key, self._origin)
        self._frame_shape = shape[1:]
        before = self.dataset
        if before is not None and (shape[1:], dtype.newbyteorder("=")) != (before.shape[1:], before.dtype):
            earlier = f"those before are {before.dtype} {before.shape[1:]}"
            raise SourceError(self._origin, f"these frames are {dtype} {shape[1:]}, but {earlier}", key=key)

    def append(self, frames: Array) -> None:
        """Append one or more frames, [n, H, W]."""
        if self._appender is None:
            source = ArrayRows(frames)
            sample = self._sample(source, lambda: source)
            dataset = self._create(source.shape[1:], source.dtype, None, sample)
            mirror = None if self._live is None else self._live.start(self._file, dataset)
            self._appender = RowAppender(
                RowOutput(dataset, mirror=mirror, file=self._output), dataset.dtype, self._resources
            )
        assert self.dataset is not None
        self._appender.append(self._digests.passing_frames(ArrayRows(frames), self.dataset))

    def share(self, x_px: Array, y_px: Array) -> None:
        """Let readers of the live product see all frames so far, the last ones at these positions."""
        if self._live is not None and self._appender is not None:
            self._live.add_positions(x_px, y_px)
            self._appender.drain()
            self._live.flush()

    def write(
        self,
        frames: FrameStack,
        axis_order: str,
        rows: RowSource,
        beside: Sequence[RowOutput],
        recipe: CountsRecipe | None,
    ) -> None:
        """Write all frames of a stack, whose rows are open; see `ProductWriter.write_frames`."""
        sample = self._sample(rows, partial(frames.rows, canonical_axes(axis_order)))
        dtype = rows.dtype
        if recipe is not None:
            dtype = np.dtype(recipe.count_dtype)
            sample = None if sample is None else replace(sample, frames=recipe.to_counts(sample.frames))
        dataset = self._create(rows.shape[1:], dtype, rows.shape[0], sample)
        dataset.attrs[contract.ORIGINAL_AXIS_ORDER.name] = frames.original_axis_order or axis_order
        dataset.attrs[contract.SOURCE_MEMBER.name] = frames.member
        if frames.transform:
            dataset.attrs[contract.FRAMES_TRANSFORM.name] = frames.transform
        if frames.selection is not None:
            dataset.attrs[contract.SELECTION.name] = frames.selection
        if frames.write_elsewhere is not None:
            self._write_elsewhere(frames.write_elsewhere, rows, canonical_axes(axis_order), recipe)
            return
        if recipe is not None:
            rows = self._passing(rows, dataset, recipe)
            output = self._counts_output(dataset, recipe, self._digests.converting(dataset, recipe))
            with self._counted() as progress:
                write_rows([*beside, output], rows, replace(self._resources, progress=progress))
            return
        parts = frames.chunks if axis_order == "NHW" and not beside and not self._digests.has_frames else ()
        if not (parts and self._copy_chunks(parts, rows, dataset)):
            rows = self._passing(rows, dataset)
            write_rows([*beside, RowOutput(dataset, file=self._output)], rows, self._resources)

    def _passing(self, rows: RowSource, dataset: h5py.Dataset, recipe: CountsRecipe | None = None) -> RowSource:
        """Return rows whose checksums are made on their way; physics keeps some of them."""
        rows = self._digests.passing_frames(rows, dataset, recipe)
        if self.kept is None:
            return rows
        judged = frames_to_judge(rows.shape[0], rows.shape[1:], dataset.chunks)
        return self.kept.passing(rows, judged, recipe)

    def _copy_chunks(self, parts: Sequence[h5py.Dataset], rows: RowSource, dataset: h5py.Dataset) -> bool:
        """Copy the chunks of datasets as they are, where they are the same in the product; else return false."""
        from ptychoproduct.streaming.recoding import copy_chunks, has_same_chunks_joined  # 3 ms, for products

        if not has_same_chunks_joined(parts, dataset):
            return False
        frame_bytes = math.prod(rows.shape[1:]) * rows.dtype.itemsize
        self._digests.frames_copied(parts, self._resources.threads)
        left, first = set(), 0
        for part in parts:
            left |= copy_chunks(part, dataset, lambda copied: self._resources.progress(copied * frame_bytes), first)
            first += len(part)
        write_rows([RowOutput(dataset, file=self._output)], rows, self._resources, left)
        return True

    def _write_elsewhere(
        self, write: WriteElsewhere, rows: RowSource, axes: Sequence[int], recipe: CountsRecipe | None
    ) -> None:
        assert self.dataset is not None
        if recipe is not None:
            self._counts_output(self.dataset, recipe, recipe.convert)
        with self._counted() as progress:
            to_write = FramesToWrite(rows, axes, self.dataset, self._codec, self._output, recipe, progress)
            self.dataset, checksums = write(to_write)
        self._digests.frames_written(checksums)

    def facts(self) -> dict[str, Any]:
        """Return the fields of an `ExportSummary` that describe the frames."""
        frames = self.dataset
        codec, chunk_shape = self._options.compression, ()
        if frames is not None:
            with stored_as(frames) as stored:
                codec, chunk_shape = codec_of(stored), stored.chunks
        return {
            "frames": 0 if frames is None else frames.shape[0],
            "frame_shape": () if frames is None else frames.shape[1:],
            "frame_dtype": "" if frames is None else str(self.dtype),
            "compression": str(codec),
            "chunk_shape": chunk_shape,
            "frame_bytes": 0 if frames is None else frames.size * self.dtype.itemsize,
            "stored_bytes": 0 if frames is None else stored_bytes(frames),
            "choice": self.choice,
            "recipe": self.recipe,
        }

    def finish(self) -> None:
        """Write what is left of the frames that were appended, and warn of a probe of another size."""
        if self._appender is not None:
            self._appender.finish()
        if self._frame_shape:
            given = self._file.get(contract.OBJECT.name)
            probe_shape, object_shape = self._file[contract.PROBE.name].shape, () if given is None else given.shape
            doubt = probe_doubt(probe_shape, self._frame_shape, object_shape)
            if doubt is not None:
                warn(f"{self._origin}: {doubt}")

    def _sample(self, source: RowSource, reopen: Callable[[], RowSource]) -> Sample | None:
        """Read the frames that a codec is chosen by; None where nothing is to be measured, or that cannot be done."""
        measured = self._options.measured
        if measured is None:
            return None
        from ptychoproduct.tuning.auto import sample_for  # 3 ms, where a codec is to be measured

        return sample_for(measured, source, reopen)

    def _create(
        self, frame_shape: tuple[int, ...], dtype: np.dtype[Any], frames: int | None, sample: Sample | None
    ) -> h5py.Dataset:
        chunk_shape = self._options.frames_chunk(frame_shape)
        storage = self._options.storage(dtype, frame_shape, frames)
        measured = self._options.measured
        if measured is not None:
            from ptychoproduct.tuning.auto import choose_storage, unmeasured

            self.choice = (
                unmeasured(measured, storage)
                if sample is None
                else choose_storage(measured, sample, frames, self._resources.threads, chunk_shape)
            )
            storage = self.choice.storage
        self._codec = storage.codec
        self.dataset = create_chunked(
            self._file,
            contract.DIFFRACTION.name,
            frame_shape,
            dtype,
            storage.codec,
            frames,
            chunk_shape or storage.chunk_shape,
        )
        self.dataset.attrs[contract.AXIS_CANONICAL.name] = "NHW"
        self.dataset.attrs[contract.ORIGINAL_AXIS_ORDER.name] = "NHW"
        return self.dataset

    def _counts_output(self, dataset: h5py.Dataset, recipe: CountsRecipe, convert: Convert) -> RowOutput:
        for attribute in contract.RECIPE:
            dataset.attrs[attribute.name] = getattr(recipe, attribute.name)
        self.recipe = recipe
        return RowOutput(dataset, convert, file=self._output)

    @contextmanager
    def _counted(self) -> Iterator[Progress]:
        """Give a function to report progress to; where frames are not the counts that they seemed, forget them."""
        written = 0

        def count(nbytes: int) -> None:
            nonlocal written
            written += nbytes
            self._resources.progress(nbytes)

        try:
            yield count
        except InexactError:
            self._resources.progress(-written)
            assert self.dataset is not None
            self._digests.forget_frames(self.dataset)
            del self._file[contract.DIFFRACTION.name]
            self.dataset = self.recipe = None
            raise
