"""How often physics is right: every convention as a mistake in twelve scans, and sound scans, first guesses and noise.

Run it by hand: ``python tests/campaigns/physics.py [--sound 300] [--scans 12] [--seeds 3]``. It prints what was not
named, and the distribution of the statistic where nothing belongs together.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from itertools import product

import numpy as np

from ptychoproduct import ExportMeta, PhysicsReport
from ptychoproduct.model.transforms import (
    inverse_steps,
    parse_array_transform,
    parse_positions_transform,
    transformed_array,
    transformed_positions,
)
from ptychoproduct.validation.kept_frames import frames_to_judge
from ptychoproduct.validation.physics import judge
from ptychoproduct.validation.physics_evidence import evidence_from

PIXEL_M = 2e-8
ENERGY_EV = 8000.0


@dataclass(frozen=True)
class Kind:
    """What to simulate: a scan's size in pixels, photons a frame, and what makes scans different."""

    size: int
    photons: float
    modes: int = 1
    phase: float = 0.6
    path: str = "spiral"
    layers: int = 1
    gaps: bool = False
    positions: int = 240


KINDS = (
    Kind(64, 1e3),
    Kind(64, 1e6, modes=3, path="raster"),
    Kind(64, 1e4, phase=0.15, path="snake"),
    Kind(64, 1e5, phase=2.0),
    Kind(64, 1e5, layers=2, path="raster"),
    Kind(96, 1e4, gaps=True),
    Kind(96, 1e3, modes=3, phase=1.0, path="snake"),
    Kind(128, 1e5, path="raster", gaps=True),
    Kind(128, 1e6, phase=0.15),
    Kind(128, 1e4, modes=3, layers=2),
    Kind(256, 1e5, path="raster"),
    Kind(256, 1e6, modes=3, phase=1.0, gaps=True),
)

# What each mistake needs: the options that mend it.
MISTAKES = (
    *({"positions_transform": text} for text in ("swap", "flip-x", "flip-y", "flip-x,flip-y", "swap,flip-x")),
    *({"positions_transform": text} for text in ("swap,flip-y", "swap,flip-x,flip-y", "reverse", "roll=1", "roll=-1")),
    *({"positions_transform": f"scale={factor:g}"} for factor in (1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9)),
    *({"positions_transform": f"scale={factor:g}"} for factor in (1 / 0.9, 0.9, 0.8)),
    *({"positions_transform": text} for text in ("offset=corner", "offset=patch", "offset=5:-3", "offset=-7:9")),
    *({"frames_transform": text} for text in ("transpose", "flip-rows", "flip-columns", "flip-rows,flip-columns")),
    *({"frames_transform": f"transpose,{text}"} for text in ("flip-rows", "flip-columns", "flip-rows,flip-columns")),
    *({"frames_transform": text} for text in ("fftshift", "fftshift,transpose", "fftshift,flip-rows")),
    *({"probe_transform": text} for text in ("transpose", "flip-rows", "flip-columns", "fftshift", "conjugate")),
    *({"probe_transform": text} for text in ("flip-rows,flip-columns", "transpose,flip-rows")),
    {"frames_transform": "point-reflect"},
    {"positions_transform": "swap", "frames_transform": "transpose"},
    {"positions_transform": "flip-y", "frames_transform": "flip-rows"},
    {"positions_transform": "swap,flip-x", "frames_transform": "fftshift,flip-columns"},
    {"positions_transform": "unsnake"},
)


