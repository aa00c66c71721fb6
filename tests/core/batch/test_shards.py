"""Frames in shards: the same frames for every reader, an error where one is missing, and one file again by merging."""

import shutil
from contextlib import ExitStack
from threading import Timer

import h5py
import hdf5plugin  # noqa: F401 - h5py reads with it
import numpy as np
import pytest

from ptychoproduct import (
    ContractError,
    DiffractionFile,
    ExportMeta,
    ExportOptions,
    OutputError,
    ScanFiles,
    export_product_from_files,
    import_product_to_npz,
    inspect_product,
    open_product,
    repack_product,
    validate_product,
)
from ptychoproduct.batch import encoding, shards
from ptychoproduct.batch.one_scan import export_on_cluster
from ptychoproduct.batch.shards import shard_ranges
from ptychoproduct.convert.merge import merge_product
from ptychoproduct.hdf5 import sharded_chunks
from ptychoproduct.system.part_files import held_part, new_name

pytestmark = pytest.mark.slow
FRAMES, SHARDS = 150, 16
OPTIONS = ExportOptions(object_center="auto", chunk_frames=4)


@pytest.fixture(scope="module")
def made(client, tmp_path_factory):
    """Return a folder with a scan, its product, and its product in shards."""
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:16, :24]
    probe = (np.exp(-((x - 12) ** 2 + (y - 8) ** 2) / 20) * (1 + 0j)).astype(np.complex64)
    np.savez(
        folder / "scan.npz",
        diff3d=np.sqrt(rng.poisson(3, (FRAMES, 16, 24))).astype(np.float32),
        xcoords=rng.uniform(8, 56, FRAMES),
        ycoords=rng.uniform(8, 56, FRAMES),
        probeGuess=probe,
        objectGuess=np.ones((64, 80), np.complex64),
        scan_index=np.arange(FRAMES),
    )
    files = ScanFiles(folder / "scan.npz")
    export_product_from_files(files, folder / "here.h5", options=OPTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "RANGE_BYTES", 10_000)
        counted = []
        summary = export_on_cluster(
            client, files, folder / "out.h5", shards=SHARDS, options=OPTIONS, progress=counted.append
        )
    assert sum(counted) == summary.frame_bytes
    assert sorted(path.name for path in folder.iterdir()) == ["here.h5", "out.frames", "out.h5", "scan.npz"]
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """Return a copy, in which files may be changed."""
    return shutil.copytree(made, tmp_path / "moved")


def frames_of(path):
    with h5py.File(path) as file:
        return file["raw_data/diffraction"][()]


def test_every_reader_gets_the_same_frames(folder, monkeypatch):
    monkeypatch.setattr(sharded_chunks, "_MOST_OPEN", 3)
    expected = frames_of(folder / "here.h5")
    assert len(list((folder / "out.frames").iterdir())) == SHARDS
    assert np.array_equal(frames_of(folder / "out.h5"), expected)
    with open_product(folder / "out.h5") as product:
        assert product.frames.chunks == (4, 16, 24)
        assert np.array_equal(product.frames[:], expected)
        some = [149, 3, 77, 3, 12]
        assert np.array_equal(product.frames[some], expected[some])
        assert np.array_equal(np.concatenate(list(product.frames.blocks())), expected)
        for number in (0, 9, 149):
            assert np.array_equal(product.frames[number, 2:5], expected[number, 2:5])
    import_product_to_npz(folder / "out.h5", folder / "again.npz")
    with np.load(folder / "again.npz") as again, np.load(folder / "scan.npz") as scan:
        assert np.array_equal(again["diff3d"], scan["diff3d"])


