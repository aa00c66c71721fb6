"""Digests: what the contract defines, by h5py and hashlib alone; written, read back, and held against damage."""

import hashlib
import json
import zlib

import h5py
import hdf5plugin
import numpy as np
import pytest

from ptychoproduct import (
    ContractError,
    ExportOptions,
    OutputError,
    Problem,
    ProductWriter,
    ScanFiles,
    SourceError,
    export_product_from_files,
    export_product_from_npz,
    import_product_to_npz,
    validate_product,
)
from ptychoproduct.validation import read_back
from ptychoproduct.validation.digests import content_digest, has_digest

FRAMES = "raw_data/diffraction"
DIGESTS = ExportOptions(digests=True, chunk_frames=5)


def digest_by_hand(dataset):
    """Compute a digest as the contract tells everybody to."""
    data = dataset[()]
    if dataset.dtype == object:
        return hashlib.sha256(data + b"\0").hexdigest()
    return hashlib.sha256(np.asarray(data).astype(dataset.dtype.newbyteorder("<")).tobytes()).hexdigest()


def datasets_of(file):
    found = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.mark.parametrize("options", [{}, {"chunks": True}, {"chunks": True, "compression": "gzip", "fletcher32": True}])
@pytest.mark.parametrize(
    "array",
    [
        *(np.arange(-60, 60).reshape(4, 5, 6).astype(dtype) for dtype in ("<f4", ">f4", "<i2", ">u8", "f2", "?")),
        (np.arange(6.0) + 1j).astype("<c8"),
        (np.arange(6.0) - 2j).astype(">c16"),
        np.array([b"a", b"", b"long"]),
    ],
    ids=lambda value: getattr(value, "dtype", value),
)
def test_a_digest_is_what_the_contract_says_however_the_dataset_is_stored(tmp_path, array, options):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", data=array, **options)
        little = array.astype(array.dtype.newbyteorder("<")).tobytes()
        assert content_digest(dataset) == digest_by_hand(dataset) == hashlib.sha256(little).hexdigest()


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (2.5, np.float64(2.5).tobytes()),
        (np.empty((0, 3)), b""),
        ("été", "été\0".encode()),
        (["a", "", "bc"], b"a\0\0bc\0"),
        (np.bytes_(b"abc"), b"abc"),
        (True, b"\1"),
    ],
    ids=str,
)
def test_scalars_texts_and_no_elements_have_digests(tmp_path, value, content):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        assert content_digest(file.create_dataset("a", data=value)) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "value", [h5py.Empty("f8"), np.zeros(2, [("a", "f4"), ("b", "i2")]), np.zeros(2, "V3")], ids=str
)
def test_other_types_have_no_digest(tmp_path, value):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        assert not has_digest(file.create_dataset("a", data=value))


@pytest.mark.parametrize("compress", [False, True], ids=["stored", "deflated"])
@pytest.mark.parametrize("order", ["NHW", "HNW", "HWN"])
def test_every_dataset_of_a_product_has_the_digest_of_its_content(
    save_scan, make_scan, centered_meta, tmp_path, order, compress
):
    frames = make_scan()["diff3d"][:, :10, :7].transpose(["NHW".index(axis) for axis in order])
    source = save_scan(
        compress=compress, diff3d=frames, Y=np.ones((12, 3), complex), a=np.array("text"), _metadata="{}"
    )
    export_product_from_npz(source, tmp_path / "product.h5", centered_meta, options=DIGESTS)
    with h5py.File(tmp_path / "product.h5") as file:
        datasets = datasets_of(file)
        kept = [file[name] for name in (FRAMES, "raw_data/Y", "raw_data/a", "probe", "object", "costs")]
        assert all(dataset in datasets.values() for dataset in kept)
        for dataset in datasets.values():
            assert dataset.attrs["content_sha256"] == digest_by_hand(dataset)
    assert validate_product(tmp_path / "product.h5", deep=True).problems == ()


