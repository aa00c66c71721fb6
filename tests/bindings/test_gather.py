"""gather and byteswap, with NumPy as the judge."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct_native import ChunkBuffer, byteswap, gather

DTYPES = {1: np.uint8, 2: np.uint16, 4: np.float32, 8: np.float64, 16: np.complex128}
ITEMSIZES = sorted(DTYPES)


def random_array(shape, itemsize, seed=0):
    size = int(np.prod(shape, dtype=int)) * itemsize
    return np.frombuffer(np.random.default_rng(seed).bytes(size), DTYPES[itemsize]).reshape(shape)


def gathered(array):
    destination = bytearray(b"\xaa" * array.nbytes)
    gather(array, destination)
    return bytes(destination)


@st.composite
def strided_arrays(draw):
    """Any shape up to 4 dimensions, cut with any steps, axes in any order."""
    ndim = draw(st.integers(0, 4))
    longest = {0: 1, 1: 300, 2: 70, 3: 40, 4: 9}[ndim]
    shape = tuple(draw(st.integers(0, longest)) for _ in range(ndim))
    array = random_array(shape, draw(st.sampled_from(ITEMSIZES)), draw(st.integers(0, 9)))
    cuts = tuple(
        slice(*draw(st.tuples(st.none() | st.integers(-3, 3), st.none(), st.sampled_from([1, 2, 3, 7, -1, -2, -5]))))
        for _ in range(ndim)
    )
    array = array[cuts]
    return array.transpose(draw(st.permutations(range(ndim))))


@settings(deadline=None, max_examples=300)
@given(strided_arrays())
def test_gather_gives_the_bytes_of_a_contiguous_copy(array):
    assert gathered(array) == np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize("itemsize", ITEMSIZES)
@pytest.mark.parametrize("shape", [(31, 33), (32, 32), (64, 65), (1, 100), (100, 1), (5, 1, 97), (3, 64, 33)])
@pytest.mark.parametrize("reverse", [False, True])
def test_gather_of_transposed_planes_around_the_tile_size(shape, itemsize, reverse):
    array = random_array(shape, itemsize).T
    array = array[::-1] if reverse else array
    assert gathered(array) == np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize("itemsize", [3, 5, 12, 20])
def test_gather_copies_elements_of_unusual_sizes(itemsize):
    array = np.frombuffer(np.random.default_rng(0).bytes(35 * 40 * itemsize), f"S{itemsize}").reshape(35, 40).T
    assert gathered(array) == np.ascontiguousarray(array).tobytes()


def test_gather_copies_unaligned_elements():
    raw = np.random.default_rng(0).bytes(1 + 8 * 50 * 3)
    array = np.frombuffer(raw, np.float64, offset=1).reshape(50, 3).T
    assert gathered(array) == array.tobytes()


def test_gather_repeats_a_broadcast_array():
    array = np.broadcast_to(np.arange(40, dtype=np.uint16), (35, 40))
    assert gathered(array) == array.tobytes()


def test_gather_keeps_the_bytes_of_the_other_byte_order():
    array = np.arange(12, dtype=">u4").reshape(3, 4).T
    assert gathered(array) == array.tobytes()


def test_gather_keeps_nan_payloads_and_the_sign_of_zero():
    array = np.array([0x7FC12345, 0xFFA00001, 0x80000000, 0], np.uint32).view(np.float32)[::-1]
    assert gathered(array) == array.tobytes()


def test_gather_of_32_dimensions_works():
    array = np.arange(8).reshape((2, 1) * 3 + (1,) * 26).transpose(range(31, -1, -1))
    assert gathered(array) == array.tobytes()


def test_gather_of_33_dimensions_is_refused():
    with pytest.raises(ValueError, match="33 dimensions"):
        gather(np.zeros((1,) * 33, np.uint8), bytearray(1))


def test_gather_fills_a_chunk_buffer():
    array = random_array((7, 13), 4).T
    chunk = ChunkBuffer(array.nbytes)
    gather(array, chunk)
    assert bytes(chunk) == array.tobytes()


def test_gather_fills_a_part_of_a_view_and_nothing_else():
    memory = bytearray(b"\xaa" * 20)
    gather(np.arange(10, dtype=np.uint8)[::-1], memoryview(memory)[5:15])
    assert bytes(memory) == b"\xaa" * 5 + bytes(range(9, -1, -1)) + b"\xaa" * 5


def test_gather_of_nothing_changes_nothing():
    memory = bytearray()
    gather(np.empty((3, 0, 5), np.float32), memory)
    assert memory == b""


@pytest.mark.parametrize("difference", [-24, -1, 1, 8])
def test_gather_into_another_size_is_refused(difference):
    with pytest.raises(ValueError, match="expected"):
        gather(np.zeros(3), bytearray(24 + difference))


def test_gather_into_read_only_memory_is_refused():
    with pytest.raises(BufferError):
        gather(np.zeros(3, np.uint8), b"abc")


def test_gather_into_strided_memory_is_refused():
    with pytest.raises((BufferError, ValueError)):
        gather(np.zeros(3, np.uint8), np.zeros(6, np.uint8)[::2])


def test_gather_leaves_no_view_behind_when_it_fails():
    chunk = ChunkBuffer(3)
    with pytest.raises(ValueError, match="expected 3"):
        gather(np.zeros(4, np.uint8), chunk)
    memory = bytearray(3)
    with pytest.raises(ValueError, match="expected 3"):
        gather(np.zeros(4, np.uint8), memory)
    memory.append(0)  # BufferError with a view alive
    assert len(memory) == 4


@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_byteswap_does_what_numpy_does(itemsize, count):
    array = random_array((count,), itemsize)
    swapped = bytearray(array.tobytes())
    byteswap(swapped, itemsize)
    assert bytes(swapped) == array.byteswap().tobytes()


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_byteswap_of_components_swaps_complex_numbers(dtype):
    array = np.frombuffer(np.random.default_rng(0).bytes(160), dtype)
    swapped = bytearray(array.tobytes())
    byteswap(swapped, array.itemsize // 2)
    assert bytes(swapped) == array.byteswap().tobytes()


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 20), st.integers(0, 50), st.integers(0, 100))
def test_byteswap_reverses_elements_of_any_size(itemsize, count, seed):
    data = np.random.default_rng(seed).bytes(itemsize * count)
    swapped = bytearray(data)
    byteswap(swapped, itemsize)
    assert bytes(swapped) == b"".join(data[i : i + itemsize][::-1] for i in range(0, len(data), itemsize))


@pytest.mark.parametrize(("nbytes", "itemsize"), [(3, 2), (7, 4), (1, 8), (4, 0), (4, -1), (4, -4)])
def test_byteswap_of_no_whole_number_of_elements_is_refused(nbytes, itemsize):
    with pytest.raises(ValueError, match="whole number"):
        byteswap(bytearray(nbytes), itemsize)


def test_byteswap_of_read_only_memory_is_refused():
    with pytest.raises(BufferError):
        byteswap(b"abcd", 2)
