"""Strided parts of a file in one call."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct_native import read_segments


@pytest.fixture(scope="module")
def file_of_bytes(tmp_path_factory):
    """A descriptor of a file of 1000 bytes, and these bytes."""
    path = tmp_path_factory.mktemp("segments") / "file"
    content = np.random.default_rng(0).bytes(1000)
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor, content
    os.close(descriptor)


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(0, 50), st.integers(1, 50), st.integers(0, 10))
def test_segments_are_what_slices_give(file_of_bytes, offset, gap, length, count):
    descriptor, content = file_of_bytes
    stride = min(length + gap, 50)
    result = bytearray(length * count)
    read_segments(descriptor, offset, stride, length, result)
    starts = range(offset, offset + stride * count, stride) if stride else [offset] * count
    assert bytes(result) == b"".join(content[start : start + length] for start in starts)


def test_a_file_that_ends_early_is_told(file_of_bytes):
    with pytest.raises(EOFError):
        read_segments(file_of_bytes[0], 900, 60, 60, bytearray(120))


@pytest.mark.parametrize(("offset", "stride", "length"), [(-1, 1, 5), (0, -1, 5), (0, 1, 0), (0, 1, 3)])
def test_what_makes_no_sense_is_a_value_error(file_of_bytes, offset, stride, length):
    with pytest.raises(ValueError, match="whole number"):
        read_segments(file_of_bytes[0], offset, stride, length, bytearray(10))


def test_a_bad_descriptor_is_an_os_error():
    with pytest.raises(OSError, match="Bad file descriptor"):
        read_segments(-1, 0, 1, 1, bytearray(1))


def test_memory_that_cannot_be_written_is_refused(file_of_bytes):
    with pytest.raises(BufferError):
        read_segments(file_of_bytes[0], 0, 1, 1, b"x")
