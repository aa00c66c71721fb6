"""Checks of the arrays that a product is made from; what does not fit is a SourceError that names the key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import SourceError, counted
from ptychoproduct.model import contract


def require_length(found: int, expected: int, key: str, origin: Origin, of: str = "positions") -> None:
    """Refuse a length that is not the number of something else."""
    if found != expected:
        raise SourceError(origin, key=key, found=f"length {found}", expected=f"{expected}, the number of {of}")


def complex_array(values: Any, dimensions: tuple[int, ...], key: str, origin: Origin) -> Array:
    """Return complex numbers in native byte order and their own precision; refuse anything else, and empty arrays."""
    array = np.asarray(values)
    if array.dtype.newbyteorder("=").name not in contract.COMPLEX:
        raise SourceError(origin, key=key, found=f"dtype {array.dtype}", expected=" or ".join(contract.COMPLEX))
    if array.ndim not in dimensions or not array.size:
        expected = f"{' or '.join(map(str, dimensions))} dimensions, no axis empty"
        raise SourceError(origin, key=key, found=f"shape {array.shape}", expected=expected)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def real_array(values: Sequence[float] | Array, dimensions: int, key: str, origin: Origin) -> Array:
    """Return real numbers as float32, if they are, or float64; refuse anything else."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        array = np.asarray(values, dtype=object)
    if array.dtype.kind not in "iuf" or array.ndim != dimensions:
        raise SourceError(
            origin,
            key=key,
            found=f"{array.dtype} {array.shape}",
            expected=f"real numbers in {counted(dimensions, 'dimension')}",
        )
    return array.astype(np.float32 if array.dtype == np.float32 else np.float64)


def coordinates(values: Any, key: str, origin: Origin) -> Array:
    """Return positions as they are; refuse anything but a list of finite real numbers."""
    array = np.asarray(values)
    check_raw_array(array, "xcoords", key, origin)
    if not len(array):
        raise SourceError(origin, key=key, problem="there are no positions; at least 1 is needed")
    finite = np.isfinite(array)
    if not finite.all():
        index = int(np.argmin(finite))
        raise SourceError(origin, f"position {index} is {array[index]}; positions must be finite", key=key)
    return array


def check_raw_array(array: Array, name: str, key: str, origin: Origin, positions: int | None = None) -> None:
    """Refuse an array for ``/raw_data/name`` that is of another kind than the contract says."""
    for expected in contract.RAW_DATASETS:
        if expected.name != f"{contract.RAW_DATA}/{name}" or expected.shapes != (("N",),):
            continue
        if array.ndim != 1:
            raise SourceError(origin, key=key, found=f"shape {array.shape}", expected="1 dimension")
        if array.dtype.newbyteorder("=").name not in expected.dtypes:
            raise SourceError(origin, key=key, found=f"dtype {array.dtype}", expected="real numbers")
        if positions is not None:
            require_length(len(array), positions, key, origin)


def check_frames(shape: tuple[int, ...], dtype: np.dtype[Any], key: str, origin: Origin) -> None:
    """Refuse anything but a stack of frames of real numbers."""
    if dtype.newbyteorder("=").name not in contract.FRAME:
        raise SourceError(origin, key=key, found=f"dtype {dtype}", expected="real numbers")
    if len(shape) != 3 or not math.prod(shape[1:]):
        raise SourceError(origin, key=key, found=f"shape {shape}", expected="[N, H, W], no axis empty")
