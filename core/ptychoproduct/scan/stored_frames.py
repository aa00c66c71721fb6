"""Frames in an NPY file, or in a member of an NPZ archive."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ptychoproduct.model.contract import FRAME_KEYS
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.npz.stored_array import StoredArray
from ptychoproduct.scan.scan import FrameStack, frame_stack
from ptychoproduct.streaming.stacked_rows import stack_shape
from ptychoproduct.streaming.stored_rows import rows_as_stored, stored_rows
from ptychoproduct.system.resources import Resources


def stored_frames(array: StoredArray, resources: Resources) -> FrameStack:
    """Return an array as a stack of frames."""
    shape, stored = stack_shape(array.shape), array
    has_grid = sum(length != 1 for length in array.shape) > sum(length != 1 for length in shape)
    if not (array.fortran_order and has_grid):  # the order of the bytes is that of the stack
        stored = replace(array, shape=shape)
    stack = frame_stack(
        array.key,
        array.shape,
        partial(stored_rows, array, resources=resources),
        member=array.member or f"{FRAME_KEYS[0]}{NPY_SUFFIX}",
        as_stored=partial(rows_as_stored, stored),
    )
    return stack if stored is array else replace(stack, rows=partial(stored_rows, stored, resources=resources))
