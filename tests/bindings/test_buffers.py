"""ChunkBuffer: memory of a chunk."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ptychoproduct_native import SHUFFLE_ID, ChunkBuffer, Filter, FilterPipeline, keep_freed_memory


def shuffle_pipeline(itemsize=4):
    return FilterPipeline([Filter(SHUFFLE_ID, 0, (itemsize,))])


@pytest.mark.parametrize("nbytes", [0, 1, 7, 4096, 1024**2 + 1])
def test_a_buffer_has_the_length_it_was_asked_for(nbytes):
    chunk = ChunkBuffer(nbytes)
    with memoryview(chunk) as view:
        assert (len(chunk), view.nbytes, view.format, view.readonly) == (nbytes, nbytes, "B", False)


@pytest.mark.parametrize("nbytes", [0, 1, 4096])
def test_what_is_written_to_a_buffer_is_read_from_it(nbytes):
    data = np.random.default_rng(0).bytes(nbytes)
    chunk = ChunkBuffer(nbytes)
    memoryview(chunk)[:] = data
    assert bytes(chunk) == data


def test_two_views_share_their_memory():
    chunk = ChunkBuffer(4)
    with memoryview(chunk) as one, memoryview(chunk) as other:
        one[:] = b"abcd"
        assert bytes(other) == b"abcd"


def test_an_array_on_a_buffer_keeps_it_alive():
    array = np.frombuffer(ChunkBuffer(1024), np.uint8)
    array[:] = 7
    assert array.sum() == 7 * 1024


@pytest.mark.parametrize("nbytes", [0, 1, 8])
def test_a_buffer_with_a_view_cannot_be_encoded(nbytes):
    chunk = ChunkBuffer(nbytes)
    with memoryview(chunk), pytest.raises(BufferError, match="memoryviews"):
        shuffle_pipeline().encode(chunk)


def test_a_slice_of_a_view_blocks_encoding_too():
    chunk = ChunkBuffer(8)
    part = memoryview(chunk)[2:4]
    with pytest.raises(BufferError):
        shuffle_pipeline().encode(chunk)
    part.release()


@pytest.mark.parametrize("nbytes", [0, 1, 8])
def test_a_buffer_can_be_encoded_when_its_views_are_released(nbytes):
    chunk = ChunkBuffer(nbytes)
    with memoryview(chunk) as view:
        view[:] = bytes(nbytes)
    data, mask = shuffle_pipeline().encode(chunk)
    assert (bytes(data), mask) == (bytes(nbytes), 0)


def test_a_refused_encoding_leaves_the_contents_alone():
    chunk = ChunkBuffer(8)
    with memoryview(chunk) as view:
        view[:] = b"abcdefgh"
        with pytest.raises(BufferError):
            shuffle_pipeline().encode(chunk)
        assert bytes(view) == b"abcdefgh"


def test_a_buffer_can_be_viewed_again_after_encoding():
    chunk = ChunkBuffer(4)
    memoryview(chunk)[:] = b"abcd"
    data, _ = shuffle_pipeline(2).encode(chunk)
    assert bytes(memoryview(data)) == b"acbd"


@pytest.mark.parametrize("nbytes", [-1, sys.maxsize, sys.maxsize + 1, 2**64 - 2, 2**64 - 1, 2**64])
def test_sizes_that_no_memory_has_are_refused(nbytes):
    with pytest.raises((MemoryError, OverflowError)):
        ChunkBuffer(nbytes)


@pytest.mark.parametrize("nbytes", [None, "8"])
def test_sizes_that_are_no_integers_are_refused(nbytes):
    with pytest.raises(TypeError):
        ChunkBuffer(nbytes)


def test_threads_that_want_one_buffer_at_once_succeed_or_get_a_buffer_error():
    # A race is not certain to occur; where it does, a sanitizer sees memory that is used after it was freed.
    chunk = ChunkBuffer(1024**2)
    pipeline = shuffle_pipeline()

    def encode(_):
        try:
            pipeline.encode(chunk)
        except BufferError:
            return "refused"
        return "encoded"

    def view(_):
        try:
            return "viewed" if len(bytes(chunk)) == 1024**2 else "short"
        except BufferError:
            return "refused"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda job: job(None), [encode, view, encode, encode] * 20))
    assert set(outcomes) <= {"encoded", "viewed", "refused"}
    assert "encoded" in outcomes


def test_memory_that_is_freed_can_be_kept():
    keep_freed_memory()
    chunk = ChunkBuffer(1024**2)
    memoryview(chunk)[:] = bytes(len(chunk))
    assert bytes(chunk) == bytes(1024**2)