def test_ptychodus_and_silx_read_it(folder):
    from ptychodus.api.io import load_diffraction_data, load_product
    from silx.io.nxdata import get_default

    theirs, same = load_product(folder / "out.h5"), load_product(folder / "here.h5")
    assert np.array_equal(theirs.probes.get_array(), same.probes.get_array())
    assert len(list(theirs.probe_positions)) == len(list(same.probe_positions)) == FRAMES
    expected = frames_of(folder / "here.h5")
    with h5py.File(folder / "out.h5") as file:
        assert np.array_equal(get_default(file).signal[()], expected)
    patterns = DiffractionFile(folder / "diffraction.h5", patterns_are="amplitude")
    files, meta = ScanFiles(folder / "out.h5"), ExportMeta(detector_pixel_width_m=75e-6, detector_pixel_height_m=75e-6)
    export_product_from_files(files, folder / "product.h5", meta, options=OPTIONS, diffraction=patterns)
    found = load_diffraction_data(folder / "diffraction.h5").get_patterns()
    np.testing.assert_allclose(found, expected**2, rtol=1e-6)


def test_it_is_a_valid_product(folder):
    report = validate_product(folder / "out.h5", deep=True, source=folder / "scan.npz")
    assert report.problems == validate_product(folder / "here.h5", deep=True, source=folder / "scan.npz").problems
    assert report.is_valid
    (frames,) = (
        entry
        for group in inspect_product(folder / "out.h5").root.members
        for entry in getattr(group, "members", ())
        if entry.path == "/raw_data/diffraction"
    )
    assert (frames.codec, frames.chunk_shape) == ("zstd:3+fletcher32", (4, 16, 24))
    assert frames.stored_bytes == sum(path.stat().st_size for path in (folder / "out.frames").iterdir())


def test_merging_gives_what_is_written_without_shards(folder):
    summary = merge_product(folder / "out.h5", folder / "one.h5")
    assert summary.shards == SHARDS
    shutil.rmtree(folder / "out.frames")
    seen = []
    with h5py.File(folder / "one.h5") as one, h5py.File(folder / "here.h5") as here:

        def compare(name, found):
            seen.append(name)
            other = here[name]
            assert list(found.attrs) == list(other.attrs)
            for key, value in found.attrs.items():
                assert np.array_equal(value, other.attrs[key]), (name, key)
            if isinstance(found, h5py.Dataset):
                assert (found.dtype, found.chunks) == (other.dtype, other.chunks)
                assert np.array_equal(found[()], other[()])
                for number in range(found.id.get_num_chunks() if found.chunks else 0):
                    offset = found.id.get_chunk_info(number).chunk_offset
                    assert found.id.read_direct_chunk(offset) == other.id.read_direct_chunk(offset)

        compare("/", one)
        one.visititems(compare)
        here.visit(seen.remove)
    assert seen == ["/"]
    assert validate_product(folder / "one.h5", deep=True).is_valid


@pytest.mark.parametrize("damage", ["missing", "short", "changed", "another", "no HDF5"])
def test_a_damaged_shard_is_named(folder, damage):
    shard = folder / "out.frames" / "0007.h5"
    whole = shard.read_bytes()
    if damage == "missing":
        shard.unlink()
    elif damage == "short":
        shard.write_bytes(whole[:-1])
    elif damage == "another":
        shutil.copy(folder / "out.frames" / "0008.h5", shard)
        shard.write_bytes(shard.read_bytes().ljust(len(whole), b"\0")[: len(whole)])
    elif damage == "no HDF5":
        shard.write_bytes(bytes(len(whole)))
    else:
        with h5py.File(shard) as file:
            place = file["diffraction"].id.get_chunk_info(1)
        middle = place.byte_offset + place.size // 2
        shard.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])

    def read():
        with open_product(folder / "out.h5") as product:
            return product.frames[:]

    with pytest.raises(ContractError, match=r"0007\.h5"):
        read()
    problems = validate_product(folder / "out.h5", deep=True).problems
    assert any("0007.h5" in problem.message for problem in problems), problems
    with pytest.raises(ContractError, match=r"0007\.h5"):
        merge_product(folder / "out.h5", folder / "one.h5")
    assert not (folder / "one.h5").exists()
    if damage in ("missing", "short", "no HDF5"):
        assert not validate_product(folder / "out.h5").is_valid


