"""Frames of image files, one file or many, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from ptychoproduct.errors import SourceError
from ptychoproduct.streaming.image_files import ImageFile, opened_image
from ptychoproduct.streaming.sources import Access


@dataclass(frozen=True)
class ImageSeries:
    """Frames in image files, one file after the other.

    Parameters
    ----------
    paths : tuple of Path
    ends : tuple of int
        For each file, the number of frames up to its end.
    shape : tuple of int
        Of each frame, [H, W].
    dtype : numpy.dtype
    header : str
        Of the first file.
    """

    paths: tuple[Path, ...]
    ends: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    header: str = ""

    def check(self, file: int, image: ImageFile) -> None:
        """See that the frames of a file are as those of the others; SourceError where they are not."""
        if (image.shape, image.dtype) != (self.shape, self.dtype):
            raise SourceError(
                self.paths[file],
                "its frames are not as those of the other files",
                found=f"{image.dtype} {image.shape}",
                expected=f"{self.dtype} {self.shape}, as in {self.paths[0].name}",
            )


def image_series(paths: Sequence[Path]) -> ImageSeries:
    """Look at files, at least one; their frames are not read yet.

    Raises
    ------
    SourceError
        A file is damaged, or its frames have another size or type than those of the first.
    """
    counts = []
    series = None
    for file, path in enumerate(paths):
        with opened_image(path) as image:
            series = series or ImageSeries(tuple(paths), (), image.shape, image.dtype, image.header)
            series.check(file, image)
            counts.append(image.count)
    assert series is not None
    return replace(series, ends=tuple(accumulate(counts)))


class ImageRows:
    """Frames of image files, read when they are asked for; see `RowSource`.

    Parameters
    ----------
    series : ImageSeries
    """

    def __init__(self, series: ImageSeries) -> None:
        self.shape: tuple[int, ...] = (series.ends[-1], *series.shape)
        self.dtype = series.dtype
        # A file of many frames stays open from one call to the next.
        self.access = Access.ANY_THREAD if series.ends[-1] == len(series.paths) else Access.ONE_THREAD
        self._series = series
        self._open: tuple[int, ImageFile] | None = None
        self._stack = ExitStack()

    def read_into(self, first: int, view: memoryview) -> None:
        """See `RowSource`."""
        series = self._series
        frames = np.frombuffer(view, self.dtype).reshape(-1, *self.shape[1:])
        for number, out in enumerate(frames, first):
            if self.access is Access.ANY_THREAD:
                with opened_image(series.paths[number]) as image:
                    series.check(number, image)
                    out[...] = image.frame(0)
                continue
            file = int(np.searchsorted(series.ends, number, "right"))
            if self._open is None or self._open[0] != file:
                self.finish()
                self._open = (file, self._stack.enter_context(opened_image(series.paths[file])))
                series.check(file, self._open[1])
            image = self._open[1]
            out[...] = image.frame(number - series.ends[file] + image.count)

    def finish(self) -> None:
        """See `RowSource`; a file of many frames is open until then."""
        self._open = None
        self._stack.close()
