"""Repacking: another codec or chunk shape, and nothing else different; judged by h5py alone."""

import hashlib
import os

import h5py
import hdf5plugin
import numpy as np
import pytest

from ptychoproduct import (
    ContractError,
    ExportOptions,
    OptionError,
    OutputError,
    Reconstruction,
    SourceError,
    export_product_from_npz,
    open_product,
    repack_product,
    validate_product,
)
from ptychoproduct.convert import repack as repack_module
from ptychoproduct.convert.repack import bytes_to_repack
from ptychoproduct.streaming import recoding
from ptychoproduct.validation import read_back

FRAMES = "raw_data/diffraction"
CODECS = ["none", "gzip:2", "shuffle+gzip:1", "zstd:3", "bitshuffle-lz4", "bitshuffle-zstd:1,block=4KiB"]
LIBVER = ("v108", "v110")


@pytest.fixture
def product(save_scan, centered_meta, tmp_path):
    """A product of ours with OPR weights, losses and digests, in chunks of 5 frames."""
    path = tmp_path / "in.h5"
    source = save_scan(Y=np.ones((12, 3), complex), a=np.array("text"))
    results = Reconstruction(opr_weights=np.ones((12, 1)), loss_values=[2.0, 1.0])
    options = ExportOptions(chunk_frames=5, digests=True)
    export_product_from_npz(source, path, centered_meta, reconstruction=results, options=options)
    return path


def repack(path, codec="zstd:1", verify=True, **options):
    out = path.with_name("out.h5")
    return repack_product(path, out, options=ExportOptions(compression=codec, verify=verify, **options)), out


def value_of(value):
    """Turn what h5py reads into something that can be compared."""
    if isinstance(value, h5py.Empty):
        return "empty", value.dtype
    array = np.asarray(value)
    return array.dtype, array.shape, array.tolist() if array.dtype.hasobject else array.tobytes()


def content_of(path):
    """Give everything that h5py finds in a file: by place, links, attributes and values; by object, its places."""
    found, places = {}, {}

    def visit(item, place):
        places.setdefault(item, []).append(place)
        attributes = []
        for key in item.attrs:
            kind = item.attrs.get_id(key).get_type()
            holds_references = kind.detect_class(h5py.h5t.REFERENCE)  # looked at in a test of their own
            attributes.append((key, None if holds_references else repr(item.attrs[key]), kind.encode()))
        found[place, "attributes"] = attributes
        if len(places[item]) > 1:
            return
        if isinstance(item, h5py.Dataset):
            is_elsewhere = item.is_virtual or item.external
            if item.dtype != h5py.ref_dtype:
                found[place, "value"] = (item.external, item.is_virtual) if is_elsewhere else value_of(item[()])
            found[place, "dataset"] = item.dtype, item.shape, item.maxshape, value_of(item.fillvalue)
        elif isinstance(item, h5py.Group):
            found[place, "links"] = list(item)
            for name in item:
                link = item.get(name, getlink=True)
                if isinstance(link, h5py.HardLink):
                    visit(item[name], f"{place}/{name}")
                else:
                    found[f"{place}/{name}", "link"] = type(link), vars(link)

    with h5py.File(path) as file:
        visit(file["/"], "")
        return found, sorted(map(tuple, places.values()))


def stored_chunks(path, name):
    with h5py.File(path) as file:
        dataset = file[name].id
        infos = [dataset.get_chunk_info(i) for i in range(dataset.get_num_chunks())]
        return {info.chunk_offset: dataset.read_direct_chunk(info.chunk_offset) for info in infos}


@pytest.mark.parametrize("shape", [{}, {"chunk_frames": 3}, {"chunk_shape": (4, 8, 5)}, {"chunk_shape": (99, 99, 99)}])
@pytest.mark.parametrize("codec", CODECS)
def test_a_product_in_another_codec_and_shape_holds_the_same(product, codec, shape):
    summary, out = repack(product, codec, **shape)
    assert content_of(out) == content_of(product)
    assert validate_product(out, deep=True).problems == ()
    with h5py.File(out) as file:
        wanted = ExportOptions(**shape).frames_chunk((16, 16)) or (5, 16, 16)
        assert file[FRAMES].chunks == summary.datasets[0].chunk_shape == tuple(map(min, wanted, (12, 16, 16)))
        assert file["raw_data/probeGuess"] == file["probe"]
        assert summary.datasets[0].stored_bytes == file[FRAMES].id.get_storage_size()


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": None},
        {"chunks": (4, 4, 4), "compression": "lzf", "shuffle": True},
        {"chunks": (5, 16, 16), "scaleoffset": 0},
        {"chunks": (5, 16, 16), **hdf5plugin.Blosc2(cname="zstd", clevel=3)},
        {"chunks": (7, 16, 3), **hdf5plugin.Blosc(cname="lz4"), "fletcher32": True},
        {"chunks": (12, 16, 16), **hdf5plugin.LZ4()},
        {"chunks": (5, 16, 16), "maxshape": (None, 16, None), "fillvalue": 3, **hdf5plugin.BZip2()},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["<u2", ">i4"])