def test_nothing_leads_out_of_the_folder(folder, tmp_path):
    outside = tmp_path / "outside.frames"
    (folder / "out.frames").rename(outside)
    (folder / "out.frames").symlink_to(outside)
    with pytest.raises(ContractError, match="outside"):
        open_product(folder / "out.h5")
    (folder / "out.frames").unlink()
    with h5py.File(folder / "out.h5", "r+") as file:
        sizes, shape = file["raw_data/diffraction"].attrs["shard_bytes"], file["raw_data/diffraction"].shape
        del file["raw_data/diffraction"]
        layout = h5py.VirtualLayout(shape, "f4")
        layout[:] = h5py.VirtualSource("../outside.frames/0001.h5", "diffraction", shape)
        file.create_virtual_dataset("raw_data/diffraction", layout).attrs["shard_bytes"] = sizes[:1]
    with pytest.raises(ContractError, match="outside"):
        open_product(folder / "out.h5")


def test_shards_of_another_product_stay(client, folder):
    before = {path.name: path.read_bytes() for path in (folder / "out.frames").iterdir()}
    with pytest.raises(OutputError, match=r"out\.frames.*this product"):
        export_on_cluster(client, ScanFiles(folder / "scan.npz"), folder / "out.h5", shards=2, options=OPTIONS)
    assert before == {path.name: path.read_bytes() for path in (folder / "out.frames").iterdir()}
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_counts_that_the_sample_did_not_show(client, folder):
    with np.load(folder / "scan.npz") as scan:
        arrays = dict(scan)
    arrays["diff3d"][77, 3, 5] = np.sqrt(np.float32(70_001))
    np.savez(folder / "counts.npz", **arrays)
    options = ExportOptions(object_center="auto", chunk_frames=4, store_counts=True)
    files = ScanFiles(folder / "counts.npz")
    export_on_cluster(client, files, folder / "counts.h5", shards=5, options=options)
    with open_product(folder / "counts.h5") as product:
        assert product.frames.counts.dtype == np.uint32
        assert np.array_equal(product.frames[:], arrays["diff3d"])


def test_others_are_told_to_merge_first(folder):
    with pytest.raises(ContractError, match="merge"):
        repack_product(folder / "out.h5", folder / "repacked.h5", options=OPTIONS)
    with pytest.raises(ContractError, match="not in shards"):
        merge_product(folder / "here.h5", folder / "one.h5")
    export_product_from_files(ScanFiles(folder / "out.h5"), folder / "again.h5", options=OPTIONS)
    assert np.array_equal(frames_of(folder / "again.h5"), frames_of(folder / "here.h5"))


@pytest.mark.parametrize(("rows", "chunk", "shards"), [(150, 4, 16), (7, 4, 16), (3, 4, 2), (8, 1, 8), (9, 4, 2)])
def test_ranges_are_whole_chunks(rows, chunk, shards):
    parts = shard_ranges(rows, chunk, shards)
    assert [row for part in parts for row in part] == list(range(rows))
    assert all(part.start % chunk == 0 and len(part) >= min(chunk, rows) for part in parts)
    assert len(parts) == min(shards, max(1, rows // chunk))


def test_the_product_is_the_same_whoever_holds_a_handle(client, made, tmp_path, monkeypatch):
    held, join = [], shards._joined

    def joined(frames, *others):
        held.append(frames.dataset[:0])
        held.append(h5py.Dataset(frames.dataset.id))
        return join(frames, *others)

    monkeypatch.setattr(shards, "_joined", joined)
    (tmp_path / "scan.npz").symlink_to(made / "scan.npz")
    products = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        export_on_cluster(
            client, ScanFiles(tmp_path / "scan.npz"), tmp_path / name / "out.h5", shards=SHARDS, options=OPTIONS
        )
        products.append((tmp_path / name / "out.h5").read_bytes())
        monkeypatch.setattr(shards, "_joined", join)
    assert products[0] == products[1]


def test_what_is_no_shard_is_removed_when_nobody_writes_it(tmp_path):
    (tmp_path / "0001.h5").touch()
    part = new_name(tmp_path / "0001.h5", ".part")
    with ExitStack() as held:
        held.enter_context(held_part(part))
        Timer(0.3, held.pop_all().close).start()
        shards._settle(tmp_path, {"0001.h5"})
    assert [path.name for path in tmp_path.iterdir()] == ["0001.h5"]
