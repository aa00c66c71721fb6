"""Products back to scans: what is given back, and what a hostile product cannot do."""

import json
import re
import zipfile
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ptychoproduct import (
    ContractError,
    DamageWarning,
    ExportMeta,
    ExportOptions,
    OutputError,
    ProductError,
    ProductWarning,
    RawData,
    ScanFiles,
    export_product_from_files,
    export_product_from_npz,
    export_product_from_rawdata,
    import_product_to_cxi,
    import_product_to_npz,
    import_product_to_rawdata,
    repack_product,
)
from ptychoproduct.hdf5.encoded_chunks import EncodedChunks

QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
FRAMES = "raw_data/diffraction"


@pytest.fixture
def product(save_scan, centered_meta, tmp_path):
    """A product with an extra array `Y`."""
    path = tmp_path / "product.h5"
    export_product_from_npz(save_scan(Y=np.arange(24.0).reshape(12, 2)), path, centered_meta)
    return path


@pytest.fixture
def bare_product(save_scan, centered_meta, tmp_path):
    """A product without raw data, as ptychodus writes them."""
    path = tmp_path / "bare.h5"
    export_product_from_npz(save_scan(), path, centered_meta, include_raw=False)
    return path


def edit(path, change):
    with h5py.File(path, "a") as file:
        change(file)
        file.attrs.pop("metadata_sha256", None)  # as the contract asks of those who change a product


def to_npz(path, **options):
    back = path.with_name("back.npz")
    summary = import_product_to_npz(path, back, **options)
    return back, summary


def keys_of(path):
    with np.load(path, allow_pickle=False) as archive:
        return sorted(archive.files)


def all_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def edit_chunk(path, number, byte):
    """Overwrite what is behind the sizes in a chunk of the frames."""
    with h5py.File(path) as file:
        chunk = file[FRAMES].id.get_chunk_info(number)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 16 : chunk.byte_offset + chunk.size] = bytes([byte]) * (chunk.size - 16)
    path.write_bytes(data)


# Many chunks.


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("order", ["NHW", "HWN"])
def test_many_chunks_come_back_in_order_and_are_counted(save_scan, centered_meta, tmp_path, compress, order):
    frames = np.random.default_rng(3).poisson(3, (300, 64, 64)).astype(np.uint16)
    coordinates = dict.fromkeys(("xcoords", "ycoords", "xcoords_start", "ycoords_start"), np.full(300, 9.0))
    scan = np.ascontiguousarray(frames.transpose(["NHW".index(axis) for axis in order]))
    source = save_scan(diff3d=scan, scan_index=np.arange(300), Y=np.ones((300, 64, 64), complex), **coordinates)
    options = ExportOptions(chunk_frames=7, axis_order=order)
    export_product_from_npz(source, tmp_path / "p.h5", centered_meta, options=options)
    counted = []
    back, _ = to_npz(tmp_path / "p.h5", compress=compress, original_axis_order=True, progress=counted.append)
    with np.load(back) as archive:
        assert archive["diff3d"].tobytes() == scan.tobytes()
        assert np.array_equal(archive["Y"], np.ones((300, 64, 64), complex))
    with zipfile.ZipFile(back) as archive:
        assert archive.testzip() is None
    assert sum(counted) == frames.nbytes


@pytest.mark.parametrize("compress", [False, True])
def test_a_damaged_chunk_is_named_and_leaves_no_archive(save_scan, centered_meta, tmp_path, compress):
    path = tmp_path / "p.h5"
    export_product_from_npz(save_scan(), path, centered_meta, options=ExportOptions(chunk_frames=5))
    edit_chunk(path, 1, 0xFF)
    with pytest.raises(ContractError, match=r"p.h5: /raw_data/diffraction: cannot be read: chunk \(5, 0, 0\)"):
        to_npz(path, compress=compress)
    assert all_files(tmp_path) == ["p.h5", "scan.npz"]


# Into memory.


def test_a_scan_in_memory_comes_back_equal(make_scan, centered_meta, tmp_path):
    fields = dict.fromkeys(RawData.__dataclass_fields__) | make_scan(
        Y=np.ones((12, 4), complex), norm_Y_I=np.array(2.5)
    )
    raw = RawData(**fields)
    raw.metadata = json.dumps({"nphotons": 1e6})
    export_product_from_rawdata(raw, tmp_path / "product.h5", centered_meta)
    back = import_product_to_rawdata(tmp_path / "product.h5")
    for name, value in vars(raw).items():
        found = getattr(back, name)
        if name == "metadata":
            assert found == value
        else:
            assert (found.dtype, found.shape, found.tobytes()) == (value.dtype, value.shape, value.tobytes()), name


