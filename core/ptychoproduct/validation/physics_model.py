"""What a product predicts: the amplitude that a detector sees of probe times object, and how well frames agree.

The model is the one of `generate_diffraction_data` in ptychodus 1.7.0. In the far field, the frame at position r is
Σ_i |F[P_i(x - r) O(x)]|²: J. M. Rodenburg and H. M. L. Faulkner, Appl. Phys. Lett. 85, 4795 (2004). Its terms are the
incoherent modes of the probe: P. Thibault and A. Menzel, Nature 494, 68 (2013). The first of them is composed of
coherent modes, by a weight for each position: M. Odstrcil et al., Opt. Express 24, 8360 (2016). Layers of an object are
passed one after the other: A. M. Maiden et al., J. Opt. Soc. Am. A 29, 1606 (2012), with the angular spectrum between
them: J. W. Goodman, Introduction to Fourier Optics, section 3.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ptychoproduct.aliases import Array

# Weaker incoherent modes change no frame that can be seen.
_LEAST_POWER = 0.01
_WHOLE_PX = 0.02
_BLOCK_PIXELS = 2**17


@dataclass(frozen=True)
class Optics:
    """What predicts frames.

    Parameters
    ----------
    probe : array, [C, I, H, W], complex
    object : array, [L, H, W], complex
    opr_weights : array, [K, C], optional
    transfers : sequence of array, [H, W]
        Between each two layers, the transfer function; zero frequency first.
    to_detector : array, [H, W], optional
        In the near field, the transfer function to the detector; the far field by default.
    """

    probe: Array
    object: Array
    opr_weights: Array | None = None
    transfers: Sequence[Array] = field(default=())
    to_detector: Array | None = None

    @classmethod
    def of(cls, probe: Array, object_: Array, opr_weights: Array | None = None) -> Optics:
        """Take arrays of the shapes that a product may have, without layers' distances."""
        probe = np.asarray(probe, np.complex64)
        probe = probe[(np.newaxis,) * (4 - probe.ndim)]
        power = np.sum(np.abs(probe[0]) ** 2, axis=(-2, -1))
        kept = power >= _LEAST_POWER * power.sum()
        kept[0] = True
        layers = np.asarray(object_)
        if not np.iscomplexobj(layers) or layers.dtype != np.complex64:
            layers = layers.astype(np.complex64)
        return cls(probe[:, kept], layers[(np.newaxis,) * (3 - layers.ndim)], opr_weights)

    @cached_property
    def spectrum(self) -> Array:
        """The Fourier transform of the incoherent modes without OPR weights, [1, I, H, W]."""
        found: Array = np.fft.fft2(self.probe[:1])
        return found

    def with_probe(self, probe: Array) -> Optics:
        """Return the same with another probe."""
        return replace(self, probe=np.ascontiguousarray(probe))


def transfer_function(
    shape: tuple[int, ...], pixel_m: tuple[float, float], wavelength_m: float, distance_m: float
) -> Array:
    """Return the transfer function of free space, [H, W], complex64, zero frequency first.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    pixel_m : tuple of float
        Height and width of a pixel.
    wavelength_m, distance_m : float
    """
    rows, columns = (np.fft.fftfreq(n, size) for n, size in zip(shape, pixel_m, strict=True))
    squared = (rows[:, np.newaxis] ** 2 + columns**2) * wavelength_m**2
    phase = 2j * np.pi * distance_m / wavelength_m * (np.sqrt(np.maximum(1 - squared, 0)) - 1)
    transfer: Array = np.where(squared < 1, np.exp(phase), 0).astype(np.complex64)
    return transfer


def on_object(x_px: Array, y_px: Array, probe_shape: tuple[int, ...], object_shape: tuple[int, ...]) -> Array:
    """Tell for each position whether the patch under the probe is on the object, [N], bool.

    Parameters
    ----------
    x_px, y_px : array, [N], pixels
        From the middle of the object's first pixel.
    probe_shape, object_shape : tuple of int
        Rows and columns last.
    """
    inside = np.ones(len(x_px), np.bool_)
    for values, probe_px, object_px in zip((y_px, x_px), probe_shape[-2:], object_shape[-2:], strict=True):
        first = values - (probe_px - 1) / 2
        inside &= (first > -_WHOLE_PX) & (first < object_px - probe_px + _WHOLE_PX)
    return inside