@pytest.mark.parametrize("shape", [{}, {"chunk_shape": (5, 16, 16)}, {"chunk_shape": (4, 5, 16)}])
def test_frames_of_any_layout_and_filter_are_repacked(tmp_path, options, dtype, shape):
    path = tmp_path / "patterns.h5"
    frames = np.random.default_rng(2).poisson(3, (12, 16, 16)).astype(dtype)
    with h5py.File(path, "w") as file:
        file.create_dataset("patterns", data=frames, **options)
    _, out = repack(path, "bitshuffle-zstd:3,block=1KiB", **shape)
    assert content_of(out) == content_of(path)
    with h5py.File(out) as file:
        assert file["patterns"].id.get_create_plist().get_filter(0)[0] == 32008
        assert file["patterns"].chunks == (shape.get("chunk_shape") or options["chunks"] or (12, 16, 16))


def test_large_numbers_elsewhere_are_encoded_and_the_reconstruction_is_not(tmp_path):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as file:
        file["object"] = np.zeros((1, 512, 512), np.complex64)
        file["raw_data/objectGuess"] = file["object"]
        file["raw_data/Y"] = np.zeros((16, 64, 256), np.complex64)
        file["raw_data/small"] = np.zeros(100)
        file.create_dataset("raw_data/records", data=np.zeros(2**17, [("a", "f4"), ("b", "f8")]))
        file.create_dataset("raw_data/texts", data=["text"] * 10)
    summary, out = repack(path)
    assert [dataset.name for dataset in summary.datasets] == ["/raw_data/Y"]
    assert content_of(out) == content_of(path)
    with h5py.File(out) as file:
        assert file["raw_data/Y"].id.get_storage_size() < 2**14


@pytest.fixture
def anything(tmp_path):
    """A file with objects, links, attributes and values of every kind."""
    path = tmp_path / "anything.h5"
    with h5py.File(path, "w", libver=LIBVER, track_order=True) as file:
        file.attrs["z"], file.attrs["a"], file.attrs["b"] = "é", np.bytes_(b"fixed"), h5py.Empty("f4")
        file.attrs["large"] = np.random.default_rng(1).random((10_000, 3))
        file.attrs["texts"] = np.array(["a", "", "bc"], object)
        file.attrs["records"] = np.ones(3, [("a", ">f4"), ("b", "S3")])
        last, group = file.create_group("last"), file.create_group("first", track_order=True)
        frames = group.create_dataset(
            "z", data=np.arange(10.0), chunks=(3,), maxshape=(None,), fillvalue=7, shuffle=True
        )
        group.create_dataset("a", (600, 2000), "u1", chunks=(7, 900), fillvalue=5, compression="gzip")[100:103] = 1
        group.create_dataset("never written", (600, 2000), "i4", fillvalue=-3)
        group.create_dataset("sparse", (600, 2000), "i4", chunks=(100, 2000), fillvalue=-3)[250] = 1
        last["same"], file["top"], group["round"], last["up"] = frames, frames, file, group
        file["soft"], file["away"] = h5py.SoftLink("/nowhere/../there"), h5py.ExternalLink("/etc/passwd", "/é")
        file["named type"] = np.dtype([("a", "f4")])
        file.attrs["reference"], file.attrs["region"] = frames.ref, frames.regionref[2:5]
        frames.make_scale("x")
        file.create_dataset("y", data=np.arange(10.0)).dims[0].attach_scale(frames)
        file.create_dataset("references", (3,), h5py.ref_dtype)[1] = group.ref
        lists = file.create_dataset("lists", (3,), h5py.vlen_dtype("i4"))
        lists[0] = [1, 2]
        file["texts"], file["fixed"] = ["a", "é"], np.array([b"ab", b""])
        file["nothing"], file["none"], file["scalar"] = h5py.Empty("i4"), np.empty((0, 3)), 3
        file["opaque"] = np.ones(2, "V5")
        file.create_dataset("enum", data=[0, 1], dtype=h5py.enum_dtype({"A": 0, "B": 1}))
        file.create_dataset("outside", (10,), "i4", external=[("/etc/hostname", 0, 40)])
        layout = h5py.VirtualLayout((10,), "i8")
        layout[:] = h5py.VirtualSource("other.h5", "d", (10,))
        file.create_virtual_dataset("virtual", layout)
    return path


