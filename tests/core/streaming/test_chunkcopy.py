"""Chunks that need no decoding: copied bit for bit, and only where they are what the product would hold."""

import h5py
import hdf5plugin
import numpy as np
import pytest

from ptychoproduct import ExportMeta, ExportOptions, ProductWarning, ScanFiles, SourceError, export_product_from_files
from ptychoproduct.compression.codecs import parse_codec
from ptychoproduct.streaming.recoding import copy_chunks, has_same_chunks

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N = 10
CHUNK = (4, 8, 8)
STACK = np.random.default_rng(1).poisson(2, (N, 8, 8)).astype("<u2")
CODECS = ["none", "gzip:3", "shuffle+gzip:3", "zstd:2", "bitshuffle-lz4", "bitshuffle-zstd:1,block=128B"]


def write(path, stack=STACK, dtype=None, chunks=CHUNK, **options):
    with h5py.File(path, "w") as file:
        grows = {"maxshape": (None, 8, 8)} if len(stack) < CHUNK[0] else {}
        file.create_dataset("patterns", data=stack, dtype=dtype, chunks=chunks, **grows, **options)
        file["probe"] = np.ones((8, 8), np.complex64)
        file["probe_position_x_m"] = file["probe_position_y_m"] = np.arange(len(stack)) * 5e-8
    return path


def stored_chunks(path, name):
    with h5py.File(path) as file:
        dataset = file[name].id
        return {
            (info := dataset.get_chunk_info(i)).chunk_offset: dataset.read_direct_chunk(info.chunk_offset)
            for i in range(dataset.get_num_chunks())
        }


def filters(path, name):
    with h5py.File(path) as file:
        properties = file[name].id.get_create_plist()
        return [properties.get_filter(i)[::2] for i in range(properties.get_nfilters())]


def convert(source, codec, allow_gaps=False, **options):
    product = source.with_name("product.h5")
    export_product_from_files(
        ScanFiles(source, allow_gaps=allow_gaps),
        product,
        ExportMeta(),
        options=ExportOptions(compression=codec, chunk_frames=CHUNK[0], **options),
    )
    return product


@pytest.fixture
def decoded(monkeypatch):
    """First rows of the blocks that are decoded."""
    from ptychoproduct.streaming.dataset_rows import DatasetRows

    firsts = []
    read_into = DatasetRows.read_into
    monkeypatch.setattr(
        DatasetRows, "read_into", lambda self, first, view: firsts.append(first) or read_into(self, first, view)
    )
    return firsts


@pytest.mark.parametrize("codec", CODECS)
def test_chunks_with_the_wanted_pipeline_are_copied_bit_for_bit(tmp_path, codec, decoded):
    source = write(tmp_path / "diffraction.h5", **parse_codec(codec).dataset_options(STACK.dtype))
    product = convert(source, codec)
    assert decoded == [8]  # the last chunk, which reaches beyond the last frame
    assert filters(product, "raw_data/diffraction") == filters(source, "patterns")
    before, after = stored_chunks(source, "patterns"), stored_chunks(product, "raw_data/diffraction")
    assert set(before) == set(after) == {(0, 0, 0), (4, 0, 0), (8, 0, 0)}
    for offset in ((0, 0, 0), (4, 0, 0)):
        assert before[offset] == after[offset]
    with h5py.File(product) as file:
        assert np.array_equal(file["raw_data/diffraction"][:], STACK)


@pytest.mark.parametrize("codec", CODECS)
def test_chunks_are_copied_and_get_the_checksum_that_they_lack(tmp_path, codec, decoded):
    source = write(tmp_path / "diffraction.h5", **parse_codec(codec).dataset_options(STACK.dtype))
    product = convert(source, codec + "+fletcher32")
    assert decoded == [8]
    before, after = stored_chunks(source, "patterns"), stored_chunks(product, "raw_data/diffraction")
    for offset in ((0, 0, 0), (4, 0, 0)):
        assert (after[offset][0], after[offset][1][:-4]) == before[offset]
    with h5py.File(product) as file:
        assert np.array_equal(file["raw_data/diffraction"][:], STACK)  # HDF5 verifies the checksums