def predicted_amplitudes(
    optics: Optics,
    x_px: Array,
    y_px: Array,
    rows: Array | None = None,
    *,
    whole_pixels: bool = False,
    every: int = 1,
) -> Array:
    """Predict frames, up to a factor.

    Parameters
    ----------
    optics : Optics
    x_px, y_px : array, [n], pixels
        From the middle of the object's first pixel to that of the patch; `on_object`.
    rows : array, [n], int, optional
        Of the OPR weights; 0 to n-1 by default.
    whole_pixels : bool
        Whether positions are rounded, which saves half of the time.
    every : int
        Of how many detector pixels, in either direction, one is predicted; see `thinned`.

    Returns
    -------
    array, [n, H / every, W / every], float32
        Square roots of intensities, zero frequency in the middle as on a detector.
    """
    _, modes, height, width = optics.probe.shape
    amplitudes = np.empty((len(x_px), height // every, width // every), np.float32)
    numbers = np.arange(len(x_px)) if rows is None else rows
    step = max(1, _BLOCK_PIXELS // (modes * height * width))
    for first in range(0, len(x_px), step):
        part = slice(first, first + step)
        wave = _exit_waves(optics, x_px[part], y_px[part], numbers[part], whole_pixels)
        if optics.to_detector is None:
            # Every k-th value of a transform is the transform of the sum of k equal parts, with no approximation.
            wave = wave.reshape(*wave.shape[:2], every, height // every, width).sum(axis=2)
            wave = wave.reshape(*wave.shape[:3], every, width // every).sum(axis=3)
            wave = np.fft.fft2(wave)
        else:
            wave = thinned(np.fft.ifft2(np.fft.fft2(wave) * optics.to_detector), every)
        intensity = np.sum(wave.real**2 + wave.imag**2, axis=1)
        if optics.to_detector is None:
            intensity = np.fft.fftshift(intensity, (-2, -1))
        np.sqrt(intensity, out=amplitudes[part])
    return amplitudes


def thinned(frames: Array, every: int) -> Array:
    """Return one of so many pixels in either direction, zero frequency among them, [..., H / every, W / every].

    Parameters
    ----------
    frames : array, [..., H, W]
        Zero frequency in the middle.
    every : int
        Divides H and W.
    """
    rows, columns = (slice(every // 2 if size // every % 2 else 0, None, every) for size in frames.shape[-2:])
    return frames[..., rows, columns]


def _exit_waves(optics: Optics, x_px: Array, y_px: Array, rows: Array, whole_pixels: bool) -> Array:
    """Return what leaves the object, [n, I, H, W], complex64."""
    height, width = optics.probe.shape[-2:]
    wave = optics.probe[:1]
    spectrum = optics.spectrum
    if optics.opr_weights is not None and len(optics.probe) > 1:
        weights = optics.opr_weights[np.minimum(rows, len(optics.opr_weights) - 1)].astype(np.float32)
        wave = np.repeat(wave, len(rows), axis=0)
        wave[:, 0] = np.tensordot(weights, optics.probe[:, 0], axes=1)
        spectrum = np.fft.fft2(wave)
    firsts = np.stack([y_px - (height - 1) / 2, x_px - (width - 1) / 2], axis=1)
    most = np.maximum(np.subtract(optics.object.shape[-2:], (height, width)), 0)
    # ptychodus takes the patch before the position, and moves the probe by the rest.
    nearest = np.rint(firsts) if whole_pixels else np.floor(firsts + 1e-6)
    corners = np.clip(nearest.astype(int), 0, most)
    shifts = firsts - corners
    if not whole_pixels and np.abs(shifts).max(initial=0) > _WHOLE_PX:
        down, across = (
            np.exp(-2j * np.pi * np.fft.fftfreq(size) * shifts[:, axis, np.newaxis]).astype(np.complex64)
            for axis, size in enumerate((height, width))
        )
        shifted = spectrum * down[:, np.newaxis, :, np.newaxis]
        shifted *= across[:, np.newaxis, np.newaxis]
        wave = np.fft.ifft2(shifted)
    for index, layer in enumerate(optics.object):
        patches = np.stack([layer[top : top + height, left : left + width] for top, left in corners])
        wave = wave * patches[:, np.newaxis]
        if index < len(optics.transfers):
            wave = np.fft.ifft2(np.fft.fft2(wave) * optics.transfers[index])
    return wave


@dataclass(frozen=True)
class Agreement:
    """How well frames agree with their predictions.

    Parameters
    ----------
    correlation : float
        Of amplitudes, each frame brought to one length and each pixel's mean over the frames taken off: 1 for the same.
        Times the share of frames that can be predicted: the others are off the object.
    deviations : float
        By how many standard deviations matching pairs agree better than mismatched ones: about 1 by chance.
    frames : int
        How many were predicted, and compared.
    """

    correlation: float
    deviations: float
    frames: int


NO_AGREEMENT = Agreement(0.0, 0.0, 0)


def contrast(amplitudes: Array, pixels: Array | None = None) -> Array:
    """Return what differs from frame to frame: [n, P], float32, of Euclidean length 1 in all.

    Parameters
    ----------
    amplitudes : array, [n, H, W]
    pixels : array, [H, W], bool, optional
        Which are used; all by default.
    """
    values = amplitudes.reshape(len(amplitudes), -1)
    if pixels is not None:
        values = values[:, pixels.reshape(-1)]
    lengths = np.sqrt(np.einsum("np,np->n", values, values, dtype=np.float64))
    unlike: Array = values / np.maximum(lengths, 1e-30)[:, np.newaxis].astype(np.float32)
    unlike -= unlike.mean(axis=0)
    unlike /= max(float(np.sqrt(np.einsum("np,np->", unlike, unlike, dtype=np.float64))), 1e-30)
    return unlike


def agreement(measured: Array, predicted: Array) -> Agreement:
    """Compare what `contrast` gives of frames and of their predictions."""
    # A matrix product would start threads, which cost more than it does.
    pairs = np.einsum("np,mp->nm", measured, predicted).astype(np.float64)
    number = len(pairs)
    matching = np.diag(pairs)
    others = pairs[~np.eye(number, dtype=np.bool_)]
    spread = float(np.sqrt(np.mean(np.square(others - others.mean())))) if others.size else 0.0
    excess = matching.mean() - others.mean() if others.size else 0.0
    deviations = excess / (spread / np.sqrt(number)) if spread > 0 else 0.0
    return Agreement(float(matching.sum()), float(deviations), number)


def noise_limit(counts_amplitudes: Array, pixels: Array) -> float:
    """Estimate the highest correlation that photon noise leaves, from amplitudes that are roots of counts.

    Parameters
    ----------
    counts_amplitudes : array, [n, H, W]
        Square roots of photon counts.
    pixels : array, [H, W], bool
        Which are used.
    """
    roots = counts_amplitudes.reshape(len(counts_amplitudes), -1)[:, pixels.reshape(-1)]
    spread = np.sum(np.var(roots, axis=0, dtype=np.float64))
    mean_counts = np.mean(np.square(roots, dtype=np.float64), axis=0)
    noise = float(np.sum(root_variance(mean_counts))) * (1 - 1 / len(roots))
    return float(np.sqrt(max(0.0, 1 - noise / spread))) if spread > 0 else 0.0


def root_variance(mean_counts: Array) -> Array:
    """Return the variance of the square root of a Poisson count, which approaches 1/4: [...], float64."""
    knots = np.concatenate([np.linspace(0, 0.1, 11), np.linspace(0.125, 4, 32), np.linspace(4.5, 20, 32)])
    counts = np.arange(1, 80)
    logarithms = counts * np.log(np.maximum(knots, 1e-300))[:, np.newaxis] - knots[:, np.newaxis]
    terms = np.exp(logarithms - np.cumsum(np.log(counts)))
    variance = knots - np.sum(terms * np.sqrt(counts), axis=1) ** 2
    found: Array = np.where(mean_counts > 20, 0.25, np.interp(mean_counts, knots, variance))
    return found