def test_everything_else_is_kept_as_it_is(anything, monkeypatch):
    monkeypatch.setattr(repack_module, "_LEAST_BYTES", 1)
    summary, out = repack(anything)
    assert content_of(out) == content_of(anything)
    assert {"/first/a", "/first/sparse", "/y"} <= {dataset.name for dataset in summary.datasets}
    with h5py.File(out) as file:
        assert file[file.attrs["reference"]] == file["last/same"] == file["first/z"]
        assert file["first/z"].regionref.selection(file.attrs["region"]) == (3,)
        assert file["y"].dims[0][0] == file["top"]
        assert file[file["references"][1]] == file["first"]
        assert not file["references"][0]
        assert (file["first/a"].chunks, file["first/sparse"].id.get_num_chunks()) == ((7, 900), 1)
        assert file["first/never written"].id.get_num_chunks() == 0


def test_a_block_of_the_users_own_at_the_beginning_is_kept(tmp_path):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w", userblock_size=1024) as file:
        file["patterns"] = np.arange(24).reshape(2, 3, 4)
    with path.open("r+b") as file:
        file.write(b"mine" * 256)
    _, out = repack(path)
    assert out.read_bytes()[:1024] == b"mine" * 256
    assert content_of(out) == content_of(path)


def test_chunks_that_are_as_wanted_are_copied_bit_for_bit(product):
    out = product.with_name("out.h5")
    repack_product(product, out)
    assert stored_chunks(out, FRAMES) == stored_chunks(product, FRAMES)


@pytest.mark.parametrize("profile", ["archive", "portable", "auto", "auto:ratio"])
def test_profiles_choose_for_the_frames_at_hand(product, profile):
    with h5py.File(product, "r+") as file:
        for dataset in (file[FRAMES], file["probe"]):
            del dataset.attrs["content_sha256"]
        del file.attrs["metadata_sha256"]
    _, out = repack(product, profile)
    problems = validate_product(out, deep=True).problems
    unseen = "there is no digest or checksum of attributes, /probe: changed bytes there cannot be seen"
    assert [problem.message for problem in problems] == [unseen] * (profile != "archive")
    with h5py.File(out) as file:
        assert "content_sha256" in file["raw_data/xcoords"].attrs
        assert ("content_sha256" in file["probe"].attrs) == (profile == "archive")
        assert ("content_sha256" in file[FRAMES].attrs) == (profile == "archive")
        assert file[FRAMES].fletcher32


def test_digests_are_given_where_there_are_none(anything):
    _, out = repack(anything, digests=True)
    with h5py.File(out) as file:
        for name, value in (("y", np.arange(10.0)), ("fixed", np.array([b"ab", b""])), ("scalar", np.int64(3))):
            assert file[name].attrs["content_sha256"] == hashlib.sha256(value.tobytes()).hexdigest()
        assert "content_sha256" not in file["opaque"].attrs


def test_frames_stored_as_counts_stay_counts(save_scan, centered_meta, tmp_path):
    path = tmp_path / "in.h5"
    options = ExportOptions(store_counts=True, digests=True)
    export_product_from_npz(save_scan(), path, centered_meta, options=options)
    assert validate_product(path, deep=True).problems == ()
    _, out = repack(path, "archive")
    assert content_of(out) == content_of(path)
    with open_product(path) as before, open_product(out) as after:
        assert np.array_equal(before.frames[:], after.frames[:])
        assert after.frames.dtype == np.float32


# What goes wrong.


