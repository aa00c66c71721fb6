"""The patterns file, which ptychodus reconstructs from: patterns, and what pairs them with positions.

ptychodus does not look for frames in a product; it wants them in a file of their own, as photon counts. Its names are
those of ``save_diffraction_data`` in ptychodus 1.7.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike, truncate
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from isal import isal_zlib

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.compression.codecs import Codec, parse_codec
from ptychoproduct.errors import OptionError, SourceError, warn
from ptychoproduct.hdf5.chunks import create_chunked, default_chunk_rows
from ptychoproduct.hdf5.output import hdf5_errors, new_hdf5_file, require_hdf5_suffix
from ptychoproduct.model import contract
from ptychoproduct.model.metadata import ResolvedMetadata
from ptychoproduct.model.patterns import PATTERN_CHOICES
from ptychoproduct.product.photon_counts import PhotonCounts
from ptychoproduct.product.summary import DiffractionSummary
from ptychoproduct.streaming.chunk_target import RowOutput
from ptychoproduct.system.atomic import OutputGroup, atomic_output
from ptychoproduct.validation.mixed_pairs import conversion_id

# ptychodus's functions load no filter plugins, and read only what HDF5 itself decodes.
DEFAULT_COMPRESSION = "shuffle+gzip:1+fletcher32"


@dataclass(frozen=True)
class DiffractionFile:
    """The patterns file to be written beside a product.

    Parameters
    ----------
    path : path
    patterns_are : {"auto", "amplitude", "counts"}
        What frames hold, see `choose_patterns`.
    bad_pixels : str, path or array [H, W], optional
        Not zero where a pixel of the detector is not to be used; see `read_bad_pixels`. By default the mask of the
        scan, if it has one.
    compression : str or Codec
        Of the patterns, as in `parse_codec`. ptychodus's scripts read ``gzip``; the application reads all.
    bad_values : sequence of float, optional
        Numbers that mark a pixel as bad, where any frame has one. By default those by which detectors mark gaps, where
        every frame has one. Bad pixels that are found in this way are zero in the patterns.

    Raises
    ------
    OptionError
        A value is not understood.
    """

    path: str | PathLike[str]
    patterns_are: str = "auto"
    bad_pixels: str | PathLike[str] | Array | None = None
    compression: str | Codec = DEFAULT_COMPRESSION
    bad_values: Sequence[float] | None = None

    def __post_init__(self) -> None:
        _ = self.codec
        if self.patterns_are not in PATTERN_CHOICES:
            expected = f"one of {', '.join(PATTERN_CHOICES)}"
            raise OptionError("patterns_are", found=repr(self.patterns_are), expected=expected)

    @property
    def codec(self) -> Codec:
        """The compression, parsed."""
        return parse_codec(self.compression) if isinstance(self.compression, str) else self.compression


class DiffractionWriter:
    """A patterns file that is being written; use it as a context manager.

    Pixels that hold no counts are bad, and zero in the patterns; see `Gaps`.

    The caller reads the frames and fills the patterns: `begin` gives the outputs for one pass over the frames. If a
    pass finds values that do not fit the sample, `is_complete` is false, and another pass is needed.

    Parameters
    ----------
    file : DiffractionFile
    shape : tuple of int
        Of the frames, [N, H, W].
    sample : array
        Elements of frames, by which the type of the patterns is chosen.
    meta : ResolvedMetadata
        Detector pixel size.
    bad_pixels : array, [H, W], optional
    chunk_shape : tuple of int, optional
        Of the product's frames: a chunk that is the same for both is read once.
    overwrite, force : bool
    sources : sequence of Path
        Files that must not be replaced.
    group : OutputGroup, optional
        Other outputs, which appear at the same time.
    origin, key
        What messages call the frames.

    Raises
    ------
    OptionError
        It is not clear whether the frames are amplitudes or counts.
    SourceError
        The mask of bad pixels does not fit the frames.
    OutputError
        The file cannot be written there.
    """

    def __init__(
        self,
        file: DiffractionFile,
        shape: tuple[int, ...],
        sample: Array,
        meta: ResolvedMetadata,
        *,
        bad_pixels: Array | None = None,
        chunk_shape: tuple[int, ...] | None = None,
        overwrite: bool = True,
        force: bool = False,
        sources: Sequence[Path] = (),
        group: OutputGroup | None = None,
        origin: Origin,
        key: str,
    ) -> None:
        self.path = Path(file.path)
        self.summary: DiffractionSummary | None = None
        self._file_options = file
        self._shape = shape
        self._counts = PhotonCounts(shape, sample, file.patterns_are, file.bad_values, origin=origin, key=key)
        self._meta = meta
        self._bad_pixels = _mask(bad_pixels, shape[1:], origin)
        self._chunk_shape = chunk_shape or (default_chunk_rows(shape[1:], sample.dtype), *shape[1:])
        self._replacing: dict[str, Any] = {"overwrite": overwrite, "force": force}
        self._sources = tuple(sources)
        self._group = group
        self._checksums: dict[tuple[int, ...], int] = {}
        require_hdf5_suffix(self.path)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._part = stack.enter_context(
                atomic_output(self.path, **self._replacing, sources=self._sources, group=self._group)
            )
            self._file_stack = stack.enter_context(ExitStack())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def is_complete(self) -> bool:
        """Whether the last pass has made all patterns."""
        return self._counts.is_complete

    def begin(self) -> list[RowOutput]:
        """Begin the file again, and return what one pass over the frames has to fill."""
        dtype = self._counts.begin()
        self._checksums = {}
        self._file_stack.close()
        truncate(self._part, 0)
        self._file, self._output = self._file_stack.enter_context(new_hdf5_file(self._part, self.path))
        with hdf5_errors(self.path, self._output):
            self._dataset = create_chunked(
                self._file,
                "patterns",
                self._shape[1:],
                dtype,
                self._file_options.codec,
                self._shape[0],
                self._chunk_shape,
            )
        return [RowOutput(self._dataset, self._fill, file=self._output)]

    def finish(self, indexes: Array, probe_photon_counts: Array | None = None, *product: Any) -> str:
        """Write what belongs to the patterns, and return what the conversion is known by.

        Parameters
        ----------
        indexes : array, [N], int
            The numbers that pair patterns with positions.
        probe_photon_counts : array, [N], optional
            Photons of each exposure.
        *product : array or value
            What else the conversion makes a product of.
        """
        self._counts.warn_of_values(self._bad_pixels)
        bad_pixels = self._bad_pixels | self._counts.bad_pixels
        patterns = self._counts.patterns
        width_m, height_m = self._meta.detector_pixel_width_m, self._meta.detector_pixel_height_m
        if not width_m or not height_m:
            warn(f"{self.path}: detector pixel size is not known and is stored as 0; give --detector-pixel-size-m")
        known_by = conversion_id(sorted(self._checksums.items()), self._shape, indexes, bad_pixels, *product)
        with hdf5_errors(self.path, self._output):
            self._file.attrs[contract.CONVERSION_ID.name] = known_by
            self._dataset.attrs["detector_pixel_width_m"] = np.float64(width_m)
            self._dataset.attrs["detector_pixel_height_m"] = np.float64(height_m)
            self._file["indexes"] = indexes
            self._file["bad_pixels"] = bad_pixels
            if probe_photon_counts is not None:
                self._file["probe_photon_counts"] = probe_photon_counts
            stored_bytes = self._dataset.id.get_storage_size()
        self._file_stack.close()
        self.summary = DiffractionSummary(
            path=self.path,
            dtype=str(patterns.dtype),
            frames_are=patterns.quantity,
            exact=patterns.dtype.kind != "f",
            scale=patterns.scale,
            bad_pixels=int(np.count_nonzero(bad_pixels)),
            gaps=self._counts.told(self._bad_pixels),
            detector_pixel_width_m=float(width_m),
            detector_pixel_height_m=float(height_m),
            compression=str(self._file_options.codec),
            stored_bytes=stored_bytes,
            file_bytes=self._part.stat().st_size,
        )
        return known_by

    def _fill(self, offset: tuple[int, ...], values: Array, patterns: Array) -> None:
        """Make the patterns of a chunk; a value that does not fit stops this file, but not the product."""
        with hdf5_errors(self.path, self._output):  # stops early if the disk is full
            if self._counts.fill(offset, values, patterns):
                self._checksums[offset] = isal_zlib.crc32(patterns.reshape(-1).view(np.uint8))


def standard_layout(folder: str | PathLike[str]) -> tuple[Path, Path]:
    """Return the paths of product and patterns file in a workflow folder of ptychodus."""
    return Path(folder) / contract.PRODUCT_NAME, Path(folder) / contract.DIFFRACTION_NAME


def _mask(values: Array | None, frame_shape: tuple[int, ...], origin: Origin) -> Array:
    if values is None:
        return np.zeros(frame_shape, np.bool_)
    mask = np.asarray(values)
    if mask.shape != frame_shape or mask.dtype.kind not in "biuf":
        problem = f"must hold numbers or truth values {frame_shape}, like a frame, but is {mask.dtype} {mask.shape}"
        raise SourceError(origin, problem, key="bad_pixels")
    return mask.astype(np.bool_)