def test_what_came_into_memory_can_be_exported_again(product, centered_meta, tmp_path, make_scan):
    export_product_from_rawdata(import_product_to_rawdata(product), tmp_path / "again.h5", centered_meta)
    again = import_product_to_rawdata(tmp_path / "again.h5")
    assert np.array_equal(again.diff3d, make_scan()["diff3d"])
    assert np.array_equal(again.xcoords, make_scan()["xcoords"])


def test_frames_can_be_left_out_of_memory(product):
    raw = import_product_to_rawdata(product, include_diffraction=False)
    assert raw.diff3d is None
    assert raw.Y.shape == (12, 2)


def test_what_the_source_had_not_is_none_in_memory(save_scan, centered_meta, tmp_path):
    with pytest.warns(ProductWarning, match="no scan_index"):
        export_product_from_npz(save_scan(scan_index=None), tmp_path / "p.h5", centered_meta)
    raw = import_product_to_rawdata(tmp_path / "p.h5")
    assert (raw.scan_index, raw.Y, raw.norm_Y_I, raw.metadata) == (None, None, None, None)


def test_start_coordinates_that_the_source_had_not_are_the_coordinates(save_scan, centered_meta, tmp_path, make_scan):
    export_product_from_npz(save_scan(xcoords_start=None, ycoords_start=None), tmp_path / "p.h5", centered_meta)
    raw = import_product_to_rawdata(tmp_path / "p.h5")
    assert np.array_equal(raw.xcoords_start, make_scan()["xcoords"])
    assert np.array_equal(raw.ycoords_start, make_scan()["ycoords"])


def test_a_synthetic_object_is_not_given_back(save_scan, tmp_path):
    with pytest.warns(ProductWarning, match="synthetic"):
        export_product_from_npz(save_scan(objectGuess=None), tmp_path / "p.h5")
    assert import_product_to_rawdata(tmp_path / "p.h5").objectGuess is None


def test_a_product_without_raw_data_gives_positions_in_pixels(bare_product, make_scan):
    raw = import_product_to_rawdata(bare_product)
    assert raw.diff3d is None
    assert np.allclose(raw.xcoords, make_scan()["xcoords"], rtol=1e-15)
    assert np.allclose(raw.ycoords, make_scan()["ycoords"], rtol=1e-15)
    assert raw.scan_index.tolist() == list(range(12))
    assert np.array_equal(raw.objectGuess, make_scan()["objectGuess"])


@pytest.mark.parametrize("missing", ["xcoords", "ycoords", "probeGuess", "objectGuess"])
def test_what_raw_data_lacks_is_taken_from_the_product_itself(product, make_scan, missing):
    edit(product, lambda file: file["raw_data"].__delitem__(missing))
    assert np.allclose(getattr(import_product_to_rawdata(product), missing), make_scan()[missing], rtol=1e-15)


def test_an_unknown_key_is_no_field_in_memory(save_scan, centered_meta, tmp_path):
    export_product_from_npz(save_scan(diff3d_=np.ones(2), metadata=np.ones(3)), tmp_path / "p.h5", centered_meta)
    raw = import_product_to_rawdata(tmp_path / "p.h5")
    assert raw.metadata is None
    assert not hasattr(raw, "diff3d_")


# Into an archive.


def test_an_archive_holds_what_the_source_held(product):
    back, summary = to_npz(product)
    assert keys_of(back) == keys_of(product.with_name("scan.npz"))
    assert sorted(summary.members) == [f"{key}.npy" for key in keys_of(back)]


def test_the_summary_tells_the_truth(product):
    back, summary = to_npz(product)
    assert (summary.archive, summary.file_bytes) == (back, back.stat().st_size)
    assert (summary.frames, summary.frame_shape, summary.frame_dtype) == (12, (16, 16), "float32")
    assert summary.axis_order == "NHW"


def test_frames_can_be_left_out_of_an_archive(product):
    back, summary = to_npz(product, include_diffraction=False)
    assert "diff3d" not in keys_of(back)
    assert (summary.frames, summary.frame_shape, summary.frame_dtype) == (0, (), "")


