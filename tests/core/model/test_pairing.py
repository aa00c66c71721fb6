"""Which position belongs to which frame, by their numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptychoproduct.errors import ProductWarning, SourceError
from ptychoproduct.model.positions import rows_of_frames


def rows(frames, positions):
    return rows_of_frames(np.array(frames), np.array(positions), "scan.h5", "indexes").tolist()


@given(st.lists(st.integers(-5, 50), unique=True, min_size=1), st.randoms(), st.data())
def test_frames_find_the_position_of_their_number(numbers, random, data):
    frames = data.draw(st.lists(st.sampled_from(numbers), unique=True))
    shuffled = random.sample(numbers, len(numbers))
    found = rows_of_frames(np.array(frames, int), np.array(shuffled), "scan.h5", "indexes")
    assert [shuffled[row] for row in found] == frames


def test_positions_without_a_frame_are_left_out():
    assert rows([3, 1], [0, 1, 2, 3]) == [3, 1]


def test_numbers_of_positions_that_repeat_are_none():
    with pytest.warns(ProductWarning, match="repeat; frame i"):
        assert rows([0, 1, 2], [0, 0, 0]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("frames", "positions", "words"),
    [
        ([0, 1, 2], [0, 1], "there is no position for 1 frame; the first is frame number 2"),
        ([5, 0, 9], [0, 1], "there is no position for 2 frames; the first is frame number 5"),
        ([0, 0], [0, 1], "numbers of frames repeat"),
        (
            [0, 1],
            [0, 0, 0],
            "numbers of positions repeat, so each frame needs a position; found 3 positions for 2 frames",
        ),
        ([0, 1], [0.0, 1.0], "numbers of positions must be a list of integers, but are float64"),
        ([[0, 1]], [0, 1], r"numbers of frames must be a list of integers, but are int64 \(1, 2\)"),
        ([0], np.empty(0, int), "there is no position for 1 frame"),
    ],
)
def test_numbers_that_do_not_pair_are_a_source_error(frames, positions, words):
    with pytest.raises(SourceError, match=rf"scan\.h5: indexes: (found )?{words}"):
        rows(frames, positions)
