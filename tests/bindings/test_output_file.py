"""OutputFile: what h5py wants of a file, and writes that fail."""

import errno
import os
import resource
import subprocess
import sys

import h5py
import pytest

from ptychoproduct_native import OutputFile


@pytest.fixture
def opened(tmp_path):
    """An output file, and its path."""
    path = tmp_path / "out.bin"
    with path.open("w+b", buffering=0) as raw:
        yield OutputFile(raw.fileno()), path


def test_the_position_is_that_of_the_descriptor(opened):
    file, _ = opened
    assert file.tell() == 0
    assert file.write(b"abcdef") == 6
    assert file.tell() == 6
    assert file.seek(2) == 2
    assert file.seek(1, os.SEEK_CUR) == 3
    assert file.seek(-1, os.SEEK_END) == 5
    assert file.tell() == 5


def test_a_position_may_be_beyond_4_gib(opened):
    file, path = opened
    file.seek(2**33)
    file.write(b"x")
    assert path.stat().st_size == 2**33 + 1


def test_what_is_written_is_in_the_file(opened):
    file, path = opened
    file.write(b"abcdef")
    file.seek(2)
    file.write(memoryview(b"CD"))
    file.write(b"")
    file.check()
    assert path.read_bytes() == b"abCDef"


def test_a_buffer_is_filled_as_far_as_the_file_goes(opened):
    file, _ = opened
    file.write(b"abcdef")
    file.seek(1)
    data = bytearray(b"......")
    assert file.readinto(data) == 5
    assert data == b"bcdef."
    assert file.readinto(data) == 0


def test_reading_from_a_descriptor_that_is_for_writing_gives_nothing(tmp_path):
    with (tmp_path / "out.bin").open("wb", buffering=0) as raw:
        assert OutputFile(raw.fileno()).readinto(bytearray(4)) == 0


@pytest.mark.parametrize("size", [0, 3, 9])
def test_truncate_sets_the_size(opened, size):
    file, path = opened
    file.write(b"abcdef")
    assert file.truncate(size) == size
    file.check()
    assert path.read_bytes() == b"abcdef\0\0\0"[:size]


def test_read_is_left_to_readinto(opened):
    with pytest.raises(NotImplementedError):
        opened[0].read(1)


def test_nothing_is_buffered(opened):
    file, path = opened
    file.write(b"abc")
    assert path.read_bytes() == b"abc"
    file.flush()
    assert path.read_bytes() == b"abc"


@pytest.mark.parametrize("data", ["text", None, 3])
def test_only_buffers_can_be_written(opened, data):
    with pytest.raises(TypeError):
        opened[0].write(data)


def test_a_read_only_buffer_cannot_be_filled(opened):
    with pytest.raises((TypeError, BufferError)):
        opened[0].readinto(b"abc")


# Writes that fail.


def test_a_file_that_nothing_failed_for_passes_its_check(opened):
    opened[0].check()


def test_a_full_device_is_remembered_and_told():
    with open("/dev/full", "r+b", buffering=0) as raw:  # noqa: PTH123 - a device
        file = OutputFile(raw.fileno())
        assert file.write(b"abc") == 3
        with pytest.raises(OSError, match="No space left") as caught:
            file.check()
        assert caught.value.errno == errno.ENOSPC


def test_a_descriptor_for_reading_is_told_by_its_errno(tmp_path):
    path = tmp_path / "in.bin"
    path.write_bytes(b"abc")
    with path.open("rb") as raw:
        file = OutputFile(raw.fileno())
        file.write(b"xyz")
        with pytest.raises(OSError, match="Bad file descriptor"):
            file.check()
        with pytest.raises(OSError, match="Bad file descriptor"):  # the first failure, each time
            file.check()
    assert path.read_bytes() == b"abc"


def test_a_truncation_that_fails_is_remembered(tmp_path):
    path = tmp_path / "in.bin"
    path.write_bytes(b"abc")
    with path.open("rb") as raw:
        file = OutputFile(raw.fileno())
        assert file.truncate(1) == 1
        with pytest.raises(OSError):  # noqa: PT011 - EINVAL or EBADF
            file.check()
    assert path.read_bytes() == b"abc"


def test_what_follows_a_failed_write_is_dropped(tmp_path):
    """The file may have 8 bytes: the write across that end fails, and later ones before it are not done."""
    program = """
import errno, signal, sys
from ptychoproduct_native import OutputFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open(sys.argv[1], "w+b", buffering=0) as raw:
    file = OutputFile(raw.fileno())
    file.write(b"abcdef")
    file.check()
    file.write(b"ghijkl")
    file.seek(0)
    file.write(b"A")
    file.truncate(2)
    try:
        file.check()
    except OSError as error:
        print(error.errno == errno.EFBIG)
"""
    path = tmp_path / "out.bin"
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8)),
    )
    assert (result.stdout, path.read_bytes()) == ("True\n", b"abcdefgh")


def test_a_read_that_fails_is_remembered(tmp_path):
    with (tmp_path / "out.bin").open("wb") as raw:  # not for reading
        file = OutputFile(raw.fileno())
        assert file.readinto(bytearray(4)) == 0
        with pytest.raises(OSError, match="Bad file descriptor"):
            file.check()


@pytest.mark.skipif(not hasattr(os, "pwrite"), reason="there HDF5 writes itself")
def test_a_write_that_was_left_out_is_made_later_in_its_place(tmp_path):
    path = tmp_path / "a.h5"
    chunks = [bytes([number]) * 4096 for number in range(8)]
    with path.open("w+b", buffering=0) as raw:
        output = OutputFile(raw.fileno())
        with h5py.File(output, "w") as file:
            dataset = file.create_dataset("d", (8, 4096), "u1", chunks=(1, 4096))
            writes = []
            for number, chunk in enumerate(chunks):
                output.leave_out(chunk)
                dataset.id.write_direct_chunk((number, 0), chunk)
                writes.append((chunk, output.place_left_out()))
            for chunk, place in reversed(writes):
                output.write_at(chunk, place)
        output.check()
    with h5py.File(path) as file:
        assert file["d"][:].tobytes() == b"".join(chunks)
        assert [file["d"].id.get_chunk_info(number).byte_offset for number in range(8)] == [at for _, at in writes]


def test_a_write_to_a_place_that_fails_is_remembered(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    with (tmp_path / "a").open("rb", buffering=0) as raw:
        output = OutputFile(raw.fileno())
        output.write_at(b"x", 0)
        with pytest.raises(OSError, match="Bad file descriptor"):
            output.check()
        output.write_at(b"x", 0)
    assert (tmp_path / "a").read_bytes() == b"abc"
