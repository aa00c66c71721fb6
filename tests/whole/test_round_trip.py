"""A scan becomes a product and a scan again: every member comes back, bit for bit, and nothing else does."""

import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from ptychoproduct import ExportOptions, SourceError, export_product_from_npz, import_product_to_npz

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}

MIB = 1024**2
# Axes of a canonical [N, H, W] array in the order of the file.
TRANSPOSED = {"NHW": (0, 1, 2), "HNW": (1, 0, 2), "HWN": (1, 2, 0)}
CODECS = ("none", "gzip:1", "shuffle+gzip:1", "zstd:1", "bitshuffle-lz4", "bitshuffle-zstd:1,block=64KiB")
FRAME_DTYPES = ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
EXTRA_DTYPES = (
    *(*FRAME_DTYPES, "F", "D", "g", "G", "S3", "U4", "M8[ns]", "m8[s]", "V5"),
    [("row", "<i2"), ("value", ">f8")],
    np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8], "itemsize": 24}),
)
ODD_NAMES = (
    "Y",
    "norm_Y_I",
    "bad_pixels",
    "diffraction",
    "diffraction_",
    "raw_data",
    "raw_data/diffraction",
    "raw_data_diffraction",
    "xcoords_",
    "Xcoords",
    "scan_index ",
    "probeGuess_",
    "object",
    "source_member",
    "",
    ".",
    "..",
    "...",
    "_",
    "a/b",
    "a_b",
    "a/./b",
    "a//b",
    "./a",
    "a/",
    "x.npy",
    "x.npy.npy",
    " with spaces ",
    "new\nline",
    "Å/µ·ψ",
    "\N{GRINNING FACE}",
    "e\u0301",
)


def write_npz(path, arrays, *, compress=False):
    """Write members of any name and layout; `numpy.savez` reserves some names."""
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w") as member:
                npy.write_array(member, array, allow_pickle=True)
    return path


def read_npz(path):
    """Give all members, NPY files as arrays; unlike `numpy.load` it can tell `x` from `x.npy`."""
    members = {}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            with archive.open(name) as member:
                is_array = member.peek(6).startswith(npy.MAGIC_PREFIX)
                members[name] = npy.read_array(member, allow_pickle=True) if is_array else member.read()
    return members


def round_trip(source, folder, *, options=None, **import_options):
    product, back = folder / "product.h5", folder / "back.npz"
    export_product_from_npz(source, product, options=options)
    import_product_to_npz(product, back, **import_options)
    return read_npz(back)


def native(array):
    return array.astype(array.dtype.newbyteorder("="))


def assert_same(found, expected):
    """Same members, types in native byte order, shapes and bytes."""
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        other = found[name]
        if isinstance(array, bytes):
            assert other == array, name
            continue
        array = native(array)
        assert (other.dtype, other.shape) == (array.dtype, array.shape), name
        if array.dtype.hasobject:
            assert other.tolist() == array.tolist(), name
            continue
        # What lies between the fields of a record is not part of the data.
        for part, other_part in zip(fields(array), fields(other), strict=True):
            assert other_part.tobytes() == part.tobytes(), name


def fields(array):
    return [array[name] for name in array.dtype.names] if array.dtype.names else [array]


def as_members(arrays):
    return {f"{key}.npy": array for key, array in arrays.items()}


