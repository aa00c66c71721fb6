"""Simulated far-field scans, for the demo, the tests and the benchmarks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np

from ptychoproduct.aliases import Array, Progress
from ptychoproduct.errors import OptionError, OutputError
from ptychoproduct.model.geometry import far_field_pixel_m, resolve_metadata
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.npz.writer import NpzWriter
from ptychoproduct.system.atomic import atomic_output, writing_errors
from ptychoproduct.system.process import available_threads
from ptychoproduct.system.workers import Workers

_PHOTON_ENERGY_EV = 8000.0
_DETECTOR_PIXEL_M = 75e-6
_DETECTOR_DISTANCE_M = 2.0
_EXPOSURE_TIME_S = 0.1
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
_MOST_OBJECT_PIXELS = 4096


@dataclass(frozen=True)
class ScanParameters:
    """What to simulate.

    Parameters
    ----------
    frames : int
        Number of scan positions.
    size_px : int
        Pixel rows and columns of a frame, from 16 to 16384.
    photons : float
        Mean number of photons in a frame.
    quantity : {"amplitude", "counts"}
        Square roots of counts as float32, or counts as uint16, which saturate like a detector.
    seed : int
        The same seed gives the same file.

    Raises
    ------
    OptionError
        A value is out of range.
    """

    frames: int = 2000
    size_px: int = 256
    photons: float = 1e6
    quantity: Literal["amplitude", "counts"] = "amplitude"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("frames", self.frames, 1, 10**9),
            ("size", self.size_px, 16, 2**14),
            ("photons", self.photons, 0, 1e15),
            ("seed", self.seed, 0, 2**63),
        ):
            if not least <= value <= most:
                raise OptionError(name, f"is {value}; it must be from {least} to {most:g}")
        if self.quantity not in ("amplitude", "counts"):
            raise OptionError("quantity", f"is {self.quantity!r}; it must be 'amplitude' or 'counts'")


def simulate_scan(
    npz_path: str | PathLike[str],
    parameters: ScanParameters | None = None,
    *,
    compress: bool = False,
    overwrite: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> ExportMeta:
    """Write a simulated scan in PtychoPINN's NPZ format.

    A defocused disc of light moves over a rough, weakly absorbing object along a Fermat spiral. Each frame is the
    squared modulus of the exit wave's Fourier transform, with Poisson noise.

    Parameters
    ----------
    npz_path : path
        ``*.npz``.
    parameters : ScanParameters, optional
    compress : bool
        Whether the members are deflated.
    overwrite : bool
        Whether an existing file may be replaced.
    force : bool
        Whether that may be a read-only file.
    progress : callable, optional
        Called with a number of bytes whenever frames of that size have been written.

    Returns
    -------
    ExportMeta
        The geometry that was simulated, to convert the scan with.
    """
    npz_path = Path(npz_path)
    if npz_path.suffix.lower() != ".npz":
        raise OutputError(npz_path, "the name of a simulated scan must end in .npz")
    parameters = parameters or ScanParameters()
    rng = np.random.default_rng(parameters.seed)
    probe = _probe(parameters.size_px)
    probe *= math.sqrt(parameters.photons / np.sum(np.abs(probe) ** 2))
    corners, object_px = _spiral(parameters.frames, parameters.size_px)
    object_wave = _object(object_px, rng)
    coordinates = corners + (parameters.size_px - 1) / 2
    meta = _geometry(parameters, object_px)
    with (
        atomic_output(npz_path, overwrite=overwrite, force=force) as part,
        writing_errors(npz_path),
        NpzWriter(part, compress=compress) as archive,
    ):
        archive.write_array("xcoords.npy", coordinates[:, 1])
        archive.write_array("ycoords.npy", coordinates[:, 0])
        archive.write_array("xcoords_start.npy", coordinates[:, 1])
        archive.write_array("ycoords_start.npy", coordinates[:, 0])
        archive.write_array("probeGuess.npy", probe)
        archive.write_array("objectGuess.npy", object_wave)
        archive.write_array("scan_index.npy", np.zeros(parameters.frames, np.int64))
        archive.write_array("_metadata.npy", np.array(_metadata_json(parameters, meta)))
        shape = (parameters.frames, parameters.size_px, parameters.size_px)
        dtype = np.dtype(np.float32 if parameters.quantity == "amplitude" else np.uint16)
        frames = _frames(parameters, probe, object_wave, corners, progress)
        archive.write_blocks("diff3d.npy", shape, dtype, frames, Workers(1))  # the cores have the simulation to do
    return meta


def _probe(size_px: int) -> Array:
    """Return a disc of light, out of focus: complex64, [size, size]."""
    frequency = np.fft.fftfreq(size_px)
    radius = np.hypot(*np.meshgrid(frequency, frequency))
    aperture = 1 / (1 + np.exp((radius - 0.06) / 0.004))
    defocus = np.exp(-1j * math.pi * size_px * 2.5 * radius**2)
    wave: Array = np.fft.fftshift(np.fft.ifft2(aperture * defocus)).astype(np.complex64)
    return wave


def _object(size_px: int, rng: np.random.Generator) -> Array:
    """Return a rough phase object with weak absorption: complex64, [size, size]."""
    frequency = np.hypot(*np.meshgrid(np.fft.rfftfreq(size_px), np.fft.fftfreq(size_px)))
    noise = np.fft.rfft2(rng.standard_normal((size_px, size_px), np.float32))
    rough = np.fft.irfft2(noise / (frequency + 0.01) ** 1.5, (size_px, size_px))
    rough /= rough.std()
    object_wave: Array = np.exp(-0.025 * (rough - rough.min()) + 0.6j * rough).astype(np.complex64)
    return object_wave


def _spiral(positions: int, size_px: int) -> tuple[Array, int]:
    """Return the patches' first pixel rows and columns, [N, 2] whole numbers, and the size of the object they lie in.

    Fermat's spiral covers a disc evenly: H. Vogel, Math. Biosci. 44, 179 (1979).
    """
    number = np.arange(positions)
    reach_px = (_MOST_OBJECT_PIXELS - size_px) / 2
    step_px = min(size_px / 48, reach_px / math.sqrt(positions)) if reach_px > 0 else 0.0
    radius, angle = step_px * np.sqrt(number), number * _GOLDEN_ANGLE
    offsets = np.round(np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1))
    corners = offsets - offsets.min()
    return corners, int(corners.max()) + size_px


def _geometry(parameters: ScanParameters, object_px: int) -> ExportMeta:
    pixel_m = far_field_pixel_m(_PHOTON_ENERGY_EV, _DETECTOR_DISTANCE_M, parameters.size_px, _DETECTOR_PIXEL_M)
    center_m = (object_px - 1) / 2 * pixel_m
    return ExportMeta(
        name="simulated scan",
        comments=f"{parameters.frames} frame{'s' * (parameters.frames != 1)}, {parameters.photons:g} photons each, "
        f"seed {parameters.seed}",
        detector_distance_m=_DETECTOR_DISTANCE_M,
        probe_energy_eV=_PHOTON_ENERGY_EV,
        exposure_time_s=_EXPOSURE_TIME_S,
        probe_photon_count=parameters.photons,
        object_pixel_width_m=pixel_m,
        object_pixel_height_m=pixel_m,
        probe_pixel_width_m=pixel_m,
        probe_pixel_height_m=pixel_m,
        object_center_x_m=center_m,
        object_center_y_m=center_m,
        detector_pixel_width_m=_DETECTOR_PIXEL_M,
        detector_pixel_height_m=_DETECTOR_PIXEL_M,
    )


def _metadata_json(parameters: ScanParameters, meta: ExportMeta) -> str:
    simulated = {name: value for name, value in vars(resolve_metadata(meta)).items() if isinstance(value, float)}
    return json.dumps({"nphotons": parameters.photons, "seed": parameters.seed, "geometry": simulated})


def _frames(
    parameters: ScanParameters, probe: Array, object_wave: Array, corners: Array, progress: Progress | None
) -> Iterator[Array]:
    """Give frames in order; each has a random stream of its own, so that threads do not change the result."""
    size = parameters.size_px

    def frame(number: int) -> Array:
        row, column = corners[number].astype(int)
        exit_wave = probe * object_wave[row : row + size, column : column + size]
        intensity = np.abs(np.fft.fftshift(np.fft.fft2(exit_wave, norm="ortho"))) ** 2
        counts = np.random.default_rng([parameters.seed, number]).poisson(intensity)
        if parameters.quantity == "amplitude":
            return np.sqrt(counts).astype(np.float32)
        return np.minimum(counts, np.iinfo(np.uint16).max).astype(np.uint16)

    workers = Workers(available_threads())
    try:
        for future in workers.in_order(partial(frame, number) for number in range(parameters.frames)):
            result = future.result()
            yield result
            if progress is not None:
                progress(result.nbytes)
    finally:
        workers.close()
