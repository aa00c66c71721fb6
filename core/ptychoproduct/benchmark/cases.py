"""Scans to measure with, of any size within seconds."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.benchmark.simulation import ScanParameters, simulate_scan
from ptychoproduct.benchmark.tools import FRAMES_KEY
from ptychoproduct.errors import OptionError
from ptychoproduct.npz.writer import NpzWriter
from ptychoproduct.system.workers import Workers

_SIMULATED_BYTES = 32 * 1024**2
_FEWEST_SIMULATED = 8
_MOST_SIMULATED = 512


@dataclass(frozen=True)
class Case:
    """A scan to measure with.

    Parameters
    ----------
    frames : int
    size_px : int
        Rows and columns of a frame.
    quantity : {"amplitude", "counts"}
        As in `ScanParameters`.
    deflated : bool
        Whether the members of the NPZ file are deflated.
    """

    frames: int
    size_px: int = 256
    quantity: Literal["amplitude", "counts"] = "amplitude"
    deflated: bool = False

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise OptionError("frames", f"is {self.frames}; it must be at least 1")
        self._simulated()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the frames."""
        return np.dtype(np.float32 if self.quantity == "amplitude" else np.uint16)

    @property
    def frame_bytes(self) -> int:
        """Size of a frame."""
        return self.size_px**2 * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Size of all frames."""
        return self.frames * self.frame_bytes

    def write(self, npz_path: Path) -> None:
        """Write the scan.

        The first frames, of 32 MiB or so, are simulated; then they come again and again, each time turned around the
        edges by another pixel. No two are the same, all compress alike, and no codec sees far enough to notice.

        Parameters
        ----------
        npz_path : Path
            ``*.npz``, on a disk with room for a scan of 32 MiB besides.
        """
        parameters = self._simulated()
        with tempfile.TemporaryDirectory(dir=npz_path.parent) as folder:
            simulated = Path(folder, "simulated.npz")
            simulate_scan(simulated, parameters)
            with np.load(simulated) as scan:
                frames, probe = scan[FRAMES_KEY], scan["probeGuess"]
                coordinates = {key: np.resize(scan[key], self.frames) for key in ("xcoords", "ycoords")}
        with NpzWriter(npz_path, compress=self.deflated) as archive:
            for key, values in coordinates.items():
                archive.write_array(f"{key}.npy", values)
            archive.write_array("probeGuess.npy", probe)
            shape = (self.frames, self.size_px, self.size_px)
            archive.write_blocks(f"{FRAMES_KEY}.npy", shape, self.dtype, self._turned(frames), Workers(1))

    def _simulated(self) -> ScanParameters:
        """Return what is simulated: the first frames of the scan."""
        fitting = _SIMULATED_BYTES // max(1, self.frame_bytes)
        number = min(self.frames, max(_FEWEST_SIMULATED, min(fitting, _MOST_SIMULATED)))
        return ScanParameters(number, self.size_px, quantity=self.quantity)

    def _turned(self, frames: Array) -> Iterator[Array]:
        for turn in range(math.ceil(self.frames / len(frames))):
            shift = divmod(turn, self.size_px)
            yield np.roll(frames, shift, axis=(1, 2))[: self.frames - turn * len(frames)]