def test_a_product_without_raw_data_gives_a_scan_without_frames(bare_product):
    back, _ = to_npz(bare_product)
    assert keys_of(back) == ["objectGuess", "probeGuess", "scan_index", "xcoords", "ycoords"]


@pytest.mark.parametrize(("compress", "method"), [(False, zipfile.ZIP_STORED), (True, zipfile.ZIP_DEFLATED)])
def test_members_are_stored_or_deflated_as_asked(product, compress, method):
    back, _ = to_npz(product, compress=compress)
    with zipfile.ZipFile(back) as archive:
        assert {info.compress_type for info in archive.infolist()} == {method}


@pytest.mark.parametrize("memory_bytes", [1, 3000, 1024**3])
@pytest.mark.parametrize("order", ["NHW", "HNW", "HWN"])
def test_frames_come_back_in_the_order_of_the_source_where_asked(
    save_scan, make_scan, centered_meta, tmp_path, order, memory_bytes
):
    stored = make_scan()["diff3d"][:, :9, :7].transpose(["NHW".index(axis) for axis in order])
    export_product_from_npz(save_scan(diff3d=stored), tmp_path / "p.h5", centered_meta)
    back, summary = to_npz(tmp_path / "p.h5", original_axis_order=True, memory_bytes=memory_bytes)
    with np.load(back) as archive:
        assert np.array_equal(archive["diff3d"], stored)
    assert summary.axis_order == order


def test_progress_counts_every_byte_of_the_frames(product):
    seen = []
    to_npz(product, progress=seen.append)
    assert sum(seen) == 12 * 16 * 16 * 4


def test_an_existing_archive_is_kept_where_it_may_not_be_replaced(product, tmp_path):
    (tmp_path / "back.npz").write_text("mine")
    with pytest.raises(OutputError, match="must not be replaced"):
        to_npz(product, overwrite=False)
    assert (tmp_path / "back.npz").read_text() == "mine"


def test_the_product_itself_is_never_overwritten(product, tmp_path):
    before = product.read_bytes()
    (tmp_path / "link.npz").symlink_to(product)
    with pytest.raises(OutputError, match="the input itself"):
        import_product_to_npz(product, tmp_path / "link.npz")
    assert product.read_bytes() == before


@pytest.mark.parametrize("name", ["back", "back.h5", "back.npz.txt"])
def test_an_archive_of_another_suffix_is_refused(product, tmp_path, name):
    with pytest.raises(OutputError, match=r"expected \.npz"):
        import_product_to_npz(product, tmp_path / name)