def test_appended_frames_have_a_digest(make_scan, centered_meta, tmp_path):
    scan = make_scan()
    with ProductWriter(tmp_path / "product.h5", centered_meta, options=DIGESTS) as writer:
        writer.set_probe(scan["probeGuess"])
        writer.set_object(scan["objectGuess"])
        for part in (slice(0, 4), slice(4, 11), slice(11, 12)):
            positions = (scan[key][part] for key in ("xcoords", "ycoords", "scan_index"))
            writer.append(scan["diff3d"][part], *positions)
    with h5py.File(tmp_path / "product.h5") as file:
        assert file[FRAMES].attrs["content_sha256"] == hashlib.sha256(scan["diff3d"].tobytes()).hexdigest()


@pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
def test_frames_whose_chunks_could_be_copied_have_a_digest(make_scan, centered_meta, tmp_path):
    scan = make_scan()
    with h5py.File(tmp_path / "patterns.h5", "w") as file:
        codec = hdf5plugin.Zstd(clevel=2)
        file.create_dataset("patterns", data=scan["diff3d"], chunks=(5, 16, 16), **codec)
    export_product_from_files(
        ScanFiles(tmp_path / "patterns.h5", positions=(scan["xcoords"], scan["ycoords"]), probe=scan["probeGuess"]),
        tmp_path / "product.h5",
        centered_meta,
        options=ExportOptions(digests=True, chunk_frames=5, compression="zstd:2"),
    )
    with h5py.File(tmp_path / "product.h5") as file:
        assert file[FRAMES].attrs["content_sha256"] == hashlib.sha256(scan["diff3d"].tobytes()).hexdigest()


def test_digests_do_not_come_into_an_archive(save_scan, centered_meta, tmp_path):
    source = save_scan()
    for name, digests in (("with", True), ("without", False)):
        options = ExportOptions(digests=digests)
        export_product_from_npz(source, tmp_path / f"{name}.h5", centered_meta, options=options)
        import_product_to_npz(tmp_path / f"{name}.h5", tmp_path / f"{name}.npz")
    assert (tmp_path / "with.npz").read_bytes() == (tmp_path / "without.npz").read_bytes()


@pytest.mark.parametrize("verify", [False, True])
def test_digests_that_are_declined_are_not_there(save_scan, centered_meta, tmp_path, verify):
    options = ExportOptions(digests=False, verify=verify)
    export_product_from_npz(save_scan(), tmp_path / "product.h5", centered_meta, options=options)
    with h5py.File(tmp_path / "product.h5") as file:
        names = {name for item in (file, *datasets_of(file).values()) for name in item.attrs}
    assert names.isdisjoint({"content_sha256", "row_crc32", "metadata_sha256"})


@pytest.mark.parametrize("store_counts", [False, True])
@pytest.mark.parametrize("compression", ["balanced", "none", "auto", "archive"])
def test_by_default_all_but_the_frames_have_digests_and_frames_have_checksums(
    save_scan, centered_meta, tmp_path, compression, store_counts
):
    options = ExportOptions(compression=compression, store_counts=store_counts, chunk_frames=5)
    export_product_from_npz(save_scan(), tmp_path / "product.h5", centered_meta, options=options)
    with h5py.File(tmp_path / "product.h5") as file:
        datasets = datasets_of(file)
        frames = datasets.pop(FRAMES)
        assert all(dataset.attrs["content_sha256"] == digest_by_hand(dataset) for dataset in datasets.values())
        assert ("content_sha256" in frames.attrs) == (compression == "archive")
        assert frames.attrs["row_crc32"].dtype == np.uint32
        assert frames.attrs["row_crc32"].tolist() == [zlib.crc32(frame.tobytes()) for frame in frames[()]]


