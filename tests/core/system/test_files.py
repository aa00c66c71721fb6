"""Reads at offsets."""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ptychoproduct.system.files import PositionalFile, PositionalOutput

DATA = np.random.default_rng(0).bytes(100_000)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(DATA)
    with PositionalFile(path) as opened:
        yield opened


def test_a_file_knows_its_size(file):
    assert file.size == len(DATA)


@pytest.mark.parametrize(("offset", "nbytes"), [(0, 100_000), (0, 0), (5, 10), (99_999, 1), (100_000, 0)])
def test_bytes_are_read_from_an_offset(file, offset, nbytes):
    assert file.read(offset, nbytes) == DATA[offset : offset + nbytes]


def test_a_view_is_filled_and_nothing_around_it(file):
    memory = bytearray(20)
    file.read_into(1000, memoryview(memory)[5:15])
    assert memory == bytes(5) + DATA[1000:1010] + bytes(5)


@pytest.mark.parametrize(("offset", "nbytes"), [(0, 100_001), (99_999, 2), (100_000, 1), (10**12, 5)])
def test_the_end_of_the_file_is_an_eof_error(file, offset, nbytes):
    with pytest.raises(EOFError):
        file.read(offset, nbytes)


def test_the_message_says_how_many_bytes_are_missing(file):
    with pytest.raises(EOFError, match="7 bytes early"):
        file.read(99_990, 17)


@pytest.mark.parametrize("offset", [-1, -(10**6)])
def test_an_offset_before_the_file_is_an_error(file, offset):
    with pytest.raises((OSError, ValueError)):
        file.read(offset, 1)


def test_many_threads_read_at_once(file):
    offsets = range(0, 100_000, 250)
    with ThreadPoolExecutor(8) as pool:
        pieces = list(pool.map(lambda offset: file.read(offset, 250), offsets))
    assert b"".join(pieces) == DATA


def test_a_file_that_is_missing_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        PositionalFile(tmp_path / "missing")


def test_a_file_is_closed_at_the_end_of_the_block(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    with PositionalFile(tmp_path / "a.bin") as file:
        pass
    with pytest.raises(ValueError, match="closed"):
        file.read(0, 1)


# Writing.


@pytest.fixture
def output(tmp_path):
    with PositionalOutput(tmp_path / "out.bin") as opened:
        yield opened, tmp_path / "out.bin"


def test_bytes_are_written_at_offsets_in_any_order(output):
    file, path = output
    file.write(6, b"ghi")
    file.write(0, memoryview(b"abcdef"))
    file.write(3, b"DE")
    file.write(100, b"")
    assert path.read_bytes() == b"abcDEfghi"


def test_an_existing_file_is_emptied(tmp_path):
    (tmp_path / "out.bin").write_bytes(b"long content")
    with PositionalOutput(tmp_path / "out.bin") as file:
        file.write(0, b"ab")
    assert (tmp_path / "out.bin").read_bytes() == b"ab"


def test_many_threads_write_at_once(output):
    file, path = output
    parts = [(start, DATA[start : start + 997]) for start in range(0, len(DATA), 997)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda part: file.write(*part), parts))
    assert path.read_bytes() == DATA


def test_a_system_without_pwrite_writes_the_same(output, monkeypatch):
    monkeypatch.delattr("os.pwrite")
    file, path = output
    file.write(4, b"efg")
    file.write(0, b"abcd")
    assert path.read_bytes() == b"abcdefg"


def test_a_disk_that_is_full_is_an_os_error():
    with PositionalOutput(Path("/dev/full")) as file, pytest.raises(OSError, match="No space left"):
        file.write(0, b"abc")


def test_a_system_without_preadv_reads_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(bytes(range(100)))
    monkeypatch.delattr("os.preadv")
    with PositionalFile(tmp_path / "file") as file:
        assert file.read(7, 20) == bytes(range(7, 27))
        with pytest.raises(EOFError):
            file.read(90, 20)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the kernel takes no advice")
def test_the_kernel_is_told_what_threads_will_read_next(tmp_path, monkeypatch):
    """Parts in the order in which threads may ask for them; each byte ahead is announced once."""
    told = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, offset, nbytes, advice: told.append((offset, nbytes, advice)))
    path, part = tmp_path / "a.bin", 1024**2
    with path.open("wb") as new:
        new.truncate(100 * part)
    with PositionalFile(path) as file:
        for number in (0, 2, 1, 3, *range(4, 100)):
            file.read(number * part, part)
    assert {advice for _, _, advice in told} == {os.POSIX_FADV_WILLNEED}
    assert told[0][0] <= 3 * part
    assert all(first + nbytes == second for (first, nbytes, _), (second, _, _) in itertools.pairwise(told))
    assert told[-1][0] + told[-1][1] >= 100 * part


def test_small_and_scattered_reads_announce_nothing(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *advice: told.append(advice), raising=False)
    path, part = tmp_path / "a.bin", 1024**2
    with path.open("wb") as new:
        new.truncate(2000 * part)
    with PositionalFile(path) as file:
        for offset in range(0, 100_000, 1000):
            file.read(offset, 1000)
        for number in (1000, 100, 1900, 500):
            file.read(number * part, part)
    assert told == []
