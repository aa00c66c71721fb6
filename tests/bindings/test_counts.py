"""The kernel between amplitudes and counts, held against NumPy's arithmetic, step by step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct_native import CountSteps

PRECISIONS = ("float32", "float64")
STEPS = [
    (root, scaling, precision)
    for root in (None, *PRECISIONS)
    for scaling in (None, "divide", "multiply")
    for precision in (PRECISIONS if scaling else ("float64",))
]


def by_numpy(counts, amplitude, root, scaling, precision, scale):
    """Compute amplitudes as the document says: convert, operate, convert."""
    x = counts.astype(np.float64)
    if root is not None:
        x = np.sqrt(x.astype(root))
    if scaling is not None:
        operate = np.divide if scaling == "divide" else np.multiply
        x = operate(x.astype(precision), np.dtype(precision).type(scale))
    return x.astype(amplitude)


def amplitudes_of(steps, counts, amplitude):
    amplitudes = np.empty(counts.shape, amplitude)
    steps.amplitudes(counts, amplitudes)
    return amplitudes


@pytest.mark.parametrize("amplitude", PRECISIONS)
@pytest.mark.parametrize(("root", "scaling", "precision"), STEPS)
@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1)), max_size=40),
    st.floats(1e-6, 1e6, allow_subnormal=False),
    st.sampled_from((1, 700)),
)
def test_amplitudes_are_those_of_numpy(amplitude, root, scaling, precision, counts, scale, repeats):
    counts = np.array(counts * repeats, np.uint32)
    steps = CountSteps(root, scaling, precision, scale)
    expected = by_numpy(counts, amplitude, root, scaling, precision, scale)
    assert amplitudes_of(steps, counts, amplitude).tobytes() == expected.tobytes()


@pytest.mark.parametrize("amplitude", PRECISIONS)
@pytest.mark.parametrize(("root", "scaling", "precision"), STEPS)
@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 2**21), min_size=1, max_size=40), st.floats(1e-6, 1e6), st.sampled_from((1, 700)))
def test_counts_come_back_from_amplitudes(amplitude, root, scaling, precision, counts, scale, repeats):
    counts = np.array(counts * repeats, np.uint32)
    found = np.full_like(counts, 77)
    steps = CountSteps(root, scaling, precision, scale)
    result = steps.counts(by_numpy(counts, amplitude, root, scaling, precision, scale), found)
    assert result == (len(counts), counts.max())
    np.testing.assert_array_equal(found, counts)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(2**22, 2**32 - 1), min_size=1), st.sampled_from(PRECISIONS))
def test_counts_that_floats_cannot_tell_apart_give_back_the_amplitudes(counts, root):
    amplitudes = by_numpy(np.array(counts), "float32", root, None, None, 1)
    steps, found = CountSteps(root), np.empty(len(counts), np.uint32)
    assert steps.counts(amplitudes, found)[0] == len(counts)
    assert amplitudes_of(steps, found, "float32").tobytes() == amplitudes.tobytes()


@pytest.mark.parametrize("amplitude", PRECISIONS)
@pytest.mark.parametrize("index", [0, 511, 512, 1999])
@pytest.mark.parametrize("towards", [0, np.inf])
def test_one_ulp_is_found(amplitude, index, towards):
    amplitudes = by_numpy(np.arange(2000) + 1, amplitude, "float64", None, None, 1)
    amplitudes[index] = np.nextafter(amplitudes[index], np.dtype(amplitude).type(towards))
    assert CountSteps("float64").counts(amplitudes) == (index, 0)


@pytest.mark.parametrize("amplitude", PRECISIONS)
@pytest.mark.parametrize("value", [-0.0, -1.0, np.nan, -np.nan, np.inf, -np.inf, 1e-30, 1e30, 1e-45, 65537.0])
@pytest.mark.parametrize(("root", "scaling"), [("float32", None), ("float64", None), ("float64", "divide")])
def test_what_is_no_amplitude_of_a_count_is_found(amplitude, value, root, scaling):
    amplitudes = np.ones(700, amplitude)
    amplitudes[600] = value
    assert CountSteps(root, scaling).counts(amplitudes) == (600, 0)


def test_the_last_count_is_the_last_that_32_bits_hold():
    values = np.array([2.0**32 - 1, 2.0**32])
    assert CountSteps().counts(values) == (1, 0)
    assert CountSteps().counts(values[:1]) == (1, 2**32 - 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_counts_are_stored_in_each_type(dtype):
    amplitudes = np.sqrt(np.arange(256, dtype=np.float32)).repeat(5)
    counts = np.empty(1280, dtype)
    assert CountSteps("float32").counts(amplitudes, counts) == (1280, 255)
    np.testing.assert_array_equal(counts, np.arange(256).repeat(5))
    assert amplitudes_of(CountSteps("float32"), counts, "float32").tobytes() == amplitudes.tobytes()


def test_what_the_type_cannot_hold_shows_in_the_largest():
    assert CountSteps().counts(np.float32([1, 256]), np.empty(2, np.uint8)) == (2, 256)


def test_nothing_is_exact():
    assert CountSteps().counts(np.empty(0, np.float32), np.empty(0, np.uint8)) == (0, 0)


def test_counts_are_written_nowhere_but_into_their_memory():
    counts = np.full(1002, 7, np.uint16)
    CountSteps().counts(np.ones(1000, np.float32), counts[1:-1])
    assert (counts[0], counts[-1], set(counts[1:-1])) == (7, 7, {1})


@pytest.mark.parametrize(
    ("amplitudes", "counts"),
    [
        (np.ones(4, np.int32), np.ones(4, np.uint8)),
        (np.ones(4, ">f4"), np.ones(4, np.uint8)),
        (np.ones(4, np.float16), np.ones(4, np.uint8)),
        (np.ones(4, np.float32), np.ones(4, np.uint64)),
        (np.ones(4, np.float32), np.ones(4, np.int16)),
        (np.ones(4, np.float32), np.ones(3, np.uint16)),
        (np.ones(4, np.float32), np.ones(5, np.uint16)),
        (np.frombuffer(bytes(17), np.uint8)[1:].view(np.float32), np.ones(4, np.uint16)),
    ],
    ids=lambda array: f"{array.dtype.str}-{len(array)}",
)
def test_buffers_of_other_types_or_lengths_are_refused(amplitudes, counts):
    steps = CountSteps()
    with pytest.raises(ValueError, match="elements"):
        steps.counts(amplitudes, counts)
    with pytest.raises(ValueError, match=r"elements|read-only"):
        steps.amplitudes(counts, amplitudes)


def test_memory_with_gaps_or_read_only_is_refused():
    with pytest.raises(ValueError, match="contiguous"):
        CountSteps().counts(np.ones(8, np.float32)[::2])
    with pytest.raises(ValueError, match=r"read-only|not writable"):
        CountSteps().counts(np.ones(2, np.float32), np.frombuffer(b"ab", np.uint8))


@pytest.mark.parametrize(
    "words",
    [
        {"root": "float16"},
        {"scaling": "add"},
        {"scaling": "divide", "scaling_precision": "int"},
        {"scaling": "divide", "scale": 0.0},
        {"scaling": "divide", "scale": -1.0},
        {"scaling": "divide", "scale": np.nan},
        {"scaling": "divide", "scale": np.inf},
        {"scaling": "divide", "scaling_precision": "float32", "scale": 1e300},
        {"scaling": "multiply", "scaling_precision": "float32", "scale": 1e-300},
    ],
)
def test_steps_that_are_none_are_refused(words):
    with pytest.raises(ValueError, match=r"steps|scale"):
        CountSteps(**words)


@pytest.mark.parametrize("mark", "=<" if np.little_endian else "=>")
def test_formats_that_say_that_their_order_is_the_native_one_are_taken(mark):
    marked = np.frombuffer(np.sqrt(np.arange(4.0)).tobytes(), mark + "d")
    counts = np.empty(4, np.uint8)
    CountSteps("float64").counts(marked, counts)
    assert counts.tolist() == [0, 1, 2, 3]


def test_the_other_order_is_refused():
    with pytest.raises(ValueError, match="expected native"):
        CountSteps("float64").counts(np.ones(3, np.dtype("f8").newbyteorder("S")))