def test_what_somebody_has_added_is_left_out_with_a_warning(product, tmp_path):
    def add(file):
        file["raw_data"].create_group("more")
        file["mine/values"] = np.arange(3)
        file.attrs["beamline"] = file["object"].attrs["who"] = "me"

    edit(product, add)
    named = "no such parts: /@beamline, /mine, /object@who, /raw_data/more$"
    with pytest.warns(ProductWarning, match=named):
        back, _ = to_npz(product)
    assert "more" not in keys_of(back)
    with pytest.warns(ProductWarning) as told:  # it also tells what CXI has no place for
        import_product_to_cxi(product, tmp_path / "back.cxi")
    assert any(re.search(named, str(warning.message)) for warning in told)
    with pytest.warns(ProductWarning, match=named):
        export_product_from_files(ScanFiles(product), tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5") as file:
        assert "mine" not in file


def test_a_dangling_soft_link_in_raw_data_is_left_out(product):
    edit(product, lambda file: file["raw_data"].__setitem__("more", h5py.SoftLink("/nowhere")))
    back, _ = to_npz(product)
    assert "more" not in keys_of(back)


def test_arrays_that_others_put_into_raw_data_become_members(product):
    edit(product, lambda file: file["raw_data"].__setitem__("mask", np.eye(3)))
    back, _ = to_npz(product)
    with np.load(back) as archive:
        assert np.array_equal(archive["mask"], np.eye(3))


# What a hostile product cannot do.

READERS = pytest.mark.parametrize("read", [import_product_to_rawdata, to_npz])


@pytest.mark.parametrize(
    "member", ["../evil.npy", "/tmp/evil.npy", "a/../../evil.npy", "..", "a\\..\\evil.npy", "C:\\evil.npy", "a/..", "/"]
)
@pytest.mark.parametrize("name", [FRAMES, "raw_data/Y", "raw_data/xcoords"])
def test_a_member_name_that_leads_out_of_the_archive_is_refused(product, tmp_path, name, member):
    edit(product, lambda file: file[name].attrs.__setitem__("source_member", member))
    before = all_files(tmp_path)
    with pytest.raises(ContractError, match="expected a member name"):
        to_npz(product)
    assert all_files(tmp_path) == before


@pytest.mark.parametrize(
    "value",
    [
        "x" * 70_000,
        np.bytes_(b"\xff\xfe.npy"),
        np.array(b"\xff\xfe.npy", h5py.string_dtype()),
        3.5,
        np.arange(3),
        h5py.Empty("f8"),
        "",
        "\n\x1b[31m",
    ],
    ids=["too long", "no UTF-8", "no UTF-8 of variable length", "number", "numbers", "nothing", "empty", "control"],
)
@pytest.mark.parametrize("attribute", ["source_member", "source_dtype", "original_axis_order"])
@pytest.mark.parametrize("name", [FRAMES, "raw_data/Y"])
def test_an_attribute_of_any_kind_is_ignored_or_refused(product, tmp_path, name, attribute, value):
    edit(product, lambda file: file[name].attrs.__setitem__(attribute, value))
    before = all_files(tmp_path)
    try:
        import_product_to_rawdata(product)
        to_npz(product, original_axis_order=True)
    except ContractError as error:
        assert "product.h5" in str(error)  # noqa: PT017 - to ignore it is as good
        assert all_files(tmp_path) == before
    else:
        assert all_files(tmp_path) == sorted([*before, "back.npz"])


def test_two_datasets_of_one_member_are_refused(product):
    edit(product, lambda file: file[FRAMES].attrs.__setitem__("source_member", "Y.npy"))
    with pytest.raises(ContractError, match=r"Y\.npy"):
        to_npz(product)


@pytest.mark.parametrize("order", ["XYZ", "NNN", "NH", "NHWN", "nhw"])
def test_an_axis_order_that_is_none_is_refused_where_it_is_asked_for(product, order):
    edit(product, lambda file: file[FRAMES].attrs.__setitem__("original_axis_order", order))
    with pytest.raises(ContractError, match=r"original_axis_order|axis order"):
        to_npz(product, original_axis_order=True)


CARRIERS = {
    "numbers": np.arange(24.0).reshape(12, 2),
    "bytes": np.arange(24, dtype=np.uint8).reshape(3, 8),
    "one byte": np.uint8(3),
    "no bytes": np.empty((0, 4), np.uint8),
    "fixed text": np.array([b"ab", b"\xff\xfe"]),
    "text": "abc",
    "texts": np.array(["a", "bc"], dtype=object),
    "broken text": np.array(b"\xff\xfe", h5py.string_dtype()),
}


SOURCE_DTYPES = (
    *("object", "member", "'<f8'", "'<U2'", "'|O'", "'|V8'", "'|S0'", "'<U0'", "'<M8[ns]'", "('<f4', (2,))", "None"),
    *("[('a', '<f4'), ('b', '<i4')]", "[('a', '|O')]", "[]", "(", "'", "{}", "' '", "1", "[[[", "'<f8', 'x': ("),
    *("'<f8'\n'", "__import__('os')", "-" * 5000 + "1", "'|V-8'", "'<U99999999999999'", "\n\tx", "'<f8' if 1 else 2"),
)


def carry(file, carrier, source_dtype):
    if "Y" in file["raw_data"]:
        del file["raw_data/Y"]
    value = CARRIERS[carrier]
    if carrier == "broken text":
        dataset = file["raw_data"].create_dataset("Y", (), h5py.string_dtype())
        dataset[()] = b"\xff\xfe"
    else:
        dataset = file["raw_data"].create_dataset("Y", data=value)
    dataset.attrs["source_dtype"] = source_dtype


@settings(max_examples=150, **QUIET)
@given(
    st.sampled_from(list(CARRIERS)),
    st.sampled_from(SOURCE_DTYPES)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
    | st.text("'<>|=fiuUSVO0123456789()[],{}: \n\t\\#", max_size=12),
)
@example("numbers", "object")
@example("texts", "object")
@example("texts", "member")
@example("text", "member")
@example("one byte", "member")
@example("bytes", "(")
@example("broken text", "object")
@example("broken text", "member")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::SyntaxWarning")
def test_a_source_dtype_of_any_text_is_understood_or_refused(product, tmp_path, carrier, source_dtype):
    edit(product, lambda file: carry(file, carrier, source_dtype))
    for read in (import_product_to_rawdata, to_npz):
        try:
            read(product)
        except ContractError as error:
            assert "/raw_data/Y" in str(error)  # noqa: PT017 - to understand it is as good
    assert set(all_files(tmp_path)) <= {"product.h5", "scan.npz", "back.npz"}


@pytest.mark.parametrize("carrier", ["text", "texts", "numbers"])
def test_what_is_no_bytes_is_never_written_as_the_bytes_of_a_member(product, carrier):
    edit(product, lambda file: carry(file, carrier, "member"))
    back, _ = to_npz(product)
    with np.load(back, allow_pickle=False) as archive:
        assert archive["Y"].tolist() == np.asarray(CARRIERS[carrier]).tolist()


def test_text_that_is_no_utf_8_is_refused(product):
    def change(file):
        file["raw_data"].create_dataset("more", (), h5py.string_dtype())[()] = b"\xff\xfe"

    edit(product, change)
    with pytest.raises(ContractError, match="/raw_data/more"):
        to_npz(product)


@READERS
def test_references_in_raw_data_are_refused(product, read):
    edit(product, lambda file: file["raw_data"].create_dataset("more", data=[file.ref] * 3, dtype=h5py.ref_dtype))
    with pytest.raises(ContractError, match="cannot be read: it is not a NumPy array"):
        read(product)


def test_enumerations_come_back_as_their_numbers(product):
    kind = h5py.enum_dtype({"OFF": 0, "ON": 1}, "i2")
    edit(product, lambda file: file["raw_data"].create_dataset("more", data=np.array([0, 1, 1], "i2"), dtype=kind))
    back, _ = to_npz(product)
    with np.load(back) as archive:
        assert archive["more"].tolist() == [0, 1, 1]


def test_a_damaged_frame_is_a_contract_error_and_leaves_no_archive(save_scan, centered_meta, tmp_path):
    path = tmp_path / "product.h5"
    export_product_from_npz(save_scan(), path, centered_meta, options=ExportOptions(chunk_frames=4))
    with h5py.File(path) as file:
        chunk = file[FRAMES].id.get_chunk_info(1)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 12 : chunk.byte_offset + chunk.size] = b"\xff" * (chunk.size - 12)
    path.write_bytes(data)
    before = all_files(tmp_path)
    for read in (import_product_to_rawdata, to_npz):
        with pytest.raises(ContractError, match=re.escape("/raw_data/diffraction")):
            read(path)
    assert all_files(tmp_path) == before


