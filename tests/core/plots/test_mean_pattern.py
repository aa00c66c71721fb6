import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptychoproduct.plots.mean_pattern import UNKNOWN, mean_pattern, quantity_of, sampled_frames
from ptychoproduct.product.reader import Frames


@given(st.integers(1, 10_000), st.integers(1, 500), st.integers(16, 300))
def test_sampled_frames_exist_are_distinct_and_no_more_than_asked_for(frames, chunk_frames, most):
    chosen = [index for place in sampled_frames(frames, chunk_frames, most) for index in place]
    assert chosen == sorted(set(chosen))
    assert 0 <= chosen[0] <= chosen[-1] < frames
    assert len(chosen) <= most


@given(st.integers(1, 200), st.integers(1, 50))
def test_a_scan_that_is_small_enough_is_taken_whole(frames, chunk_frames):
    assert sum(map(len, sampled_frames(frames, chunk_frames, 200))) == frames


def test_a_large_scan_is_looked_at_from_its_first_to_its_last_chunk():
    places = sampled_frames(100_000, 64)
    assert (places[0].start, places[-1].start) == (0, 99_968)
    assert len(places) >= 16


@pytest.mark.parametrize(
    ("chunks", "options"),
    [
        (None, {}),
        ((5, 12, 10), {"compression": "gzip"}),
        ((7, 5, 4), hdf5plugin.Zstd()),  # tiles
        ((7, 5, 4), hdf5plugin.Zfp(reversible=True)),  # a filter that only HDF5 can run
    ],
)
def test_the_mean_is_that_of_the_frames_however_they_are_stored(tmp_path, chunks, options):
    values = np.random.default_rng(1).poisson(5, (23, 12, 10)).astype(np.float32)
    with h5py.File(tmp_path / "file.h5", "w") as file:
        frames = Frames(file.create_dataset("frames", data=values, chunks=chunks, **options))
        mean = mean_pattern(frames)
        frames.close()
    assert (mean.frames_used, mean.frames, mean.quantity) == (23, 23, "counts")
    assert np.allclose(mean.values, values.mean(axis=0))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 3]], np.uint16), "counts"),
        (np.array([[0.0, 3.0, 12.0]], np.float32), "counts"),
        (np.sqrt(np.arange(100_000, dtype=np.float32))[np.newaxis], "√counts"),
        (np.sqrt(np.arange(1000, dtype=np.float32))[np.newaxis] / np.float32(7.5), "√counts, normalised"),
        (np.random.default_rng(0).normal(5, 1, (16, 16)).astype(np.float32), UNKNOWN),
        (np.array([[np.nan]], np.float32), UNKNOWN),
    ],
)
def test_what_frames_hold_is_told_where_their_values_say_so(values, expected):
    assert quantity_of(values) == expected