class Scan:
    """A simulated scan; its arrays are what a product would hold."""

    def __init__(self, kind: Kind, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.kind = kind
        size = kind.size
        self.probe = _probe(size, kind.modes, rng)
        x, y = _path(kind, rng)
        self.object_px = int(np.ceil(max(np.ptp(x), np.ptp(y)))) + size + 2
        half = (self.object_px - 1) / 2
        self.x = np.clip(x - (x.min() + x.max()) / 2, size / 2 - half, half - size / 2)
        self.y = np.clip(y - (y.min() + y.max()) / 2, size / 2 - half, half - size / 2)
        self.object = np.array([rough(self.object_px, kind.phase, rng) for _ in range(kind.layers)])
        self.spacing_m = [20e-6] * (kind.layers - 1)
        self.rows = frames_to_judge(kind.positions, (size, size))
        self.meta = ExportMeta(
            probe_energy_eV=ENERGY_EV,
            object_pixel_width_m=PIXEL_M,
            object_pixel_height_m=PIXEL_M,
            probe_pixel_width_m=PIXEL_M,
            probe_pixel_height_m=PIXEL_M,
            object_center_x_m=0.0,
            object_center_y_m=0.0,
        )
        intensity = np.array([self._intensity(row) for row in self.rows])
        intensity *= kind.photons / intensity.sum(axis=(1, 2)).mean()
        self.frames = np.sqrt(rng.poisson(intensity)).astype(np.float32)
        if kind.gaps:
            self.frames[:, size // 3 : size // 3 + 3] = np.nan
            self.frames[:, :, size // 2 - 1 : size // 2 + 2] = np.nan

    def _intensity(self, row: int) -> np.ndarray:
        """Return one frame by the definition: a shift in Fourier space, layers, and the far field."""
        size, half = self.kind.size, (self.object_px - 1) / 2
        left, top = (value[row] + half - (size - 1) / 2 for value in (self.x, self.y))
        first_row, first_column = int(top), int(left)
        frequency = np.fft.fftfreq(size)
        ramp = np.exp(-2j * np.pi * (frequency[:, None] * (top - first_row) + frequency * (left - first_column)))
        wave = np.fft.ifft2(np.fft.fft2(self.probe) * ramp)
        for number, layer in enumerate(self.object):
            wave = wave * layer[first_row : first_row + size, first_column : first_column + size]
            if number < len(self.spacing_m):
                wave = _propagated(wave, self.spacing_m[number])
        return np.sum(np.abs(np.fft.fftshift(np.fft.fft2(wave), (-2, -1))) ** 2, axis=0)

    def judged(self, mistake: dict[str, str], **changes: object) -> tuple[PhysicsReport, float]:
        """Judge the scan with a mistake that some options would mend."""
        steps = parse_positions_transform(self.settled(mistake.get("positions_transform", "")))
        x, y = undone_positions(steps, self.x, self.y)
        frames = changes.get("frames", self.frames)
        frames = transformed_array(inverse_steps(parse_array_transform(mistake.get("frames_transform", ""))), frames)
        probe_steps = parse_array_transform(mistake.get("probe_transform", ""), "probe_transform")
        probe = transformed_array(inverse_steps(probe_steps), self.probe)
        started = time.perf_counter()
        evidence = evidence_from(
            np.ascontiguousarray(probe),
            changes.get("object_", self.object),
            x * PIXEL_M,
            y * PIXEL_M,
            self.meta,
            self.rows,
            lambda: np.ascontiguousarray(frames),
            layer_spacing_m=self.spacing_m,
        )
        return judge(evidence), time.perf_counter() - started

    def settled(self, text: str) -> str:
        """Fill in what depends on the scan."""
        half = (self.object_px - 1) / 2
        corner, patch = f"{-half:g}:{-half:g}", f"{(self.kind.size - 1) / 2:g}:{(self.kind.size - 1) / 2:g}"
        return text.replace("corner", corner).replace("patch", patch)

    def is_mended(self, mistake: dict[str, str], options: dict[str, str]) -> bool:
        """Whether options bring back positions, frames and probe."""
        wrong = parse_positions_transform(self.settled(mistake.get("positions_transform", "")))
        steps = parse_positions_transform(options.get("positions_transform", ""))
        x, y = transformed_positions(steps, *undone_positions(wrong, self.x, self.y), lambda *_: (0.0, 0.0))
        same = max(np.abs(x - self.x)[self.rows].max(), np.abs(y - self.y)[self.rows].max()) < 1
        for name, array in (("frames_transform", self.frames), ("probe_transform", self.probe)):
            wrong_steps, right = (parse_array_transform(t.get(name, ""), name) for t in (mistake, options))
            back = transformed_array(right, transformed_array(inverse_steps(wrong_steps), array))
            same &= back.shape == array.shape and np.array_equal(back, array, equal_nan=True)
        return same


def undone_positions(steps: tuple, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions that some steps make right."""
    for name, values in reversed(steps):
        if name == "scale":
            x, y = x / values[0], y / values[-1]
        elif name == "offset":
            x, y = x - values[0], y - values[1]
        elif name == "roll":
            x, y = np.roll(x, -int(values[0])), np.roll(y, -int(values[0]))
        elif name == "unsnake":
            starts = np.flatnonzero(np.abs(np.diff(y)) > 1) + 1  # of a snake, which becomes a raster
            parts = np.split(np.arange(len(x)), starts)
            order = np.concatenate([part[::-1] if i % 2 else part for i, part in enumerate(parts)])
            x, y = x[order], y[order]
        else:
            x, y = transformed_positions(((name, values),), x, y, lambda *_: (0.0, 0.0))
    return x, y


def _probe(size: int, modes: int, rng: np.random.Generator) -> np.ndarray:
    """Return a beam without symmetry: out of focus, with astigmatism and coma; further modes are weaker."""
    fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")
    radius = np.hypot(fx, fy)
    aperture = 1 / (1 + np.exp((radius - 0.07) / 0.005))
    defocus, astigmatism, coma = rng.uniform(1.5, 2.5) * size, rng.uniform(0.4, 0.8) * size, 60 * size
    phase = defocus * radius**2 + astigmatism * (fx**2 - fy**2 + 1.3 * fx * fy) + coma * (fx + 0.6 * fy) * radius**2 / 6
    found = []
    for mode in range(modes):
        tilt = np.cos(2 * np.pi * mode * (fx + 0.5 * fy) / 0.14 + mode)
        found.append(np.fft.fftshift(np.fft.ifft2(aperture * tilt * np.exp(-1j * np.pi * phase))) * 0.5**mode)
    return np.array(found).astype(np.complex64)


def _path(kind: Kind, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    number, step = np.arange(kind.positions), kind.size / 16
    if kind.path == "spiral":
        radius, angle = step / 1.5 * np.sqrt(number), number * 2.399963
        return radius * np.cos(angle) + rng.uniform(-1, 1, len(number)), radius * np.sin(angle)
    columns = 16
    column, row = number % columns, number // columns
    if kind.path == "snake":
        column = np.where(row % 2, columns - 1 - column, column)
    return column * step + rng.uniform(-0.3, 0.3, len(number)), row * step + rng.uniform(-0.3, 0.3, len(number))


def rough(size: int, phase: float, rng: np.random.Generator) -> np.ndarray:
    """Return an object that is rough at every scale, and absorbs a little."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) / (frequency + 0.01) ** 1.5).real
    noise /= noise.std()
    return np.exp(1j * phase * noise - 0.05 * phase * (noise - noise.min())).astype(np.complex64)


def _propagated(wave: np.ndarray, distance_m: float) -> np.ndarray:
    wavelength_m = 1.239841984e-6 / ENERGY_EV
    frequency = np.fft.fftfreq(wave.shape[-1], PIXEL_M)
    squared = (wavelength_m * frequency[:, None]) ** 2 + (wavelength_m * frequency) ** 2
    return np.fft.ifft2(np.fft.fft2(wave) * np.exp(2j * np.pi * distance_m / wavelength_m * np.sqrt(1 - squared)))


def run_mistakes(scans: int, seeds: int) -> None:
    """Apply every mistake to every scan, and print those that are not named."""
    named = tried = 0
    for number, kind in enumerate(KINDS[:scans]):
        seconds = []
        for mistake, scan in product(MISTAKES, [Scan(kind, number + 1000 * seed) for seed in range(seeds)]):
            if ("unsnake" in str(mistake)) != (kind.path == "snake") and "unsnake" in str(mistake):
                continue
            report, took = scan.judged(mistake)
            seconds.append(took)
            tried += 1
            is_right = report.verdict == "another convention" and scan.is_mended(mistake, report.options)
            named += is_right
            if not is_right:
                print(
                    f"  {kind}: {mistake}: {report.verdict} {report.options} {report.correlation:.3f} "
                    f"{report.better_correlation:.3f} {report.limit:.3f} {report.reason}"
                )
        print(f"{number}: {kind.size} px: {named} of {tried} named, {np.median(seconds):.2f} s each", flush=True)


def run_sound(count: int) -> None:
    """Judge sound scans, and ones where nothing belongs together: no alarm may be given."""
    verdicts: dict[str, list[str]] = {}
    deviations: dict[str, list[float]] = {}
    for seed in range(count):
        rng = np.random.default_rng(10_000 + seed)
        kind = KINDS[seed % 10]  # the large ones take long, and differ in nothing else
        scan = Scan(kind, 100 + seed)
        cases = {"sound": {}}
        if seed % 5 == 0:
            guess = rough(scan.object_px, kind.phase, rng)[np.newaxis].repeat(kind.layers, axis=0)
            cases["guess"] = {"object_": guess}
            cases["ones"] = {"object_": np.ones_like(scan.object)}
            cases["noise"] = {"frames": np.sqrt(rng.poisson(1.0, scan.frames.shape)).astype(np.float32)}
        for name, changes in cases.items():
            report, _ = scan.judged({}, **changes)
            verdicts.setdefault(name, []).append(report.verdict)
            deviations.setdefault(name, []).append(report.deviations)
            if report.verdict == "another convention" or (name == "sound" and report.verdict != "consistent"):
                print(f"  {name} {seed} {kind}: {report}")
    for name, found in verdicts.items():
        values = np.array(deviations[name])
        counted = {verdict: found.count(verdict) for verdict in sorted(set(found))}
        print(f"{name}: {counted}; deviations {values.min():.1f} to {values.max():.1f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sound", type=int, default=300)
    arguments = parser.parse_args()
    run_sound(arguments.sound)
    run_mistakes(arguments.scans, arguments.seeds)