def test_a_chunk_that_another_encoder_made_is_copied_as_it_is(tmp_path, decoded):
    """A zstd frame of level 19, in a dataset that says level 1: nobody here would encode it so."""
    source = write(tmp_path / "diffraction.h5", STACK[:8], **hdf5plugin.Zstd(clevel=1))
    donor = write(tmp_path / "donor.h5", STACK[:8], **hdf5plugin.Zstd(clevel=19))
    chunk = stored_chunks(donor, "patterns")[0, 0, 0]
    assert chunk != stored_chunks(source, "patterns")[0, 0, 0]
    with h5py.File(source, "r+") as file:
        file["patterns"].id.write_direct_chunk((0, 0, 0), chunk[1], chunk[0])
    product = convert(source, "zstd:1")
    assert decoded == []
    assert stored_chunks(product, "raw_data/diffraction")[0, 0, 0] == chunk


def test_filter_masks_are_copied(tmp_path):
    source = write(tmp_path / "diffraction.h5", shuffle=True, compression="gzip", compression_opts=3)
    with h5py.File(source, "r+") as file:
        file["patterns"].id.write_direct_chunk((4, 0, 0), STACK[4:8].tobytes(), filter_mask=0b11)
    product = convert(source, "shuffle+gzip:3")
    assert stored_chunks(product, "raw_data/diffraction")[4, 0, 0] == (0b11, STACK[4:8].tobytes())
    with h5py.File(product) as file:
        assert np.array_equal(file["raw_data/diffraction"][:], STACK)


def test_chunks_that_were_never_written_become_the_fill_value(tmp_path, decoded):
    source = tmp_path / "diffraction.h5"
    write(source)
    with h5py.File(source, "r+") as file:
        del file["patterns"]
        file.create_dataset("patterns", (N, 8, 8), "<u2", chunks=CHUNK, fillvalue=7)[:4] = STACK[:4]
    with pytest.warns(ProductWarning, match="frames 4 to 9 were never written"):
        product = convert(source, "none", allow_gaps=True)
    assert decoded == [4, 8]
    with h5py.File(product) as file:
        frames = file["raw_data/diffraction"][:]
    assert np.array_equal(frames[:4], STACK[:4])
    assert np.unique(frames[4:]).tolist() == [7]


@pytest.mark.parametrize(
    "changes",
    [
        {"chunks": (2, 8, 8)},
        {"chunks": (4, 4, 8)},
        {"compression_opts": 4},
        {"shuffle": True},
        {"fletcher32": True},
        {"compression": None, "compression_opts": None},
        {"dtype": ">u2"},
    ],
    ids=str,
)
def test_other_chunks_are_decoded(tmp_path, changes, decoded):
    layout = {"chunks": CHUNK, "compression": "gzip", "compression_opts": 3} | changes
    source = write(tmp_path / "diffraction.h5", **layout)
    with h5py.File(source) as file, h5py.File(tmp_path / "other.h5", "w") as other:
        wanted = other.create_dataset("d", data=STACK, chunks=CHUNK, compression="gzip", compression_opts=3)
        assert has_same_chunks(file["patterns"], wanted) is False
    product = convert(source, "gzip:3")
    assert decoded == [0, 4, 8]
    with h5py.File(product) as file:
        assert np.array_equal(file["raw_data/diffraction"][:], STACK)


def test_another_axis_order_is_decoded(tmp_path, decoded):
    stack = np.ascontiguousarray(STACK[:8].transpose(1, 0, 2))[:, :8]  # 8 frames of 8 x 8, in HNW order
    product = convert(write(tmp_path / "diffraction.h5", stack), "none", axis_order="HNW")
    assert decoded == [0, 4]
    with h5py.File(product) as file:
        assert np.array_equal(file["raw_data/diffraction"][:], STACK[:8])


