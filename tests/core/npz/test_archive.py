"""NpzArchive: what NumPy saved is read; what is damaged or hostile is a SourceError, whatever it is."""

import io
import os
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from ptychoproduct.errors import OptionError, SourceError
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.npz.stored_array import StoredArray

MARKER = "made-by-a-pickle"
SMALL = {"a": np.arange(12, dtype="<f4").reshape(3, 4), "count": np.arange(5, dtype="<i8")}

# Offsets in an entry of the central directory: APPNOTE.TXT of PKWARE, 4.3.12.
FLAGS, METHOD, CRC, COMPRESS_SIZE, FILE_SIZE, NAME_LENGTH, HEADER_OFFSET, NAME = 8, 10, 16, 20, 24, 28, 42, 46

# Python and NumPy warn of some of the text that a changed byte makes of a header.
DAMAGED_HEADERS = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::SyntaxWarning", "ignore:Reading .*:UserWarning"
)

ARRAYS = {
    "float32": np.arange(24, dtype="f4").reshape(2, 3, 4),
    "big-endian": np.arange(24, dtype=">f4").reshape(4, 6),
    "fortran": np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
    "fortran-big-endian": np.asfortranarray(np.arange(24, dtype=">c16").reshape(2, 3, 4)),
    "one-dimension": np.arange(7, dtype="u2"),
    "no-dimension": np.array(2.5),
    "empty": np.empty((3, 0, 2), "f8"),
    "empty-fortran": np.asfortranarray(np.empty((3, 0, 2), "f8")),
    "bool": np.array([True, False, True]),
    "half": np.array([1.5, -0.0, np.nan], "f2"),
    "complex": np.array([1 + 2j, 3 - 4j], "c8"),
    "text": np.array(["a", "λ", ""]),
    "text-no-dimension": np.array('{"key": 1}'),
    "bytes": np.array([b"abc", b"d"]),
    "dates": np.array(["2026-11-01", "NaT"], "M8[D]"),
    "durations": np.array([1, 2], ">m8[ms]"),
    "record": np.array([(1, (2.0, 3.0)), (4, (5.0, 6.0))], [("n", "<i4"), ("xy", ">f8", (2,))]),
    "padded-record": np.zeros(3, {"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [0, 8], "itemsize": 16}),
    "large": np.arange(200_000, dtype="i8"),
}


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class OneWay(io.RawIOBase):
    """A stream that cannot seek, such as a pipe: zipfile then writes sizes behind the data only."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += data
        return len(data)


def npz_bytes(compress=False, arrays=None):
    file = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(file, **(arrays or SMALL))
    return file.getvalue()


def npy_bytes(array, version=(1, 0)):
    file = io.BytesIO()
    npy.write_array(file, array, version=version)
    return file.getvalue()


def header_bytes(text, data=b""):
    text = text.encode("latin1") + b"\n"
    return npy.MAGIC_PREFIX + b"\1\0" + struct.pack("<H", len(text)) + text + data


def write_zip(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def patched(data, offset, form, value, entry=0):
    """Change a field of an entry of the central directory."""
    data = bytearray(data)
    start = -1
    for _ in range(entry + 1):
        start = data.index(b"PK\1\2", start + 1)
    struct.pack_into(form, data, start + offset, value)
    return bytes(data)


def read_all(path):
    with NpzArchive(path) as archive:
        return {key: array.read() for key, array in archive.members.items()}


def read_in_parts(array, size=10):
    data = bytearray(array.nbytes)
    reading = array.reading()
    for start in range(0, len(data), size):
        reading.read_into(start, memoryview(data)[start : start + size])
    reading.finish()
    return bytes(data)


def read_bytes(array):
    return array.as_bytes().read().tobytes()


READERS = [StoredArray.read, StoredArray.verify, read_bytes, read_in_parts]


def assert_same(arrays, expected):
    assert list(arrays) == list(expected)
    for key, array in expected.items():
        found = arrays[key]
        assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def assert_source_error_or(path, expected):
    """Nothing but SourceError, or arrays as they were."""
    try:
        arrays = read_all(path)
    except SourceError:
        return
    assert_same(arrays, expected)


@pytest.fixture
def archive_of(tmp_path):
    """A function that writes bytes to a file, and gives its path."""

    def write(data):
        path = tmp_path / "scan.npz"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_is_read_as_numpy_saved_it_but_in_native_order(archive_of, compress, array):
    expected = np.asarray(array, array.dtype.newbyteorder("="))
    assert_same(read_all(archive_of(npz_bytes(compress, {"x": array}))), {"x": expected})


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_what_is_read_is_in_c_order(archive_of, array):
    assert read_all(archive_of(npz_bytes(arrays={"x": array})))["x"].flags.c_contiguous


@pytest.mark.parametrize("compress", [False, True])
def test_members_say_what_is_stored(archive_of, compress):
    arrays = {"a": np.zeros((2, 3), ">f4"), "b": np.zeros((2, 3), "u1", order="F"), "c": np.array(1.0)}
    with NpzArchive(archive_of(npz_bytes(compress, arrays))) as archive:
        found = [
            (m.key, m.member, m.dtype.str, m.shape, m.fortran_order, m.is_array, m.nbytes)
            for m in archive.members.values()
        ]
    assert found == [
        ("a", "a.npy", ">f4", (2, 3), False, True, 24),
        ("b", "b.npy", "|u1", (2, 3), True, True, 6),
        ("c", "c.npy", "<f8", (), False, True, 8),
    ]


def test_members_keep_the_order_of_the_archive(archive_of):
    names = ["z", "a", "m", "b"]
    with NpzArchive(archive_of(npz_bytes(arrays=dict.fromkeys(names, np.zeros(1))))) as archive:
        assert list(archive.members) == names


def test_an_archive_without_members_is_empty(tmp_path):
    assert read_all(write_zip(tmp_path / "a.npz", {})) == {}


def test_a_key_that_is_missing_is_a_source_error_that_lists_the_others(archive_of):
    with NpzArchive(archive_of(npz_bytes())) as archive, pytest.raises(SourceError, match=r"xcoords.*only a, count"):
        archive.require("xcoords")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("step", [1, 7, 64, 4096])
def test_the_data_is_read_in_steps_of_any_size(archive_of, compress, step):
    # Zeros deflate a thousandfold: many steps come from one byte of input.
    array = np.zeros(5000, "u1")
    array[::1000] = 9
    with NpzArchive(archive_of(npz_bytes(compress, {"x": array}))) as archive:
        data = read_in_parts(archive.members["x"], step)
    assert data == array.tobytes()


@pytest.mark.parametrize("compress", [False, True])
def test_data_that_is_read_beyond_its_end_is_a_source_error(archive_of, compress):
    with NpzArchive(archive_of(npz_bytes(compress))) as archive:
        reading = archive.members["a"].reading()
        with pytest.raises(SourceError, match="early"):
            reading.read_into(0, memoryview(bytearray(49)))


def test_parts_may_be_read_from_many_threads(archive_of):
    array = np.random.default_rng(0).integers(0, 255, 100_000, np.uint8)
    result = np.empty_like(array)
    with NpzArchive(archive_of(npz_bytes(arrays={"x": array}))) as archive, ThreadPoolExecutor(8) as pool:
        reading = archive.members["x"].reading()
        list(pool.map(lambda i: reading.read_into(i, memoryview(result)[i : i + 1000]), range(0, 100_000, 1000)))
        reading.finish()
    assert result.tobytes() == array.tobytes()


def test_a_deflated_member_is_read_in_order(archive_of):
    with NpzArchive(archive_of(npz_bytes(compress=True))) as archive, pytest.raises(ValueError, match="deflated"):
        archive.members["a"].reading().read_into(8, memoryview(bytearray(8)))


@pytest.mark.parametrize("ranges", [[], [(0, 24)], [(0, 12), (24, 48)], [(0, 30), (20, 48)]])
def test_parts_that_do_not_make_up_the_member_are_no_verified_whole(archive_of, ranges):
    with NpzArchive(archive_of(npz_bytes())) as archive:
        reading = archive.members["a"].reading()
        for start, stop in ranges:
            reading.read_into(start, memoryview(bytearray(stop - start)))
        with pytest.raises(ValueError, match="read"):
            reading.finish()


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip", b"\x93NUMPY\1\0", b"PK\5\6" + bytes(17), bytes(1000)])
def test_a_file_that_is_no_zip_archive_is_a_source_error(archive_of, content):
    with pytest.raises(SourceError, match=r"the ZIP archive cannot be read|this is "):
        NpzArchive(archive_of(content))


def test_an_npy_file_is_a_source_error(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(SourceError, match=r"the ZIP archive cannot be read|this is "):
        NpzArchive(tmp_path / "a.npy")


def test_a_missing_file_is_a_source_error(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        NpzArchive(tmp_path / "scan.npz")


def test_a_folder_is_a_source_error(tmp_path):
    with pytest.raises(SourceError, match="a directory"):
        NpzArchive(tmp_path)


@pytest.mark.parametrize("compress", [False, True])
def test_a_file_that_is_cut_anywhere_is_a_source_error(archive_of, compress):
    data = npz_bytes(compress)
    for length in range(0, len(data), 7):
        path = archive_of(data[:length])
        with pytest.raises(SourceError):
            read_all(path)


@settings(deadline=None, max_examples=150)
@given(st.booleans(), st.data())
def test_a_file_that_is_cut_or_lacks_a_piece_is_a_source_error_or_sound(tmp_path_factory, compress, data):
    content = npz_bytes(compress)
    start = data.draw(st.integers(0, len(content) - 1))
    stop = data.draw(st.just(len(content)) | st.integers(start, len(content)))
    path = tmp_path_factory.mktemp("a") / "a.npz"
    path.write_bytes(content[:start] + content[stop:])
    assert_source_error_or(path, SMALL)


@DAMAGED_HEADERS
@settings(deadline=None, max_examples=600)
@given(st.booleans(), st.data())
def test_a_changed_byte_is_a_source_error_or_changes_nothing(tmp_path_factory, compress, data):
    content = bytearray(npz_bytes(compress))
    # The directory and the headers more often than the data.
    offset = data.draw(st.integers(0, len(content) - 1) | st.integers(len(content) - 130, len(content) - 1))
    content[offset] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("a") / "a.npz"
    path.write_bytes(content)
    assert_source_error_or(path, SMALL)


@DAMAGED_HEADERS
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("mask", [0x01, 0x08, 0x20, 0x80, 0xFF])
def test_every_single_changed_byte_is_a_source_error_or_changes_nothing(archive_of, compress, mask):
    content = npz_bytes(compress)
    for offset in range(len(content)):
        changed = bytearray(content)
        changed[offset] ^= mask
        assert_source_error_or(archive_of(changed), SMALL)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_source_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("a") / "a.npz"
    path.write_bytes(content)
    with pytest.raises(SourceError):
        read_all(path)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("read", READERS)
def test_a_wrong_checksum_is_found(archive_of, compress, read):
    path = archive_of(patched(npz_bytes(compress), CRC, "<I", 0x12345678))
    with NpzArchive(path) as archive, pytest.raises(SourceError, match=r"CRC-32.*12345678"):
        read(archive.members["a"])


@pytest.mark.parametrize("size", [1, 10, 48])
def test_a_wrong_checksum_is_found_in_parts(archive_of, size):
    path = archive_of(patched(npz_bytes(), CRC, "<I", 0x12345678))
    with NpzArchive(path) as archive, pytest.raises(SourceError, match=r"CRC-32.*12345678"):
        read_in_parts(archive.members["a"], size)


@pytest.mark.parametrize("read", READERS)
def test_a_changed_value_is_found(archive_of, read):
    data = bytearray(npz_bytes())
    data[data.index(SMALL["a"].tobytes()) + 20] ^= 1
    with NpzArchive(archive_of(data)) as archive, pytest.raises(SourceError, match="CRC-32"):
        read(archive.members["a"])


@pytest.mark.parametrize("compress", [False, True])
def test_data_that_was_read_in_part_only_does_not_pass_for_verified(archive_of, compress):
    with NpzArchive(archive_of(npz_bytes(compress))) as archive:
        reading = archive.members["a"].reading()
        reading.read_into(0, memoryview(bytearray(5)))
        with pytest.raises(ValueError, match="was read up to"):
            reading.finish()


@pytest.mark.parametrize("flags", [0x1, 0x41, 0x801])
def test_an_encrypted_member_is_a_source_error(archive_of, flags):
    with pytest.raises(SourceError, match="encrypted"):
        NpzArchive(archive_of(patched(npz_bytes(), FLAGS, "<H", flags)))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_source_errors(tmp_path, method):
    path = write_zip(tmp_path / "a.npz", {"a.npy": npy_bytes(np.zeros(3))}, method)
    with pytest.raises(SourceError, match="stored or deflated"):
        NpzArchive(path)


@pytest.mark.parametrize("method", [1, 6, 9, 93, 99, 65535])
def test_unknown_compressions_are_source_errors(archive_of, method):
    with pytest.raises(SourceError, match="stored or deflated"):
        NpzArchive(archive_of(patched(npz_bytes(), METHOD, "<H", method)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a.npy", "a.npy"), ("a", "a.npy")])
def test_two_members_of_one_name_are_a_source_error(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for name in names:
            file.writestr(name, npy_bytes(np.zeros(3)))
    with pytest.raises(SourceError, match="two members of one name"):
        NpzArchive(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["/a.npy", "../a.npy", "a/../../b.npy", "..", "C:\\a.npy", "..\\a.npy"])
def test_a_name_that_is_a_path_out_of_the_archive_is_a_source_error(tmp_path, name):
    path = write_zip(tmp_path / "a.npz", {name: npy_bytes(np.zeros(3))})
    with pytest.raises(SourceError, match="member name inside the archive"):
        NpzArchive(path)


@pytest.mark.parametrize("name", ["sub/a", "a.b", "..a", "λ", "a b", "-rf"])
def test_unusual_names_inside_the_archive_are_keys(tmp_path, name):
    path = write_zip(tmp_path / "a.npz", {f"{name}.npy": npy_bytes(np.arange(3))})
    assert read_all(path)[name].tolist() == [0, 1, 2]


def test_a_name_in_the_directory_that_is_not_the_members_is_a_source_error(archive_of):
    data = bytearray(npz_bytes())
    data[data.rindex(b"count.npy")] = ord("m")
    with pytest.raises(SourceError):
        read_all(archive_of(data))


def test_a_member_whose_directory_entry_calls_it_a_folder_is_not_lost(archive_of):
    data = bytearray(npz_bytes())
    data[data.rindex(b"count.npy") + 8] = ord("/")
    with pytest.raises(SourceError):
        read_all(archive_of(data))


@pytest.mark.parametrize(("offset", "value"), [(NAME_LENGTH, 0), (NAME, 0)])
def test_a_member_without_a_name_is_a_source_error(archive_of, offset, value):
    # Of no letters, or of a NUL first, at which names end.
    with pytest.raises(SourceError):
        read_all(archive_of(patched(npz_bytes(), offset, "<B", value)))


def test_folders_are_no_members(tmp_path):
    path = write_zip(tmp_path / "a.npz", {"folder/": b"", "folder/a.npy": npy_bytes(np.zeros(2))})
    assert list(read_all(path)) == ["folder/a"]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("size", [0, 1, 127, 175, 177, 1000, 100_000, 2**31, 2**32 - 2, 2**32 - 1])
def test_a_size_in_the_directory_that_is_not_the_members_is_a_source_error(archive_of, compress, size):
    path = archive_of(patched(npz_bytes(compress), FILE_SIZE, "<I", size))
    with pytest.raises(SourceError):
        read_all(path)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("size", [0, 1, 30, 100_000, 2**31, 2**32 - 2, 2**32 - 1])
def test_a_compressed_size_that_lies_is_a_source_error_or_ignored(archive_of, compress, size):
    assert_source_error_or(archive_of(patched(npz_bytes(compress), COMPRESS_SIZE, "<I", size)), SMALL)


@pytest.mark.parametrize("entry", [0, 1])
@pytest.mark.parametrize("offset", [1, 30, 100, 100_000, 2**31, 2**32 - 2, 2**32 - 1])
def test_an_offset_in_the_directory_at_which_no_member_is_is_a_source_error(archive_of, entry, offset):
    path = archive_of(patched(npz_bytes(), HEADER_OFFSET, "<I", offset, entry))
    with pytest.raises(SourceError):
        read_all(path)


def test_an_entry_that_points_to_another_member_is_a_source_error(archive_of):
    with pytest.raises(SourceError):
        read_all(archive_of(patched(npz_bytes(), HEADER_OFFSET, "<I", 0, entry=1)))


def test_a_size_that_no_compression_reaches_is_refused_before_anything_is_read(tmp_path):
    # 1 TB of zeros cannot come out of a few bytes.
    path = tmp_path / "a.npz"
    write_zip(path, {"a.npy": npy_bytes(np.zeros(100_000))}, zipfile.ZIP_DEFLATED)
    path.write_bytes(patched(path.read_bytes(), FILE_SIZE, "<I", 2**32 - 2))
    with pytest.raises(SourceError, match="sizes that fit"):
        NpzArchive(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("shape", "nbytes"),
    [
        ("(3,)", 8),
        ("(1,)", 8),
        ("()", 8),
        ("(0,)", 8),
        ("(2, 2)", 8),
        ("(1000000000000,)", 8),
        ("(-2,)", 8),
        ("(-2, -3)", 24),
        ("(-1, 0)", 0),
        ("(0, -1)", 0),
        (f"(0, {10**30})", 0),
        (f"({2**62}, {2**62}, 0)", 0),
        (f"({2**32}, {2**32})", 0),
        ("(True, True)", 4),
        (f"({'1, ' * 70})", 4),
    ],
)
def test_a_header_that_lies_about_its_shape_is_a_source_error(tmp_path, method, shape, nbytes):
    header = header_bytes(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}", bytes(nbytes))
    with pytest.raises(SourceError, match="a"):
        read_all(write_zip(tmp_path / "a.npz", {"a.npy": header}, method))


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_same_header_with_a_true_shape_is_read(tmp_path, order):
    header = header_bytes(f"{{'descr': '<f4', 'fortran_order': {order == 'F'}, 'shape': (2, 1)}}", bytes(8))
    assert read_all(write_zip(tmp_path / "a.npz", {"a.npy": header}))["a"].tolist() == [[0], [0]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "\0",
        "{}",
        "{[]: 1}",
        "'''",
        "(" * 5000,
        "-" * 9000 + "1",
        "[" * 90 + "]" * 90,
        "  a\n b",
        "__import__('os').mkdir('made')",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}\n(",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 2}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,)}",
        "{'descr': '<f3', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': ',f4', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': (), 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [()], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': None, 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [('a', '<f4', (-1,))], 'fortran_order': False, 'shape': (2,)}",
        f"{{'descr': [('a', '<f4', ({10**30},))], 'fortran_order': False, 'shape': (2,)}}",
        "{'descr': [('a', '<f4'), ('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<M8[junk]', 'fortran_order': False, 'shape': (1,)}",
    ],
    ids=lambda text: repr(text[:70]),
)
def test_a_header_that_is_no_npy_header_is_a_source_error(tmp_path, text):
    with pytest.raises(SourceError, match="a"):
        read_all(write_zip(tmp_path / "a.npz", {"a.npy": header_bytes(text, bytes(8))}))


@DAMAGED_HEADERS
@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_damaged_header_is_a_source_error_or_gives_an_array(tmp_path_factory, data):
    # The checksum is that of the damaged member: only the header's reader stands in the way.
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(start + 3, len(text))))
    pieces = st.sampled_from(
        ["(", ")", "{", "[", "]", "'", '"', "-", "0", "9", ",", "\\", "\n", " ", "O", "T", "V0", "S"]
    )
    middle = data.draw(
        st.lists(pieces, max_size=3).map("".join) | st.text(st.characters(max_codepoint=255), max_size=3)
    )
    path = tmp_path_factory.mktemp("a") / "a.npz"
    write_zip(path, {"a.npy": header_bytes(text[:start] + middle + text[stop:], bytes(24))})
    try:
        arrays = read_all(path)
    except SourceError:
        return
    (array,) = arrays.values()
    assert isinstance(array, np.ndarray)
    assert not array.dtype.hasobject


@pytest.mark.parametrize("descr", ["|S0", "|V0", "<U0"])
@pytest.mark.parametrize("length", [3, 10**15])
def test_elements_of_no_bytes_do_not_ask_for_memory(tmp_path, descr, length):
    header = header_bytes(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({length},)}}")
    try:
        arrays = read_all(write_zip(tmp_path / "a.npz", {"a.npy": header}))
    except SourceError:
        return
    assert all(array.nbytes < 1000 for array in arrays.values())


@pytest.mark.parametrize("length", [0, 1, 5, 6, 7, 8, 9, 10, 50, 127])
def test_a_member_that_ends_within_its_header_is_a_source_error_or_opaque(tmp_path, length):
    data = npy_bytes(np.zeros(4))[:length]
    try:
        arrays = read_all(write_zip(tmp_path / "a.npz", {"a.npy": data}))
    except SourceError:
        return
    assert [array.tobytes() for array in arrays.values()] == [data]


def test_an_object_array_is_a_member(archive_of):
    with NpzArchive(archive_of(npz_bytes(arrays={"x": np.array({"a": 1}, dtype=object)}))) as archive:
        member = archive.members["x"]
        assert (member.dtype, member.shape, member.is_array) == (np.dtype(object), (), True)


@pytest.mark.parametrize("compress", [False, True])
def test_a_pickled_none_is_a_member_that_is_not_there(archive_of, compress):
    path = archive_of(npz_bytes(compress, SMALL | {"Y": None, "objects": np.array([None]), "scan_index": None}))
    with np.load(path, allow_pickle=True) as saved:
        assert [key for key in saved if saved[key].shape == () and saved[key][()] is None] == ["Y", "scan_index"]
    with NpzArchive(path) as archive:
        assert archive.absent == ("Y", "scan_index")
        assert list(archive.members) == [*SMALL, "objects"]


def test_a_damaged_none_is_told(archive_of):
    data = patched(npz_bytes(arrays={"Y": None}), CRC, "<L", 1)
    with pytest.raises(SourceError, match=r"Y\.npy: found CRC-32"):
        NpzArchive(archive_of(data))


@pytest.mark.parametrize(
    "member",
    [npy_bytes(np.array([{}])), header_bytes("damaged"), b"text", npy_bytes(np.zeros(5))[:-1]],
    ids=["pickled", "damaged", "no array", "truncated"],
)
def test_members_are_left_out_whatever_they_are(tmp_path, member):
    path = write_zip(tmp_path / "a.npz", {"x.npy": npy_bytes(np.arange(3.0)), "Y.npy": member})
    with NpzArchive(path, drop=["Y"]) as archive:
        assert archive.members["x"].read().tolist() == [0, 1, 2]
        assert list(archive.members) == ["x"]


def test_a_member_of_another_method_is_left_out(tmp_path):
    path = write_zip(tmp_path / "a.npz", {"x.npy": npy_bytes(np.arange(3.0))})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as file:
        file.writestr("Y.npy", npy_bytes(np.zeros(5)))
    with pytest.raises(SourceError, match="ZIP method 14"):
        NpzArchive(path)
    with NpzArchive(path, drop=["Y"]) as archive:
        assert list(archive.members) == ["x"]


def test_a_member_to_leave_out_has_to_be_there(archive_of):
    with pytest.raises(OptionError, match="drop: there is no member 'Y' to leave out; the file has a, count"):
        NpzArchive(archive_of(npz_bytes()), drop=["a", "Y"])


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("padding", [b"\0", b"\0" * 1000, b"\xff" * 512, b"\1\2\3" * 7, b"\0" * 65536, b"PK\3\4PK\1\2"])
def test_bytes_behind_an_archive_are_no_part_of_it(archive_of, compress, padding):
    path = archive_of(npz_bytes(compress) + padding)
    with np.load(path) as saved:
        expected = dict(saved)
    assert list(expected) == list(SMALL)
    assert_same(read_all(path), expected)


def test_a_comment_and_bytes_behind_it(archive_of):
    path = archive_of(npz_bytes())
    with zipfile.ZipFile(path, "a") as file:
        file.comment = b"a comment"
    path.write_bytes(path.read_bytes() + b"\0" * 1000)
    with np.load(path) as saved:
        assert list(saved) == list(read_all(path))


@pytest.mark.parametrize("compress", [False, True])
def test_an_object_array_is_refused_by_read(archive_of, compress):
    path = archive_of(npz_bytes(compress, {"x": np.array([1, "a", None], dtype=object)}))
    with NpzArchive(path) as archive, pytest.raises(SourceError, match="x"):
        archive.members["x"].read()


def test_an_object_array_is_never_unpickled(archive_of, tmp_path):
    marker = tmp_path / MARKER
    path = archive_of(npz_bytes(arrays={"x": np.array([Evil(marker)], dtype=object), "y": np.zeros(2)}))
    with NpzArchive(path) as archive:
        for member in archive.members.values():
            read_bytes(member)
            read_in_parts(member)
        with pytest.raises(SourceError):
            archive.members["x"].read()
    assert not marker.exists()


def test_the_same_pickle_acts_where_numpy_is_told_to_open_it(archive_of, tmp_path):
    # Or the test above could not fail.
    marker = tmp_path / MARKER
    _ = np.load(archive_of(npz_bytes(arrays={"x": np.array([Evil(marker)], dtype=object)})), allow_pickle=True)["x"]
    assert marker.exists()


def test_a_record_with_objects_in_it_is_refused(archive_of):
    path = archive_of(npz_bytes(arrays={"x": np.array([(1, None)], [("a", "i4"), ("b", object)])}))
    with NpzArchive(path) as archive, pytest.raises(SourceError):
        archive.members["x"].read()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["notes.txt", "README", "empty", "image.npy"])
def test_a_member_that_is_no_npy_file_is_its_bytes(tmp_path, method, name):
    content = b"" if name == "empty" else b"some text " * 100
    with NpzArchive(write_zip(tmp_path / "a.npz", {name: content}, method)) as archive:
        member = archive.members[name]
        assert (member.is_array, member.dtype, member.shape) == (False, np.uint8, (len(content),))
        assert member.read().tobytes() == read_bytes(member) == content


@pytest.mark.parametrize("compress", [False, True])
def test_the_bytes_of_a_member_have_its_npy_header(archive_of, compress):
    with NpzArchive(archive_of(npz_bytes(compress))) as archive:
        data = read_bytes(archive.members["a"])
    assert np.load(io.BytesIO(data)).tobytes() == SMALL["a"].tobytes()


def test_npy_format_2_is_read(tmp_path):
    array = np.zeros(3, [(f"field{i}", "<f4") for i in range(300)])
    array["field7"] = 7
    path = write_zip(tmp_path / "a.npz", {"a.npy": npy_bytes(array, (2, 0))})
    assert_same(read_all(path), {"a": array})


def test_npy_format_3_keeps_its_bytes(tmp_path):
    data = npy_bytes(np.zeros(3, [("λ", "<f4")]), (3, 0))
    with NpzArchive(write_zip(tmp_path / "a.npz", {"a.npy": data})) as archive:
        (member,) = archive.members.values()
        assert read_bytes(member) == data


@pytest.mark.filterwarnings("ignore:Stored array in format 2.0")
@pytest.mark.parametrize("fields", [700, 4000])
def test_a_header_longer_than_numpy_reads_is_a_source_error(tmp_path, fields):
    data = npy_bytes(np.zeros(3, [(f"field{i}", "<f4") for i in range(fields)]), None)
    with pytest.raises(SourceError, match="header"):
        read_all(write_zip(tmp_path / "a.npz", {"a.npy": data}))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("prefix", [b"", b"#!/bin/sh\n", bytes(5000)])
@pytest.mark.parametrize("comment", [b"", b"a comment", b"x" * 60_000])
def test_bytes_before_the_archive_and_a_comment_behind_it_do_not_matter(tmp_path, compress, prefix, comment):
    path = tmp_path / "a.npz"
    path.write_bytes(npz_bytes(compress))
    with zipfile.ZipFile(path, "a") as file:
        file.comment = comment
    path.write_bytes(prefix + path.read_bytes())
    assert_same(read_all(path), SMALL)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip64_sizes_are_read(tmp_path, method, monkeypatch):
    # A low limit makes zipfile write what it writes past 4 GiB: sizes, offsets and directory in their zip64 form.
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 20)
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", method) as file:
        for key, array in SMALL.items():
            with file.open(f"{key}.npy", "w", force_zip64=True) as member:
                member.write(npy_bytes(array))
    assert b"PK\6\6" in path.read_bytes()
    assert_same(read_all(path), SMALL)


@pytest.mark.parametrize("field", [0, 8, 16])
@pytest.mark.parametrize("value", [0, 2**40, 2**63 - 1, 2**63, 2**64 - 1])
def test_zip64_sizes_that_lie_are_source_errors_or_ignored(tmp_path, monkeypatch, field, value):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 20)
    path = write_zip(tmp_path / "a.npz", {f"{key}.npy": npy_bytes(array) for key, array in SMALL.items()})
    data = bytearray(path.read_bytes())
    # The second entry has all three: size, compressed size, offset.
    extra = data.index(b"\1\0\x18\0", data.index(b"PK\1\2", data.index(b"PK\1\2") + 1))
    struct.pack_into("<Q", data, extra + 4 + field, value)
    path.write_bytes(data)
    assert_source_error_or(path, SMALL)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_whose_sizes_stand_behind_them_are_read(archive_of, method):
    stream = OneWay()
    with zipfile.ZipFile(stream, "w", method) as file:
        for key, array in SMALL.items():
            file.writestr(f"{key}.npy", npy_bytes(array))
    assert stream.data[6] & 0x8  # data descriptors
    assert_same(read_all(archive_of(stream.data)), SMALL)


def test_a_message_from_a_file_is_one_line_without_control_characters(tmp_path):
    path = write_zip(tmp_path / "a.npz", {"a\n\x1b[31mb.npy": header_bytes("\n\n\x1b[31m")})
    with pytest.raises(SourceError) as raised:
        NpzArchive(path)
    assert str(raised.value).isprintable()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="Linux counts open files there")  # noqa: PTH112
@pytest.mark.parametrize("content", [b"no zip", patched(npz_bytes(), FLAGS, "<H", 1), npz_bytes()[:300]])
def test_an_archive_that_is_refused_is_closed(archive_of, content):
    path = archive_of(content)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    with pytest.raises(SourceError):
        NpzArchive(path)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
