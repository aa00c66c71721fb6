"""Index expressions, with NumPy as the judge."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct.hdf5.selection import pieces, select

MOST = st.integers(1, 13)


@st.composite
def slices(draw, length):
    edge = st.none() | st.integers(-length - 2, length + 2)
    return slice(draw(edge), draw(edge), draw(st.sampled_from([None, 1, 2, 3, 7, 100, -1, -2, -5, -100])))


@st.composite
def indexes(draw, shape):
    """An expression on any of the axes; lists and masks on the first."""
    count = draw(st.integers(0, len(shape)))
    entries = [draw(slices(n) | st.integers(-n, n - 1) | st.integers(-n, n - 1).map(np.int32)) for n in shape[:count]]
    numbers = st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=9)
    if entries:
        mask = st.lists(st.booleans(), min_size=shape[0], max_size=shape[0])
        listed = st.one_of(numbers, numbers.map(np.array), mask.map(np.array))
        entries[0] = draw(listed) if draw(st.booleans()) else entries[0]
    if draw(st.booleans()):
        entries.append(...)
    return entries[0] if len(entries) == 1 and draw(st.booleans()) else tuple(entries)


@st.composite
def cases(draw):
    shape = draw(st.lists(MOST, min_size=1, max_size=3))
    chunk_shape = [draw(st.integers(1, length + 3)) for length in shape]
    return tuple(shape), tuple(chunk_shape), draw(indexes(shape))


@settings(deadline=None, max_examples=600)
@given(cases())
def test_the_pieces_of_a_selection_make_what_numpy_gives(case):
    shape, chunk_shape, index = case
    array = np.arange(1, 1 + np.prod(shape)).reshape(shape)
    padded = np.pad(array, [(0, length) for length in chunk_shape])
    expected = array[index]
    selection = select(index, shape)
    found = np.zeros(selection.shape, array.dtype)
    seen = set()
    for piece in pieces(selection, chunk_shape):
        assert piece.offset not in seen
        seen.add(piece.offset)
        chunk = padded[tuple(slice(a, a + n) for a, n in zip(piece.offset, chunk_shape, strict=True))]
        piece.copy(chunk, selection.with_all_axes(found))
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "index", [12, -13, [0, 12], [-13], np.array([0, 99], np.uint64), (0, 5), (0, 0, 0), (0, ..., 0, 0)]
)
def test_what_lies_outside_is_an_index_error(index):
    with pytest.raises(IndexError):
        select(index, (12, 5))


@pytest.mark.parametrize("mask", [np.ones(11, bool), np.ones(13, bool), [True]])
def test_a_mask_of_another_length_is_an_index_error(mask):
    with pytest.raises(IndexError, match="mask of length"):
        select(mask, (12, 5))


@pytest.mark.parametrize("numbers", [[0.5], np.array([1.0]), ["1"], [None]])
def test_numbers_that_are_no_integers_are_an_index_error(numbers):
    with pytest.raises(IndexError, match="must be integers or a mask"):
        select(numbers, (12, 5))


@pytest.mark.parametrize(
    "index", [None, "name", True, (slice(None), [1, 2]), (..., ...), [[1, 2]], np.ones((12, 5), bool), 1.5]
)
def test_other_expressions_are_not_understood(index):
    assert select(index, (12, 5)) is None


@pytest.mark.parametrize("numbers", [[], np.array([], int), np.zeros(12, bool)])
def test_an_empty_list_selects_nothing(numbers):
    selection = select(numbers, (12, 5))
    assert selection.shape == (0, 5)
    assert list(pieces(selection, (3, 5))) == []


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_an_empty_array_has_no_pieces(shape):
    assert list(pieces(select(slice(None), shape), (2, 2))) == []
