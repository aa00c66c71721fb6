"""Headers of ZIP archives, with zipfile as the judge."""

import zipfile
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychoproduct.npz.zip_records import ZIP_DEFLATED, ZIP_STORED, Entry, directory, local_header

GIB = 1024**3


def place(file, entry, data):
    """Write an entry with its data where it says it is."""
    file.seek(entry.offset)
    file.write(local_header(entry) + data)


def entry_of(name, offset, data, method=ZIP_STORED):
    """Return an entry, and its data as encoded."""
    encoded = data
    if method == ZIP_DEFLATED:
        stream = zlib.compressobj(wbits=-15)
        encoded = stream.compress(data) + stream.flush()
    return Entry(name, method, offset, zlib.crc32(data), len(data), len(encoded)), encoded


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0/\\"), min_size=1, max_size=30)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, st.tuples(st.binary(max_size=200), st.booleans()), max_size=6))
def test_zipfile_reads_what_is_written(tmp_path, members):
    entries, end = [], 0
    with (tmp_path / "a.zip").open("wb") as file:
        for name, (data, deflated) in members.items():
            entry, encoded = entry_of(name, end, data, ZIP_DEFLATED if deflated else ZIP_STORED)
            place(file, entry, encoded)
            entries.append(entry)
            end = file.tell()
        file.write(directory(entries, end))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            name: data for name, (data, _) in members.items()
        }
        for info in archive.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)


def test_the_header_has_one_length_whatever_the_sizes():
    small, large = Entry("a", ZIP_STORED, 0), Entry("a", ZIP_STORED, 2**40, 1, 2**50, 2**50)
    assert len(local_header(small)) == len(local_header(large))


@pytest.mark.parametrize("offset", [4 * GIB - 2, 4 * GIB - 1, 4 * GIB, 9 * GIB])
def test_an_archive_may_be_larger_than_4_gib(tmp_path, offset):
    """The file has holes, and takes no space."""
    first, encoded_first = entry_of("first", 0, b"one")
    last, encoded_last = entry_of("last", offset, b"two")
    with (tmp_path / "a.zip").open("wb") as file:
        place(file, first, encoded_first)
        place(file, last, encoded_last)
        file.write(directory([first, last], file.tell()))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert [info.header_offset for info in archive.infolist()] == [0, offset]


@pytest.mark.parametrize("nbytes", [4 * GIB - 2, 4 * GIB - 1, 4 * GIB, 5 * GIB])
def test_a_member_may_be_larger_than_4_gib(tmp_path, nbytes):
    entry = Entry("large", ZIP_STORED, 0, 0, nbytes, nbytes)
    with (tmp_path / "a.zip").open("wb") as file:
        place(file, entry, b"begin")
        end = len(local_header(entry)) + nbytes
        file.seek(end)
        file.write(directory([entry], end))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        (info,) = archive.infolist()
        assert (info.file_size, info.compress_size) == (nbytes, nbytes)
        with archive.open(info) as member:
            assert member.read(7) == b"begin\0\0"


@pytest.mark.parametrize("count", [65_534, 65_535, 65_536])
def test_an_archive_may_have_more_than_65535_members(tmp_path, count):
    entries, end = [], 0
    with (tmp_path / "a.zip").open("wb") as file:
        for number in range(count):
            entry, encoded = entry_of(str(number), end, b"x")
            file.write(local_header(entry) + encoded)
            end += len(local_header(entry)) + 1
            entries.append(entry)
        file.write(directory(entries, end))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len(archive.infolist()) == count
        assert archive.read(str(count - 1)) == b"x"
