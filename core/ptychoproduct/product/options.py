"""The options of an export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptychoproduct.compression.codecs import Codec
from ptychoproduct.compression.profiles import DEFAULT, Profile, Storage, is_measured, parse_compression, storage_for
from ptychoproduct.errors import OptionError
from ptychoproduct.model.contract import AXIS_ORDERS
from ptychoproduct.model.object_center import OBJECT_CENTERS
from ptychoproduct.model.positions import POSITION_INDEX_CHOICES
from ptychoproduct.model.transforms import parse_array_transform, parse_positions_transform
from ptychoproduct.system.resources import DEFAULT_MEMORY_BYTES


@dataclass(frozen=True)
class ExportOptions:
    """Choices that change how a product is written, not what it says.

    Parameters
    ----------
    compression : str or Codec
        Of the frames and of other large arrays: a codec as in `parse_codec`, or a key of `PROFILES`.
    threads : int or None
        Chunks encoded at once; None for as many as there are cores.
    axis_order : {"auto", "NHW", "HNW", "HWN"}
        Of the source's frames; "auto" takes the axis that has the length of the positions as N.
    position_index : {"auto", "scan-index", "sequence"}
        Where ``probe_position_indexes`` come from, see `position_indexes`.
    object_center : {"auto", "corner", "zero"}
        Where an object lies whose centre `ExportMeta` does not have, see `with_object_center`. Without an object in the
        scan, one of ones lies under all positions.
    chunk_frames : int or None
        Whole frames of a chunk; None for about 1 MiB.
    chunk_shape : tuple of int, optional
        Frames, pixel rows and columns of a chunk, in place of `chunk_frames`: chunks may be tiles of frames.
    memory_bytes : int
        What may be held at once to reorder the axes of frames.
    nexus : bool
        Whether NeXus viewers find the frames, the object's phase and the scan, see `add_plots`.
    store_counts : bool
        Whether frames of amplitudes that are square roots of counts are stored as these counts, exactly; frames that
        are not are an error then. See `CountsRecipe`.
    overwrite : bool
        Whether an existing product may be replaced.
    force : bool
        Whether that may be a read-only file.
    digests : bool or None
        Whether every dataset gets a SHA-256 of its content, each frame a checksum, and the file a SHA-256 of its
        metadata; None for all of these but the SHA-256 of the frames, which archives get as well.
    verify : bool
        Whether the product is read back from the disk, and compared with what was to be written, before it appears.
    physics : bool
        Whether it is judged if probe and object predict the frames, see `judge_physics`.
    positions_transform, frames_transform, probe_transform : str
        What is done to a source of another convention, see `parse_positions_transform` and `parse_array_transform`.
    convention : {"given", "auto"}
        "auto": frames are looked at before, and where physics finds another convention, the scan is converted with the
        transforms that it needs. For scans in files and in memory.
    record_time : bool
        Whether the product says when it was made. By default it does not, and the same conversion makes the same bytes.

    Raises
    ------
    OptionError
        A value is not understood.
    """

    compression: str | Codec = DEFAULT
    threads: int | None = None
    axis_order: str = "auto"
    position_index: str = "auto"
    object_center: str = "zero"
    chunk_frames: int | None = None
    chunk_shape: tuple[int, int, int] | None = None
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    nexus: bool = True
    store_counts: bool = False
    overwrite: bool = True
    force: bool = False
    digests: bool | None = None
    verify: bool = False
    physics: bool = True
    positions_transform: str = ""
    frames_transform: str = ""
    probe_transform: str = ""
    convention: str = "given"
    record_time: bool = False

    def __post_init__(self) -> None:
        parse_positions_transform(self.positions_transform)
        for option in ("frames_transform", "probe_transform"):
            parse_array_transform(getattr(self, option), option)
        if isinstance(self.compression, str):
            parse_compression(self.compression)
        for field, least in (("threads", 1), ("chunk_frames", 1), ("memory_bytes", 1)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise OptionError(field, found=str(value), expected=f"at least {least}")
        if self.chunk_shape is not None:
            if len(self.chunk_shape) != 3 or min(self.chunk_shape) < 1:
                raise OptionError("chunk_shape", found=str(self.chunk_shape), expected="3 positive numbers")
            if self.chunk_frames is not None:
                raise OptionError("chunk_shape", "cannot be used with chunk_frames; give only one of the two")
        for field, choices in (
            ("axis_order", ("auto", *AXIS_ORDERS)),
            ("position_index", POSITION_INDEX_CHOICES),
            ("object_center", OBJECT_CENTERS),
            ("convention", ("given", "auto")),
        ):
            if getattr(self, field) not in choices:
                raise OptionError(field, found=repr(getattr(self, field)), expected=f"one of {', '.join(choices)}")

    @property
    def replacing(self) -> dict[str, Any]:
        """What `atomic_output` is to know of existing files."""
        return {"overwrite": self.overwrite, "force": self.force}

    @property
    def has_digests(self) -> bool:
        """Whether everything but the frames gets a digest, and each frame a checksum."""
        return self.digests is not False

    @property
    def digests_frames(self) -> bool:
        """Whether the frames get a digest as well."""
        if self.digests is not None:
            return self.digests
        profile = parse_compression(self.compression) if isinstance(self.compression, str) else None
        return isinstance(profile, Profile) and profile.digests

    @property
    def measured(self) -> str | None:
        """The profile that is chosen by measuring the frames; None where nothing is to be measured."""
        return self.compression if isinstance(self.compression, str) and is_measured(self.compression) else None

    def storage(self, dtype: np.dtype[Any], row_shape: tuple[int, ...], rows: int | None) -> Storage:
        """Return how frames, or other rows, are stored where nothing is measured.

        Parameters
        ----------
        dtype : numpy.dtype
        row_shape : tuple of int
        rows : int or None
            How many there are; None where that is not known.
        """
        return storage_for(self.compression, dtype, row_shape, rows)

    def frames_chunk(self, frame_shape: Sequence[int]) -> tuple[int, int, int] | None:
        """Return the shape of the chunks of frames; None where it is not asked for."""
        if self.chunk_frames is not None:
            rows, columns = frame_shape
            return self.chunk_frames, rows, columns
        return self.chunk_shape
