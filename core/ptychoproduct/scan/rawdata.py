"""A scan in memory, as an object with PtychoPINN's attributes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import SourceError
from ptychoproduct.model import contract
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.scan.scan import Extra, FrameStack, Scan, frame_stack, is_streamed
from ptychoproduct.streaming.sources import ArrayRows

_EXTRA_KEYS = ("xcoords_start", "ycoords_start", "Y", "norm_Y_I")


def rawdata_scan(raw: Any) -> Scan:
    """Describe a scan in memory.

    Parameters
    ----------
    raw : RawData or alike
        Attributes that it lacks count as None.

    Raises
    ------
    SourceError
        The object does not hold a scan.
    """
    x, y, probe = (_required_attribute(raw, key) for key in ("xcoords", "ycoords", "probeGuess"))
    frames = next(filter(None, (_frames(raw, key) for key in contract.FRAME_KEYS)), None)
    return Scan(
        origin=type(raw).__name__,
        x=x,
        y=y,
        probe=probe,
        frames=frames,
        object=_attribute(raw, "objectGuess"),
        scan_index=_attribute(raw, "scan_index"),
        extras=_extras(raw),
    )


def _frames(raw: Any, key: str) -> FrameStack | None:
    frames = _attribute(raw, key)
    return None if frames is None else frame_stack(key, frames.shape, partial(ArrayRows, frames))


def _extras(raw: Any) -> Iterator[Extra]:
    for key in _EXTRA_KEYS:
        array = _attribute(raw, key)
        if array is not None:
            streamed = is_streamed(array.shape, array.dtype)
            yield Extra(f"{key}{NPY_SUFFIX}", ArrayRows(array) if streamed else array)
    metadata = getattr(raw, "metadata", None)
    if metadata is not None:
        text = metadata if isinstance(metadata, str) else json.dumps(metadata, default=_for_json)
        yield Extra(f"{contract.METADATA_KEY}{NPY_SUFFIX}", text)


def _for_json(value: Any) -> Any:
    """Return what JSON can say of a value of metadata; TypeError where that is nothing."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"RawData: metadata holds {value!r} of type {type(value).__name__}, which JSON has no way to say")


def _required_attribute(raw: Any, key: str) -> Array:
    array = _attribute(raw, key)
    if array is None:
        raise SourceError(type(raw).__name__, key=key, found="None", expected="an array")
    return array


def _attribute(raw: Any, key: str) -> Array | None:
    value = getattr(raw, key, None)
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise SourceError(type(raw).__name__, key=key, found="an array of Python objects", expected="plain data")
    return array


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
        Diffraction frames; of another object also under ``diffraction``.
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
