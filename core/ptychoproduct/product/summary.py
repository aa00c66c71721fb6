"""What a conversion has written, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.model.metadata import ResolvedMetadata

if TYPE_CHECKING:
    from ptychoproduct.tuning.auto import Choice
    from ptychoproduct.validation.physics import PhysicsReport


@dataclass(frozen=True)
class ExportSummary:
    """What was written to the product.

    Parameters
    ----------
    product : Path
    positions : int
        N.
    frames : int
        Number of diffraction frames; 0 where none were included.
    frame_shape : tuple of int
        Pixel rows and columns of a frame.
    frame_dtype : str
        Of the frames in their source.
    compression : str
        The frames' codec.
    chunk_shape : tuple of int
    frame_bytes, stored_bytes : int
        Size of the frames in their source, and in the product.
    meta : ResolvedMetadata
        As written, and where each value comes from.
    file_bytes : int
        Size of the product.
    seconds : float
        From opening the product to its appearance.
    choice : Choice, optional
        What was tried and why this codec was chosen, where the compression was to be measured.
    recipe : CountsRecipe or None
        How the frames are stored as counts; None where they are stored as they are.
    diffraction : DiffractionSummary or None
        The patterns file, where one was asked for.
    position_index_note : str or None
        How positions are numbered, where that is not what `scan_index` says and no warning is needed.
    metadata_files : mapping
        For each metadata value that was read from a file, by its name, that file.
    notes : tuple of str
        How the scan was read, where that is not as it is stored.
    physics : PhysicsReport or None
        Whether probe and object predict the frames; None where that was not judged.
    """

    product: Path
    positions: int
    frames: int
    frame_shape: tuple[int, ...]
    frame_dtype: str
    compression: str
    chunk_shape: tuple[int, ...]
    frame_bytes: int
    stored_bytes: int
    meta: ResolvedMetadata
    file_bytes: int
    seconds: float
    choice: Choice | None = None
    recipe: CountsRecipe | None = None
    diffraction: DiffractionSummary | None = None
    position_index_note: str | None = None
    metadata_files: Mapping[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    physics: PhysicsReport | None = None

    @property
    def ratio(self) -> float:
        """Compression ratio of the frames; 0 without frames."""
        return self.frame_bytes / self.stored_bytes if self.stored_bytes else 0.0

    @property
    def throughput_mb_s(self) -> float:
        """Size of the frames converted per second, in 10⁶ bytes."""
        return self.frame_bytes / 1e6 / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class DiffractionSummary:
    """What was written to the patterns file.

    Parameters
    ----------
    path : Path
    dtype : str
        Of the patterns.
    frames_are : {"amplitude", "counts"}
        What they were made from.
    exact : bool
        Whether they are whole counts that give back every frame.
    scale : float or None
        The factor by which the frames were normalised, which is undone; None where they were not.
    bad_pixels : int
        How many there are.
    gaps : dict of str to int
        How many of them were found by each number that marks bad pixels.
    detector_pixel_width_m, detector_pixel_height_m : float
        0 where they are not known.
    compression : str
    stored_bytes : int
        Size of the patterns in the file.
    file_bytes : int
    """

    path: Path
    dtype: str
    frames_are: str
    exact: bool
    scale: float | None
    bad_pixels: int
    gaps: dict[str, int]
    detector_pixel_width_m: float
    detector_pixel_height_m: float
    compression: str
    stored_bytes: int
    file_bytes: int