def test_a_damaged_chunk_is_named_and_nothing_is_left(product):
    with h5py.File(product, "r+") as file:
        file[FRAMES].id.write_direct_chunk((5, 0, 0), b"what nobody can decode", 0)
    before = product.read_bytes()
    for shape in ({}, {"chunk_shape": (4, 8, 8)}):
        with pytest.raises(ContractError, match=r"diffraction: .*chunk \(5, 0, 0\)"):
            repack(product, **shape)
    assert sorted(path.name for path in product.parent.iterdir()) == ["in.h5", "scan.npz"]
    assert product.read_bytes() == before


def test_a_product_is_not_repacked_onto_itself(product):
    before = product.read_bytes()
    with pytest.raises(OutputError, match="the input itself"):
        repack_product(product, product)
    assert product.read_bytes() == before


def test_what_is_no_hdf5_file_is_a_source_error(tmp_path):
    (tmp_path / "in.h5").write_text("text")
    with pytest.raises(SourceError, match=r"in\.h5"):
        repack(tmp_path / "in.h5")


@pytest.mark.parametrize("name", ["in.h5", "patterns.h5"])
def test_a_shape_that_does_not_fit_is_an_option_error(product, name):
    if name == "patterns.h5":
        with h5py.File(product.with_name(name), "w") as file:
            file["patterns"] = np.ones((12, 16))
        with pytest.raises(OptionError, match="expected 2 positive numbers"):
            repack(product.with_name(name), chunk_shape=(1, 2, 3))
    else:
        with pytest.raises(OptionError, match="3 positive numbers"):
            repack(product, chunk_shape=(0, 16, 16))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda file: file[FRAMES].__setitem__((3, 2, 1), 7), "/raw_data/diffraction: cannot be read back"),
        (lambda file: file["probe"].attrs.__setitem__("pixel_width_m", 1.0), "/probe@pixel_width_m"),
        (lambda file: file.attrs.__setitem__("more", 1.0), "/: has other attributes"),
        (lambda file: file.__delitem__("raw_data/scan_index"), "/raw_data: has other links"),
        (lambda file: file.__setitem__("costs2", file["costs"]), "/: has other links"),
        (lambda file: file["raw_data/a"].__setitem__((), "TEXT"), "/raw_data/a"),
    ],
)
def test_a_disk_that_gives_back_something_else_is_noticed(product, monkeypatch, change, key):
    def forget(part):
        with h5py.File(part, "r+", locking=False) as file:
            change(file)

    monkeypatch.setattr(read_back, "_forget", forget)
    with pytest.raises(OutputError) as caught:
        repack(product)
    assert key in str(caught.value)
    assert not product.with_name("out.h5").exists()


def test_a_hard_link_that_became_a_copy_is_noticed(product, monkeypatch):
    def forget(part):
        with h5py.File(part, "r+", locking=False) as file:
            del file["raw_data/probeGuess"]
            file.copy("probe", "raw_data/probeGuess")

    monkeypatch.setattr(read_back, "_forget", forget)
    with pytest.raises(OutputError, match="probe"):
        repack(product)


@pytest.mark.parametrize("verify", [False, True])
def test_progress_comes_to_the_sum_that_was_told(product, verify):
    seen = []
    options = ExportOptions(compression="zstd:1", verify=verify, chunk_shape=(4, 8, 8))
    repack_product(product, product.with_name("out.h5"), options=options, progress=seen.append)
    assert sum(seen) == bytes_to_repack(product, verify=verify)


def test_frames_read_the_same_through_the_reader(product):
    _, out = repack(product, "bitshuffle-lz4", chunk_shape=(3, 7, 16))
    with open_product(product) as before, open_product(out) as after:
        assert np.array_equal(before.frames[:], after.frames[:])


def test_filters_that_hdf5_has_found_by_itself_are_used(product, run_command):
    environment = os.environ | {"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
    words = ("repack", "in.h5", "out.h5", "--compression", "zstd:2")
    assert run_command("ptychoproduct", *words, env=environment).returncode == 0
    assert content_of(product.with_name("out.h5")) == content_of(product)


@pytest.mark.parametrize("codec", ["zstd:1", "zstd:3+fletcher32"])
def test_chunks_that_threads_write_lie_where_hdf5_puts_them(product, monkeypatch, codec):
    _, out = repack(product, codec)
    ours = out.read_bytes()

    def by_hdf5(dataset, offset, data, filter_mask, file):  # noqa: ARG001 - does without
        dataset.id.write_direct_chunk(offset, data, filter_mask)

    monkeypatch.setattr(recoding, "write_chunk", by_hdf5)
    _, out = repack(product, codec)
    assert out.read_bytes() == ours