def test_a_product_made_of_a_product_has_the_same_chunks(tmp_path, decoded):
    first = convert(write(tmp_path / "diffraction.h5"), "bitshuffle-zstd:1")
    first = first.rename(tmp_path / "first.h5")
    decoded.clear()
    second = convert(first, "bitshuffle-zstd:1")
    assert decoded == [8]
    assert stored_chunks(second, "raw_data/diffraction") == stored_chunks(first, "raw_data/diffraction")


def test_progress_counts_every_frame_once(tmp_path):
    source = write(tmp_path / "diffraction.h5")
    counted = []
    options = ExportOptions(compression="none", chunk_frames=4)
    export_product_from_files(ScanFiles(source), tmp_path / "product.h5", options=options, progress=counted.append)
    assert sum(counted) == STACK.nbytes


def test_a_chunk_that_lies_nowhere_is_damage(tmp_path):
    source = write(tmp_path / "diffraction.h5")
    with h5py.File(source) as file:
        place = file["patterns"].id.get_chunk_info_by_coord((4, 0, 0)).byte_offset
    data = source.read_bytes()
    assert data.count(place.to_bytes(8, "little")) == 1
    source.write_bytes(data.replace(place.to_bytes(8, "little"), (2**40).to_bytes(8, "little")))
    with h5py.File(source) as file, h5py.File(tmp_path / "other.h5", "w") as other:
        wanted = other.create_dataset("d", STACK.shape, "<u2", chunks=CHUNK)
        with pytest.raises(
            SourceError, match=r"diffraction\.h5: /patterns: damaged: chunk \(4, 0, 0\) is stored outside the file"
        ):
            copy_chunks(file["patterns"], wanted, [].append)


def master(folder, lengths, **options):
    """A file that links to files of frames, as a detector writes it."""
    path, first = folder / "scan_master.h5", 0
    with h5py.File(path, "w") as file:
        for number, length in enumerate(lengths, 1):
            part = write(folder / f"scan_data_{number:06}.h5", STACK[first : first + length], **options)
            file[f"entry/data/data_{number:06}"] = h5py.ExternalLink(part.name, "/patterns")
            first += length
        file["probe"] = np.ones((8, 8), np.complex64)
        file["probe_position_x_m"] = file["probe_position_y_m"] = np.arange(first) * 5e-8
    return path


@pytest.mark.parametrize(("lengths", "first_decoded"), [((4, 4, 2), [8]), ((8, 2), [8]), ((4, 3, 3), [0, 4, 8])])
def test_chunks_of_the_parts_of_a_master_are_copied(tmp_path, lengths, first_decoded, decoded):
    """Where each part begins with a chunk of the product."""
    source = master(tmp_path, lengths, **parse_codec("bitshuffle-lz4").dataset_options(STACK.dtype))
    product = convert(source, "bitshuffle-lz4")
    if first_decoded == [8]:
        assert decoded == [0]  # of the last part
        after = stored_chunks(product, "raw_data/diffraction")
        assert after[0, 0, 0] == stored_chunks(tmp_path / "scan_data_000001.h5", "patterns")[0, 0, 0]
    with h5py.File(product) as file:
        assert np.array_equal(file["raw_data/diffraction"][:], STACK)


@pytest.mark.parametrize("lengths", [(1, 1, 5, 2, 1), (10,), (3, 7)])
@pytest.mark.parametrize("chunk_frames", [1, 3, 4])
def test_parts_are_decoded_across_their_ends(tmp_path, lengths, chunk_frames):
    source = master(tmp_path, lengths, chunks=(1, 8, 8), compression="gzip")
    options = ExportOptions(compression="zstd:1", chunk_frames=chunk_frames)
    export_product_from_files(ScanFiles(source), tmp_path / "product.h5", options=options)
    with h5py.File(tmp_path / "product.h5") as file:
        assert np.array_equal(file["raw_data/diffraction"][:], STACK)
