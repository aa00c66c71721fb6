"""Profiles, and what they resolve to for scans of every type and shape."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct import ExportOptions, OptionError, export_product_from_npz, open_product
from ptychoproduct.compression.codecs import Codec
from ptychoproduct.compression.profiles import MOST_SLAB_BYTES, PROFILES, parse_compression, storage_for
from ptychoproduct.hdf5.chunks import create_chunked

FIXED = ["fast", "balanced", "archive", "portable"]


@pytest.mark.parametrize(
    ("profile", "dtype", "codec"),
    [
        ("fast", "f4", "bitshuffle-lz4,block=64KiB+fletcher32"),
        ("balanced", "f4", "zstd:3+fletcher32"),
        ("balanced", "u2", "bitshuffle-zstd:fast7,block=256KiB+fletcher32"),
        ("archive", "f4", "bzip2:9+fletcher32"),
        ("archive", "u4", "bitshuffle-zstd:lazy7,block=512KiB+fletcher32"),
        ("portable", "f8", "gzip:2+fletcher32"),
        ("portable", "i4", "shuffle+gzip:2+fletcher32"),
        ("zstd:9", "f4", "zstd:9"),
    ],
)
def test_a_profile_has_a_codec_for_each_type(profile, dtype, codec):
    assert str(storage_for(profile, np.dtype(dtype), (256, 256), 2000).codec) == codec


@pytest.mark.parametrize("profile", [*FIXED, "auto", "auto:ratio", "auto:speed"])
@pytest.mark.parametrize("store_counts", [False, True])
def test_every_chunk_of_every_profile_has_a_checksum(save_scan, tmp_path, centered_meta, profile, store_counts):
    options = ExportOptions(compression=profile, store_counts=store_counts)
    export_product_from_npz(save_scan(background=np.ones((5, 4, 3))), tmp_path / "a.h5", centered_meta, options=options)
    chunked = []
    with h5py.File(tmp_path / "a.h5") as file:
        file.visititems(lambda _, item: chunked.append(item) if getattr(item, "chunks", None) else None)
        assert file["raw_data/diffraction"] in chunked
        assert all(dataset.fletcher32 for dataset in chunked)


def test_only_archive_asks_for_digests_and_tiles():
    for profile in FIXED:
        storage = storage_for(profile, np.dtype("f4"), (256, 256), 2000)
        assert storage.digests == (storage.chunk_shape is not None) == (profile == "archive")


def test_archive_cuts_the_scan_of_the_benchmarks_evenly():
    assert storage_for("archive", np.dtype("u4"), (256, 256), 2000).chunk_shape == (500, 16, 16)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(["u1", "u2", "i4", "f4", "f8"]),
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.none() | st.integers(1, 100_000),
)
def test_archive_has_legal_chunks_for_any_scan(dtype, frame_shape, frames):
    dtype = np.dtype(dtype)
    chunk_shape = storage_for("archive", dtype, frame_shape, frames).chunk_shape
    depth, rows, columns = chunk_shape
    assert all(1 <= part <= whole for part, whole in zip((rows, columns), frame_shape, strict=True))
    assert 1 <= depth <= 512
    assert depth * np.prod(frame_shape) * dtype.itemsize <= MOST_SLAB_BYTES
    assert depth * rows * columns <= 4 * 512 * 16 * 16
    with h5py.File.in_memory() as file:
        codec = Codec("none")
        assert create_chunked(file, "a", frame_shape, dtype, codec, frames, chunk_shape).chunks[1:] == (rows, columns)


def test_frames_of_few_are_cut_into_wider_tiles():
    depth, rows, columns = storage_for("archive", np.dtype("f4"), (256, 256), 10).chunk_shape
    assert (depth, rows, columns) == (10, 128, 128)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [("archiv", "archive"), ("Balanced", "balanced"), ("auto:size", "auto:speed"), ("zst:9", "zstd:9")],
)
def test_a_misspelt_profile_names_the_nearest_profile_or_codec(text, nearest):
    with pytest.raises(OptionError, match=f"perhaps {nearest} is meant$"):
        parse_compression(text)
    with pytest.raises(OptionError, match=f"perhaps {nearest} is meant$"):
        ExportOptions(compression=text)


def test_a_codec_with_a_wrong_part_is_told_what_is_wrong_with_it():
    with pytest.raises(OptionError, match=r"zstd has levels 1 to 22; perhaps zstd:22 is meant$"):
        parse_compression("zstd:23")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dtype", ["u1", "uint16", "float32", "float64"])
def test_every_profile_makes_a_product_that_reads_the_same(save_scan, tmp_path, centered_meta, profile, dtype):
    frames = np.random.default_rng(3).poisson(2, (12, 16, 16)).astype(dtype)
    scan = save_scan(diff3d=frames)
    summary = export_product_from_npz(
        scan, tmp_path / "a.h5", centered_meta, options=ExportOptions(compression=profile)
    )
    assert parse_compression(summary.compression) is not None
    with open_product(tmp_path / "a.h5") as product:
        assert product.frames[:].tobytes() == frames.tobytes()
        assert product.frames.chunks == summary.chunk_shape


def test_portable_products_have_no_filter_that_hdf5_does_not_have(save_scan, tmp_path, centered_meta):
    scan = save_scan(Y=np.arange(12.0))
    export_product_from_npz(scan, tmp_path / "a.h5", centered_meta, options=ExportOptions(compression="portable"))
    found = set()

    def look(_, item):
        if isinstance(item, h5py.Dataset):
            properties = item.id.get_create_plist()
            found.update(properties.get_filter(i)[0] for i in range(properties.get_nfilters()))

    with h5py.File(tmp_path / "a.h5") as file:
        file.visititems(look)
    assert found == {1, 3}  # deflate, fletcher32


@pytest.mark.parametrize(
    ("chosen", "expected"), [({"chunk_frames": 3}, (3, 16, 16)), ({"chunk_shape": (4, 8, 16)}, (4, 8, 16))]
)
@pytest.mark.parametrize("profile", ["archive", "auto:ratio", "balanced"])
def test_a_chunk_shape_that_is_asked_for_wins(save_scan, tmp_path, centered_meta, profile, chosen, expected):
    options = ExportOptions(compression=profile, **chosen)
    summary = export_product_from_npz(save_scan(), tmp_path / "a.h5", centered_meta, options=options)
    assert summary.chunk_shape == expected
