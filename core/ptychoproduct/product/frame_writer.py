"""Writing the frames of a product: all at once from a source, or as they come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Origin, Progress
from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.chunks import create_chunked
from ptychoproduct.model import contract
from ptychoproduct.model.array_checks import check_frames
from ptychoproduct.model.counts import CountsRecipe, InexactError
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.streaming.chunk_stream import RowAppender, RowOutput, write_rows
from ptychoproduct.streaming.recoding import copy_chunks, has_same_chunks
from ptychoproduct.streaming.sources import ArrayRows, RowSource
from ptychoproduct.system.resources import Resources
from ptychoproduct.tuning.auto import Choice, Sample, choose_storage, unmeasured
from ptychoproduct.validation.digests import ContentDigests


class FrameWriter:
    """Writes ``/raw_data/diffraction``, whichever way its frames come.

    A context manager: leaving it with an error drops what is not written yet.

    Parameters
    ----------
    file : h5py.File
        With the group ``/raw_data``.
    options : ExportOptions
    threads : int
        Chunks encoded at once.
    progress : callable
        See `Progress`.
    digests : ContentDigests
        Where the digest of the frames is made.
    origin : path
        What messages name.

    Attributes
    ----------
    dataset : h5py.Dataset or None
        None before the first frame.
    choice : Choice or None
        What was tried, where the compression was to be measured.
    recipe : CountsRecipe or None
        How the frames are stored as counts; None where they are stored as they are.
    """

    def __init__(
        self,
        file: h5py.File,
        options: ExportOptions,
        threads: int,
        progress: Progress,
        digests: ContentDigests,
        origin: Origin,
    ) -> None:
        self.dataset: h5py.Dataset | None = None
        self.choice: Choice | None = None
        self.recipe: CountsRecipe | None = None
        self._file = file
        self._options = options
        self._threads = threads
        self._progress = progress
        self._digests = digests
        self._origin = origin
        self._appender: RowAppender | None = None

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
        """Check what claims to be frames.

        Raises
        ------
        SourceError
            They are none, or differ from those before.
        """
        check_frames(shape, dtype, key, self._origin)
        before = self.dataset
        if before is not None and (shape[1:], dtype.newbyteorder("=")) != (before.shape[1:], before.dtype):
            raise SourceError(
                self._origin,
                key=key,
                found=f"frames of {dtype} {shape[1:]}",
                expected=f"{before.dtype} {before.shape[1:]}, like those before",
            )

    def append(self, frames: Array) -> None:
        """Append frames, [n, H, W], of which there is at least one."""
        if self._appender is None:
            first = frames.astype(frames.dtype.newbyteorder("="), copy=False)
            dataset = self._create(frames.shape[1:], first.dtype, None, Sample(first))
            self._appender = RowAppender(
                RowOutput(dataset), dataset.dtype, Resources(self._threads, progress=self._progress)
            )
        assert self.dataset is not None
        self._appender.append(self._digests.passing(ArrayRows(frames), self.dataset))

    def write(
        self,
        source: RowSource,
        original_axis_order: str,
        member: str,
        chunks: h5py.Dataset | None,
        beside: Sequence[RowOutput],
        sample: Sample | None,
        recipe: CountsRecipe | None,
    ) -> None:
        """Write all frames from a source; see `ProductWriter.write_frames`."""
        dtype = source.dtype
        if recipe is not None:
            dtype = np.dtype(recipe.count_dtype)
            sample = None if sample is None else replace(sample, frames=recipe.to_counts(sample.frames))
        dataset = self._create(source.shape[1:], dtype, source.shape[0], sample)
        dataset.attrs[contract.ORIGINAL_AXIS_ORDER.name] = original_axis_order
        dataset.attrs[contract.SOURCE_MEMBER.name] = member
        rows = self._digests.passing(source, dataset, recipe)
        if recipe is not None:
            self._write_counts(dataset, rows, recipe, beside)
            return
        left = None
        # What nobody decodes cannot be digested.
        may_copy = not beside and not self._digests.wanted
        if chunks is not None and may_copy and has_same_chunks(chunks, dataset):
            frame_bytes = math.prod(source.shape[1:]) * source.dtype.itemsize
            left = copy_chunks(chunks, dataset, lambda frames: self._progress(frames * frame_bytes))
        write_rows([*beside, RowOutput(dataset)], rows, Resources(self._threads, progress=self._progress), left)

    def finish(self) -> None:
        """Write what is left of the frames that were appended."""
        if self._appender is not None:
            self._appender.finish()

    def _create(
        self, frame_shape: tuple[int, ...], dtype: np.dtype[Any], frames: int | None, sample: Sample | None
    ) -> h5py.Dataset:
        chunk_shape = self._options.frames_chunk(frame_shape)
        storage = self._options.storage(dtype, frame_shape, frames)
        measured = self._options.measured
        if measured is not None:
            self.choice = (
                unmeasured(measured, storage)
                if sample is None
                else choose_storage(measured, sample, frames, self._threads, chunk_shape)
            )
            storage = self.choice.storage
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

    def _write_counts(
        self, dataset: h5py.Dataset, source: RowSource, recipe: CountsRecipe, beside: Sequence[RowOutput]
    ) -> None:
        for attribute in contract.RECIPE:
            dataset.attrs[attribute.name] = getattr(recipe, attribute.name)
        self.recipe = recipe
        written = 0

        def count(nbytes: int) -> None:
            nonlocal written
            written += nbytes
            self._progress(nbytes)

        try:
            resources = Resources(self._threads, progress=count)
            write_rows([*beside, RowOutput(dataset, recipe.convert)], source, resources)
        except InexactError:
            self._progress(-written)
            self._digests.forget(dataset)
            del self._file[contract.DIFFRACTION.name]
            self.dataset = self.recipe = None
            raise