def filled(rng, dtype, shape):
    """Give an array of any type; floats of random bits, NaN with payload among them."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    if dtype.kind == "U":
        letters = np.array(list("abc µψ\N{GRINNING FACE}\0"))
        words = ["".join(rng.choice(letters, dtype.itemsize // 4)) for _ in range(count)]
        return np.array(words, dtype).reshape(shape)
    data = rng.bytes(count * dtype.itemsize)
    if dtype.kind == "b":
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(data, dtype).reshape(shape).copy()


def is_safe(key):
    parts = Path(f"{key}.npy").parts
    return not key.startswith("/") and ".." not in parts


keys = st.sampled_from(ODD_NAMES) | st.text(st.characters(codec="utf-8", exclude_characters="\0\\"), max_size=8).filter(
    is_safe
)
byte_orders = st.sampled_from("<>")


@st.composite
def scans(draw):
    """Give the arrays of a scan, frames in canonical order and memory layout apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positions = draw(st.integers(1, 9))
    frame_shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))

    def coordinates():
        dtype = np.dtype(draw(st.sampled_from(["f4", "f8", "i4", "u1"]))).newbyteorder(draw(byte_orders))
        return rng.uniform(8, 56, positions).astype(dtype)

    def wave(max_modes):
        dtype = np.dtype(draw(st.sampled_from(["c8", "c16"]))).newbyteorder(draw(byte_orders))
        modes = draw(st.integers(0, max_modes))
        shape = (*([modes] if modes else []), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
        array = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
        return np.asfortranarray(array) if draw(st.booleans()) else array

    frame_dtype = np.dtype(draw(st.sampled_from(FRAME_DTYPES))).newbyteorder(draw(byte_orders))
    frames = filled(rng, frame_dtype, (positions, *frame_shape))
    frame_key = draw(st.sampled_from(["diff3d", "diffraction"]))
    scan = {"xcoords": coordinates(), "ycoords": coordinates(), "probeGuess": wave(3)}
    for key in ("xcoords_start", "ycoords_start"):
        if draw(st.booleans()):
            scan[key] = coordinates()
    if draw(st.booleans()):
        scan["objectGuess"] = wave(0)
    if draw(st.booleans()):
        index_dtype = draw(st.sampled_from(["<i8", ">i8", "i4", "u2", "f8"]))
        scan["scan_index"] = (np.zeros(positions) if draw(st.booleans()) else np.arange(positions)).astype(index_dtype)
    if draw(st.booleans()):
        text = draw(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
        scan["_metadata"] = np.array(text, dtype=object)
    for key in draw(st.lists(keys, max_size=4, unique=True)):
        if key in scan or key in ("diff3d", frame_key):
            continue
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
        array = filled(rng, np.dtype(draw(st.sampled_from(EXTRA_DTYPES))).newbyteorder(draw(byte_orders)), shape)
        scan[key] = np.asfortranarray(array) if draw(st.booleans()) else array
    return frame_key, frames, scan


@settings(max_examples=80, **QUIET)
@given(
    scans(),
    st.sampled_from(list(TRANSPOSED)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(CODECS),
    st.none() | st.integers(1, 12),
    st.sampled_from([1, 100, 1024**3]),
)
def test_every_member_comes_back_and_no_other(
    tmp_path, scan, order, fortran, compress, compress_back, codec, chunk_frames, memory_bytes
):
    frame_key, frames, others = scan
    stored = frames.transpose(TRANSPOSED[order])
    stored = np.asfortranarray(stored) if fortran else np.ascontiguousarray(stored)
    source = write_npz(tmp_path / "scan.npz", others | {frame_key: stored}, compress=compress)
    options = ExportOptions(
        compression=codec, axis_order=order, chunk_frames=chunk_frames, memory_bytes=memory_bytes, threads=2
    )

    canonical = round_trip(source, tmp_path, options=options, compress=compress_back)
    original = tmp_path / "original.npz"
    import_product_to_npz(tmp_path / "product.h5", original, original_axis_order=True, memory_bytes=memory_bytes)

    assert_same(canonical, as_members(others | {frame_key: frames}))
    assert_same(read_npz(original), as_members(others | {frame_key: stored}))


@settings(max_examples=60, **QUIET)
@given(
    st.lists(keys, unique=True, max_size=12).filter(
        lambda names: not {"xcoords", "ycoords", "probeGuess", "objectGuess", "diff3d", "scan_index"} & set(names)
    )
)
@example(list(ODD_NAMES))
@example(list(reversed(ODD_NAMES)))
def test_keys_of_any_name_come_back(tmp_path, make_scan, names):
    extras = {name: np.array([number, len(name)]) for number, name in enumerate(names)}
    arrays = make_scan(**{"xcoords_start": None, "ycoords_start": None} | extras)
    source = write_npz(tmp_path / "scan.npz", arrays)
    assert_same(round_trip(source, tmp_path), as_members(arrays))


@pytest.mark.parametrize("order", TRANSPOSED)
def test_frames_come_back_in_their_own_order_when_it_was_found_out(tmp_path, make_scan, order):
    frames = np.arange(12 * 5 * 7, dtype=np.uint16).reshape(12, 5, 7).transpose(TRANSPOSED[order])
    source = write_npz(tmp_path / "scan.npz", make_scan(diff3d=np.ascontiguousarray(frames)))
    back = round_trip(source, tmp_path, original_axis_order=True)
    assert back["diff3d.npy"].tobytes() == frames.tobytes()


@pytest.mark.parametrize("dtype", EXTRA_DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 0, 2), (2, 3)], ids=str)
def test_extras_of_every_type_and_shape_come_back(tmp_path, make_scan, dtype, shape):
    arrays = make_scan(extra=filled(np.random.default_rng(3), dtype, shape))
    source = write_npz(tmp_path / "scan.npz", arrays)
    assert_same(round_trip(source, tmp_path), as_members(arrays))


def test_importing_text_of_bytes_warns_of_nothing(tmp_path, make_scan, recwarn):
    source = write_npz(tmp_path / "scan.npz", make_scan(words=np.array([b"a", b"bc"])))
    round_trip(source, tmp_path)
    assert [str(warning.message) for warning in recwarn if "metadata" in str(warning.message)] == []


@pytest.mark.parametrize("key", ["scan_index", "objectGuess", "xcoords_start", "ycoords_start"])
def test_a_scan_without_an_optional_key_gets_none_back(tmp_path, make_scan, key):
    arrays = make_scan(**{key: None})
    source = write_npz(tmp_path / "scan.npz", arrays)
    assert_same(round_trip(source, tmp_path), as_members(arrays))


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_metadata_of_every_pickle_protocol_comes_back(tmp_path, save_scan, protocol):
    source = save_scan()
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    pickled = pickle.dumps(np.array('{"nphotons": 1e6}', dtype=object), protocol)
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr("_metadata.npy", npy.magic(1, 0) + len(header).to_bytes(2, "little") + header + pickled)
    export_product_from_npz(source, tmp_path / "product.h5")
    import_product_to_npz(tmp_path / "product.h5", tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz", allow_pickle=True) as back:
        assert back["_metadata"].item() == '{"nphotons": 1e6}'


@pytest.mark.parametrize("text", ["before\0after", "\0", "\ud800", ""], ids=["nul inside", "nul", "surrogate", "empty"])
def test_metadata_of_odd_text_comes_back(tmp_path, make_scan, text):
    arrays = make_scan(_metadata=np.array(text, dtype=object))
    source = write_npz(tmp_path / "scan.npz", arrays)
    assert_same(round_trip(source, tmp_path), as_members(arrays))


def test_metadata_that_is_no_pickle_comes_back(tmp_path, make_scan):
    arrays = make_scan(_metadata=np.array('{"nphotons": 1e6}'))
    source = write_npz(tmp_path / "scan.npz", arrays)
    assert_same(round_trip(source, tmp_path), as_members(arrays))


def test_text_with_code_points_that_are_none_comes_back(tmp_path, make_scan):
    words = np.array([0x41, 0xD800, 0x110000, 0xFFFFFFFF], np.uint32).view("<U2")
    arrays = make_scan(words=words)
    source = write_npz(tmp_path / "scan.npz", arrays)
    back = round_trip(source, tmp_path)["words.npy"]
    assert (back.dtype, back.tobytes()) == (words.dtype, words.tobytes())


def test_members_that_are_no_arrays_come_back(tmp_path, make_scan):
    arrays = make_scan()
    source = write_npz(tmp_path / "scan.npz", arrays)
    texts = {"README.txt": b"measured at night\n", "notes/empty": b"", "broken.npy": b"not an array"}
    with zipfile.ZipFile(source, "a") as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    assert_same(round_trip(source, tmp_path), as_members(arrays) | texts)


def test_an_array_with_field_names_in_unicode_comes_back(tmp_path, make_scan):
    table = np.zeros(3, [("ψ", "f8")])
    with pytest.warns(UserWarning, match="format 3.0"):
        source = write_npz(tmp_path / "scan.npz", make_scan(table=table))
    assert_same(round_trip(source, tmp_path), as_members(make_scan(table=table)))


@pytest.mark.parametrize("name", ["/tmp/x.npy", "../x.npy", "a/../../x.npy", "a/../x.npy", "a\\..\\x.npy", "C:\\x.npy"])
def test_a_member_name_that_leads_out_of_the_archive_is_refused(tmp_path, save_scan, name):
    source = save_scan()
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(SourceError, match="a member name"):
        export_product_from_npz(source, tmp_path / "product.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.npz"]


def test_two_conversions_of_one_scan_give_the_same_archive(tmp_path, save_scan):
    source = save_scan(Y=np.arange(5), _metadata=np.array("{}", dtype=object))
    for number in (1, 2):
        export_product_from_npz(source, tmp_path / f"{number}.h5")
        import_product_to_npz(tmp_path / f"{number}.h5", tmp_path / f"{number}.npz")
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


def test_the_archive_that_came_back_makes_the_same_product(tmp_path, save_scan):
    export_product_from_npz(save_scan(), tmp_path / "first.h5")
    import_product_to_npz(tmp_path / "first.h5", tmp_path / "back.npz")
    export_product_from_npz(tmp_path / "back.npz", tmp_path / "second.h5")
    contents = []
    for name in ("first.h5", "second.h5"):
        with h5py.File(tmp_path / name) as file:
            found = {}
            file.visititems(
                lambda path, item, found=found: (
                    found.update({path: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
                )
            )
            contents.append(found)
    assert contents[0] == contents[1]


@pytest.mark.parametrize("compress", [False, True], ids=["stored", "deflated"])
@pytest.mark.parametrize("dtype", [">c8", "<u2"])
def test_a_large_extra_beside_the_frames_comes_back(tmp_path, make_scan, compress, dtype):
    number = 9 * MIB // 12 // np.dtype(dtype).itemsize // 256 + 1
    patches = (np.arange(12 * 256 * number) % 1009).reshape(12, 256, number).astype(dtype)
    assert patches.nbytes > 8 * MIB
    arrays = make_scan(Y=patches)
    source = write_npz(tmp_path / "scan.npz", arrays, compress=compress)
    assert_same(round_trip(source, tmp_path), as_members(arrays))


@pytest.mark.parametrize("compress", [False, True], ids=["stored", "deflated"])
@pytest.mark.parametrize("memory_bytes", [2 * MIB, 1024**3], ids=["some passes", "one pass"])
def test_a_large_extra_in_fortran_order_comes_back(tmp_path, make_scan, compress, memory_bytes):
    table = np.asfortranarray(np.arange(9 * MIB // 8, dtype=np.float64).reshape(1024, -1))
    arrays = make_scan(table=table)
    source = write_npz(tmp_path / "scan.npz", arrays, compress=compress)
    found = round_trip(source, tmp_path, options=ExportOptions(memory_bytes=memory_bytes))
    assert_same(found, as_members(arrays))


def test_a_large_extra_of_one_row_comes_back(tmp_path, make_scan):
    arrays = make_scan(table=np.arange(9 * MIB // 8, dtype=np.float64).reshape(1, -1))
    source = write_npz(tmp_path / "scan.npz", arrays)
    assert_same(round_trip(source, tmp_path), as_members(arrays))


def test_a_large_member_that_is_no_array_comes_back(tmp_path, make_scan):
    arrays = make_scan()
    source = write_npz(tmp_path / "scan.npz", arrays)
    log = b"frame taken\n" * (9 * MIB // 12)
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr("log.txt", log)
    assert_same(round_trip(source, tmp_path), as_members(arrays) | {"log.txt": log})
