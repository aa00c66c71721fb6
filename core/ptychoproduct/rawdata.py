"""A scan in memory, with the fields of PtychoPINN's own class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass
class RawData:
    """A ptychographic scan; any object with these attributes can be exported.

    Parameters
    ----------
    xcoords, ycoords : array, [N], pixels
        Scan positions.
    xcoords_start, ycoords_start : array or None, [N], pixels
        Positions before correction.
    diff3d : array or None, [N, H, W], real
        Diffraction frames.
    probeGuess : array, [H, W] or [I, H, W], complex
        Probe, or a stack of its modes.
    scan_index : array or None, [N], int
        PtychoPINN's meaning: which object each position belongs to, often all zeros.
    objectGuess : array or None, [H, W] or [L, H, W], complex
        Object.
    Y : array or None
        Object patches, complex.
    norm_Y_I : array or float or None
        Normalisation of `Y`.
    metadata : str or dict or None
        What PtychoPINN keeps as JSON under ``_metadata``.
    """

    xcoords: Array
    ycoords: Array
    xcoords_start: Array | None
    ycoords_start: Array | None
    diff3d: Array | None
    probeGuess: Array
    scan_index: Array | None
    objectGuess: Array | None = None
    Y: Array | None = None
    norm_Y_I: Array | float | None = None
    metadata: str | dict[str, Any] | None = None