def test_a_duck_that_was_exported_comes_back_as_raw_data(make_scan, tmp_path):
    duck = SimpleNamespace(**make_scan())
    meta = ExportMeta(object_center_x_m=31.5 * 5e-8, object_center_y_m=31.5 * 5e-8)
    export_product_from_rawdata(duck, tmp_path / "p.h5", meta)
    assert isinstance(import_product_to_rawdata(tmp_path / "p.h5"), RawData)


def _damaged_frames(path):
    """Change one bit of the frames, in a chunk that has a checksum."""
    with h5py.File(path) as file:
        frames = file["raw_data/diffraction"]
        chunk = frames.id.get_chunk_info(1)
        first, rows = chunk.chunk_offset[0], frames.chunks[0]
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        byte = file.read(1)[0] ^ 1
        file.seek(-1, 1)
        file.write(bytes([byte]))
    return slice(first, first + rows)


def test_damage_that_a_checksum_or_digest_shows_is_an_error_and_can_be_accepted(save_scan, centered_meta, tmp_path):
    path = tmp_path / "product.h5"
    options = ExportOptions(compression="archive", chunk_frames=2)
    export_product_from_npz(save_scan(), path, centered_meta, options=options)
    import_product_to_npz(path, tmp_path / "sound.npz")
    lost = _damaged_frames(path)
    for reader in (
        lambda: import_product_to_npz(path, tmp_path / "out.npz"),
        lambda: import_product_to_rawdata(path),
        lambda: repack_product(path, tmp_path / "out.h5"),
        lambda: export_product_from_files(ScanFiles(path), tmp_path / "out.h5"),
    ):
        where = rf"frames {lost.start} to {lost.stop - 1} |chunk \({lost.start}, 0, 0\)"
        with pytest.raises(ProductError, match=rf"diffraction: .*({where})"):
            reader()
    with pytest.warns(ProductWarning, match=rf"diffraction: damaged: frames {lost.start} to {lost.stop - 1} "):
        import_product_to_npz(path, tmp_path / "rest.npz", accept_damage=True)
    with np.load(tmp_path / "rest.npz") as rest, np.load(tmp_path / "sound.npz") as sound:
        assert set(rest.files) == set(sound.files)
        key = next(key for key in rest.files if rest[key].ndim == 3)
        assert not rest[key][lost].any()
        assert np.array_equal(np.delete(rest[key], lost, 0), np.delete(sound[key], lost, 0))
    assert {file.name for file in tmp_path.glob("*") if file.stem == "out"} == set()