def metadata_by_hand(file):
    """Compute the digest of the metadata as the contract tells everybody to."""
    met, entries = {}, []

    def name_of(dtype):
        text = h5py.check_string_dtype(dtype)
        return dtype.name if text is None else "str" if text.length is None else f"S{text.length}"

    def visit(item, path):
        met[item] = path
        is_group = isinstance(item, h5py.Group)
        entries.append(["group", path] if is_group else ["dataset", path, name_of(item.dtype), item.shape])
        for name in sorted(set(item.attrs) - {"metadata_sha256"}):
            value, stored = item.attrs[name], item.attrs.get_id(name)
            content = np.asarray(value).tobytes()
            if stored.dtype == object:
                content = "".join(f"{text}\0" for text in np.atleast_1d(value)).encode()
            digest = hashlib.sha256(content).hexdigest()
            entries.append(["attribute", path, name, name_of(stored.dtype), stored.shape, digest])
        for name in sorted(item) if is_group else ():
            link, place = item.get(name, getlink=True), f"{path}/{name}".replace("//", "/")
            if isinstance(link, h5py.SoftLink):
                entries.append(["soft", place, link.path])
            elif item[name] in met:
                entries.append(["hard", place, met[item[name]]])
            else:
                visit(item[name], place)

    visit(file["/"], "/")
    lines = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries)
    return hashlib.sha256(lines.encode()).hexdigest()


def test_the_digest_of_the_metadata_is_what_the_contract_says(archive):
    with h5py.File(archive) as file:
        assert file.attrs["metadata_sha256"] == metadata_by_hand(file)


def set_attribute(file):
    file["probe"].attrs["pixel_width_m"] += 1e-12


def set_text(file):
    file.attrs["comments"] = "another"


def add_attribute(file):
    file["entry"].attrs["more"] = 1


def retype_attribute(file):
    file.attrs["exposure_time_s"] = np.float32(0)


def relink(file):
    del file["costs"]
    file["costs"] = file["loss_epochs"]


def rename(file):
    file.move("raw_data/xcoords_start", "raw_data/xcoords_begin")


def redirect(file):
    del file["entry/scan/probe_position_x_m"]
    file["entry/scan/probe_position_x_m"] = h5py.SoftLink("/probe_position_y_m")


@pytest.mark.parametrize("change", [set_attribute, set_text, add_attribute, retype_attribute, relink, rename, redirect])
def test_changed_metadata_are_found_by_their_digest(archive, change):
    with h5py.File(archive, "a") as file:
        change(file)
    for deep in (False, True):
        found = [problem for problem in validate_product(archive, deep=deep).problems if problem.where == "/"]
        assert "has changed since metadata_sha256 was written" in found[0].message


def test_what_has_neither_digest_nor_checksum_is_told(save_scan, centered_meta, tmp_path):
    for name, compression, unseen in (("a.h5", "none", True), ("b.h5", "balanced", False)):
        options = ExportOptions(compression=compression, digests=False)
        export_product_from_npz(save_scan(), tmp_path / name, centered_meta, options=options)
        (problem,) = validate_product(tmp_path / name, deep=True).problems
        assert (problem.severity, problem.where) == ("warning", "/")
        assert problem.message.startswith("there is no digest or checksum of attributes, /")
        with h5py.File(tmp_path / name, "a") as file:
            for item in set(datasets_of(file).values()) - {file[FRAMES]}:
                del file[item.name]
            (problem,) = (p for p in validate_product(tmp_path / name, deep=True).problems if p.severity == "warning")
            assert (FRAMES in problem.message) == unseen


# Reading back.


def change_element(part):
    with h5py.File(part, "a", locking=False) as file:
        file[FRAMES][3, 2, 1] += 1


def change_position(part):
    with h5py.File(part, "a", locking=False) as file:
        file["probe_position_x_m"][3] = 0


def lose_a_dataset(part):
    with h5py.File(part, "a", locking=False) as file:
        del file["raw_data/scan_index"]


def damage_chunk(part):
    with h5py.File(part) as file:
        chunk = file[FRAMES].id.get_chunk_info(1)
    data = bytearray(part.read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    part.write_bytes(data)


def cut_off(part):
    part.write_bytes(part.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (change_element, FRAMES),
        (change_position, "probe_position_x_m"),
        (lose_a_dataset, "raw_data/scan_index"),
        (damage_chunk, FRAMES),
        (cut_off, "product.h5"),
    ],
)
def test_a_disk_that_gives_back_something_else_is_noticed_and_nothing_is_left(
    save_scan, centered_meta, tmp_path, monkeypatch, change, key
):
    source = save_scan()
    monkeypatch.setattr(read_back, "_forget", change)
    with pytest.raises(OutputError, match="back from the disk") as caught:
        export_product_from_npz(
            source, tmp_path / "product.h5", centered_meta, options=ExportOptions(verify=True, chunk_frames=5)
        )
    assert key in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.npz"]


def test_a_product_that_is_read_back_as_it_was_written_appears(save_scan, centered_meta, tmp_path):
    seen = []
    export_product_from_npz(
        save_scan(), tmp_path / "product.h5", centered_meta, options=ExportOptions(verify=True), progress=seen.append
    )
    with h5py.File(tmp_path / "product.h5") as file:
        assert sum(seen) >= 2 * file[FRAMES].nbytes


# Damage.