def test_a_changed_object_is_an_error_where_it_has_a_digest(save_scan, centered_meta, tmp_path):
    path = tmp_path / "product.h5"
    export_product_from_npz(save_scan(), path, centered_meta, options=ExportOptions(compression="archive"))
    with h5py.File(path) as file:
        offset = file["object"].id.get_offset()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x07")
    with pytest.raises(ContractError, match="object: damaged: has changed since"):
        import_product_to_npz(path, tmp_path / "out.npz")
    with pytest.raises(ContractError, match="object: damaged: has changed since"):
        repack_product(path, tmp_path / "out.h5")


@pytest.fixture
def made_with_large(save_scan, centered_meta, tmp_path):
    """A function that makes a product which keeps an array of 9 MB, in chunks."""

    def make(compression):
        large = np.arange(12 * 90_000.0).reshape(12, -1)
        options = ExportOptions(compression=compression)
        export_product_from_npz(save_scan(Y=large), tmp_path / "product.h5", centered_meta, options=options)
        return tmp_path / "product.h5"

    return make


@pytest.mark.parametrize("compression", ["none", "zstd:1", "balanced"])
def test_a_large_array_is_decoded_once(made_with_large, monkeypatch, compression):
    product, decoded = made_with_large(compression), []
    decode = EncodedChunks.decode

    def counted(self, piece, *arguments):
        decoded.append((self.chunk_shape[1:], piece.offset))
        return decode(self, piece, *arguments)

    monkeypatch.setattr(EncodedChunks, "decode", counted)
    back, _ = to_npz(product)
    of_large = [offset for shape, offset in decoded if shape == (90_000,)]
    assert len(of_large) == len(set(of_large)) > 1
    with np.load(back) as archive:
        assert np.array_equal(archive["Y"].ravel(), np.arange(12 * 90_000.0))


@pytest.mark.parametrize(
    ("compression", "words"),
    [("none", "has changed since content_sha256 was written"), ("balanced", "its checksum is not that of its bytes")],
)
def test_damage_of_a_large_array_is_found_while_it_is_read(made_with_large, tmp_path, compression, words):
    product = made_with_large(compression)
    with h5py.File(product) as file:
        chunk = file["raw_data/Y"].id.get_chunk_info(1)
    data = bytearray(product.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    product.write_bytes(data)
    with pytest.raises(ContractError, match=rf"/raw_data/Y: .*{words}"):
        to_npz(product)
    assert not (tmp_path / "back.npz").exists()
    with pytest.warns(DamageWarning, match=r"/raw_data/Y: damaged: "):
        to_npz(product, accept_damage=True)


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_a_chunk_of_a_large_array_that_was_lost_is_an_error(made_with_large):
    product = made_with_large("none")
    with h5py.File(product, "r+") as file:
        attributes, values = dict(file["raw_data/Y"].attrs), file["raw_data/Y"][()]
        del file["raw_data/Y"]
        left = file.create_dataset("raw_data/Y", values.shape, values.dtype, chunks=(1, *values.shape[1:]))
        left[:1], left[2:] = values[:1], values[2:]
        left.attrs.update(attributes)
    with pytest.raises(ContractError, match=r"/raw_data/Y: .*chunk"):
        to_npz(product)