def flip(data, bit):
    data[bit // 8] ^= 1 << bit % 8


@pytest.fixture
def archive(save_scan, centered_meta, tmp_path):
    """A product with digests and checksums."""
    path = tmp_path / "archive.h5"
    options = ExportOptions(digests=True, chunk_frames=5, compression="bitshuffle-zstd:3+fletcher32")
    export_product_from_npz(save_scan(), path, centered_meta, options=options)
    assert validate_product(path, deep=True).problems == ()
    return path


def chunks_of(path):
    with h5py.File(path) as file:
        dataset = file[FRAMES].id
        return [dataset.get_chunk_info(i) for i in range(dataset.get_num_chunks())]


@pytest.mark.parametrize("flips", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_one_flipped_bit_is_found_in_its_chunk_and_frames(archive, flips):
    intact, rng = archive.read_bytes(), np.random.default_rng(flips)
    chunks = chunks_of(archive)
    for number in rng.integers(sum(chunk.size for chunk in chunks) * 8, size=flips):
        place = int(number)
        for chunk in chunks:
            if place < chunk.size * 8:
                break
            place -= chunk.size * 8
        data = bytearray(intact)
        flip(data, chunk.byte_offset * 8 + place)
        archive.write_bytes(data)
        (problem,) = validate_product(archive, deep=True).problems
        first = chunk.chunk_offset[0]
        assert (problem.severity, problem.where) == ("error", f"/{FRAMES}")
        assert f"frames {first} to {min(first + 5, 12) - 1} cannot be read" in problem.message
        assert f"chunk {chunk.chunk_offset}" in problem.message


def contents_of(path):
    with h5py.File(path) as file:
        return {name: dataset[()].tobytes() for name, dataset in datasets_of(file).items()}


@pytest.mark.parametrize("flips", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_one_flipped_bit_elsewhere_is_a_problem_or_an_error_or_changes_no_data(archive, flips):
    intact, rng = archive.read_bytes(), np.random.default_rng(flips)
    contents, frames = contents_of(archive), chunks_of(archive)
    inside = {
        bit // 8 for chunk in frames for bit in range(chunk.byte_offset * 8, (chunk.byte_offset + chunk.size) * 8)
    }
    for bit in rng.integers(len(intact) * 8, size=flips).tolist():
        if bit // 8 in inside:
            continue
        data = bytearray(intact)
        flip(data, bit)
        archive.write_bytes(data)
        try:
            report = validate_product(archive, deep=True)
        except SourceError:
            continue
        assert not report.is_valid or contents_of(archive) == contents


def test_a_damaged_object_is_not_an_absent_one(archive):
    with h5py.File(archive) as file:
        address = h5py.h5o.get_info(file["raw_data/xcoords_start"].id).addr
    data = bytearray(archive.read_bytes())
    flip(data, (address + 12) * 8)
    archive.write_bytes(data)
    report = validate_product(archive, deep=True)
    assert Problem("error", "/raw_data/xcoords_start", "is damaged and cannot be opened") in (report.problems)
    with pytest.raises(ContractError, match=r"xcoords_start|cannot be read"):
        import_product_to_npz(archive, archive.with_name("scan_again.npz"))


def test_an_archive_has_digests_and_checksums_unless_they_are_declined(save_scan, centered_meta, tmp_path):
    source = save_scan()
    for name, digests in (("archive.h5", None), ("without.h5", False)):
        options = ExportOptions(compression="archive", digests=digests, verify=True)
        export_product_from_npz(source, tmp_path / name, centered_meta, options=options)
        with h5py.File(tmp_path / name) as file:
            assert file[FRAMES].fletcher32
            assert all(("content_sha256" in item.attrs) == (digests is None) for item in datasets_of(file).values())


def test_frames_stored_as_counts_have_the_digest_of_the_counts(save_scan, centered_meta, tmp_path):
    options = ExportOptions(store_counts=True, digests=True, verify=True)
    export_product_from_npz(save_scan(), tmp_path / "product.h5", centered_meta, options=options)
    with h5py.File(tmp_path / "product.h5") as file:
        assert file[FRAMES].dtype == np.uint8
        assert file[FRAMES].attrs["content_sha256"] == digest_by_hand(file[FRAMES])


def test_content_that_changed_behind_intact_checksums_is_found_by_its_digest(archive):
    with h5py.File(archive, "a") as file:
        file[FRAMES][3, 2, 1] += 1
        file["raw_data/ycoords_start"][3] += 1
    problems = validate_product(archive, deep=True).problems
    assert {problem.where for problem in problems} == {f"/{FRAMES}", "/raw_data/ycoords_start"}
    messages = {problem.message for problem in problems}
    assert messages == {
        "frames 3 to 3 have changed since row_crc32 was written",
        "has changed since content_sha256 was written",
    }


def test_a_chunk_that_was_lost_is_named(archive):
    with h5py.File(archive, "a") as file:
        attributes, frames = dict(file[FRAMES].attrs), file[FRAMES][()]
        del file[FRAMES]
        left = file.create_dataset(FRAMES, frames.shape, frames.dtype, chunks=(5, 16, 16))
        left[:5], left[10:] = frames[:5], frames[10:]
        for name, value in attributes.items():
            left.attrs[name] = value
    messages = [problem.message for problem in validate_product(archive, deep=True).problems]
    assert any("frames 5 to 9: chunk (5, 0, 0) is not stored" in message for message in messages)


@pytest.mark.parametrize("value", [3.5, h5py.Empty("f8"), ["a", "b"], "", "no digest"], ids=str)
def test_a_digest_that_is_none_is_a_problem(archive, value):
    with h5py.File(archive, "a") as file:
        file[FRAMES].attrs["content_sha256"] = value
    problem, metadata = validate_product(archive, deep=True).problems
    assert problem.where == f"/{FRAMES}"
    assert "content_sha256" in problem.message
    assert "metadata_sha256" in metadata.message


@pytest.mark.parametrize("value", [3.5, h5py.Empty("f8"), "text", np.zeros(11, np.uint32), np.zeros(12)], ids=str)
def test_checksums_that_are_none_are_a_problem(archive, value):
    with h5py.File(archive, "a") as file:
        file[FRAMES].attrs["row_crc32"] = value
    problem, _ = validate_product(archive, deep=True).problems
    assert problem.where == f"/{FRAMES}"
    assert problem.message.startswith("row_crc32: found ")


def test_the_digest_of_frames_stored_as_counts_is_that_of_the_counts(save_scan, centered_meta, tmp_path):
    options = ExportOptions(store_counts=True, digests=True, verify=True)
    export_product_from_npz(save_scan(), tmp_path / "product.h5", centered_meta, options=options)
    with h5py.File(tmp_path / "product.h5") as file:
        assert file[FRAMES].dtype == np.uint8
        assert file[FRAMES].attrs["content_sha256"] == digest_by_hand(file[FRAMES])


def test_an_archive_has_digests_unless_they_are_not_wanted():
    assert ExportOptions(compression="archive").digests_frames
    assert not ExportOptions(compression="archive", digests=False).digests_frames
