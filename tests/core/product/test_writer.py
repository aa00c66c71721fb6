"""The product writer: what it accepts in which pieces, what it refuses, and that it never leaves half a file."""

import os
import re
from functools import partial

import h5py
import hdf5plugin  # noqa: F401 - the judge reads through h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychoproduct import (
    ExportMeta,
    ExportOptions,
    OptionError,
    OutputError,
    ProductWarning,
    ProductWriter,
    SourceError,
)
from ptychoproduct.scan.scan import FrameStack
from ptychoproduct.streaming.sources import ArrayRows

QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
PROBE = np.arange(1, 17, dtype=np.complex64).reshape(4, 4)
OBJECT = np.full((64, 64), 1j, np.complex64)
FRAMES = np.arange(6 * 4 * 4, dtype=np.uint16).reshape(6, 4, 4)
X_PX = np.linspace(-5.0, 5.0, 6)
Y_PX = X_PX[::-1].copy()
INDEX = np.arange(6)


def stack(frames):
    """Frames in memory as a writer takes them."""
    return FrameStack("frames", frames.shape, partial(ArrayRows, frames))


def write_whole(path, frames, x_px, y_px, scan_index, **settings):
    with ProductWriter(path, **settings) as writer:
        writer.set_positions(x_px, y_px, scan_index)
        writer.set_probe(PROBE)
        writer.set_object(OBJECT)
        writer.write_frames(stack(frames))
    return path


def read_all(path):
    with h5py.File(path) as file:
        found = {}
        for name in [*file, *(f"raw_data/{name}" for name in file.get("raw_data", ()))]:
            if isinstance(file[name], h5py.Dataset):
                found[name] = (file[name].dtype, file[name].shape, file[name][()].tobytes())
        return found


def folder_of(path):
    return sorted(file.name for file in path.iterdir())


# In pieces.


def test_frames_that_come_one_by_one_are_all_written(tmp_path):
    with ProductWriter(tmp_path / "product.h5") as writer:
        writer.set_probe(PROBE)
        writer.set_object(OBJECT)
        for number in range(6):
            writer.append(FRAMES[number : number + 1], X_PX[number], Y_PX[number], number)
    whole = write_whole(tmp_path / "whole.h5", FRAMES, X_PX, Y_PX, INDEX)
    assert read_all(tmp_path / "product.h5") == read_all(whole)


@settings(max_examples=60, **QUIET)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any),
    st.none() | st.integers(1, 7),
    st.sampled_from(["?", "u1", "<u2", ">u2", "<f4", ">f4", ">f8"]),
    st.sampled_from(["none", "shuffle+gzip:1", "bitshuffle-zstd:1", "bitshuffle-lz4"]),
    st.integers(1, 3),
    st.booleans(),
)
def test_blocks_of_any_size_are_the_same_as_one_write(tmp_path, blocks, chunk_frames, dtype, codec, threads, numbered):
    total = sum(blocks)
    rng = np.random.default_rng(total)
    frames = rng.integers(0, 2, (total, 4, 4)).astype(dtype)
    x_px, y_px = rng.uniform(-5, 5, (2, total))
    scan_index = rng.permutation(total)
    options = ExportOptions(codec, threads=threads, chunk_frames=chunk_frames, position_index="sequence")
    with ProductWriter(tmp_path / "blocks.h5", options=options) as writer:
        first = 0
        for block in blocks:
            rows = slice(first, first + block)
            writer.append(frames[rows], x_px[rows], y_px[rows], scan_index[rows] if numbered else None)
            first += block
        writer.set_probe(PROBE)
        writer.set_object(OBJECT)
    whole = write_whole(tmp_path / "whole.h5", frames, x_px, y_px, scan_index if numbered else None, options=options)
    assert read_all(tmp_path / "blocks.h5") == read_all(whole)
    assert writer.summary.frames == total


def test_a_frame_that_is_changed_after_it_was_appended_is_written_as_it_was(tmp_path):
    block = FRAMES.copy()
    with ProductWriter(tmp_path / "product.h5", options=ExportOptions(chunk_frames=4)) as writer:
        writer.set_probe(PROBE)
        writer.set_object(OBJECT)
        for number in range(3):
            block[:] = FRAMES + number
            writer.append(block, X_PX, Y_PX, INDEX + 6 * number)
            block[:] = 0
    with h5py.File(tmp_path / "product.h5") as file:
        assert np.array_equal(file["raw_data/diffraction"][()], np.concatenate([FRAMES, FRAMES + 1, FRAMES + 2]))


def test_without_raw_data_appended_frames_only_count_positions(tmp_path):
    with ProductWriter(tmp_path / "product.h5", include_raw=False) as writer:
        writer.set_probe(PROBE)
        writer.set_object(OBJECT)
        writer.append(FRAMES, X_PX, Y_PX, INDEX)
    assert "raw_data/diffraction" not in read_all(tmp_path / "product.h5")
    assert writer.summary.positions == 6


def test_frames_appended_without_scan_index_are_numbered_with_a_warning(tmp_path):
    def write():
        with ProductWriter(tmp_path / "product.h5") as writer:
            writer.set_probe(PROBE)
            writer.set_object(OBJECT)
            writer.append(FRAMES, X_PX, Y_PX)

    with pytest.warns(ProductWarning, match="no scan_index"):
        write()
    with h5py.File(tmp_path / "product.h5") as file:
        assert file["probe_position_indexes"][()].tolist() == list(range(6))
        assert "scan_index" not in file["raw_data"]


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".H5", ".HDF5"])
def test_both_suffixes_are_good_in_any_case(tmp_path, suffix):
    path = write_whole(tmp_path / f"product{suffix}", FRAMES, X_PX, Y_PX, INDEX)
    assert h5py.is_hdf5(path)


def test_missing_folders_are_made(tmp_path):
    assert write_whole(tmp_path / "a" / "b" / "product.h5", FRAMES, X_PX, Y_PX, INDEX).is_file()


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path):
    link = tmp_path / "product.h5"
    link.symlink_to(tmp_path / "target.h5")
    write_whole(link, FRAMES, X_PX, Y_PX, INDEX)
    assert link.is_symlink()
    assert h5py.is_hdf5(tmp_path / "target.h5")


# Reconstructions of every shape.


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5), (1, 1, 4, 5), (2, 3, 4, 5)])
def test_probes_of_every_shape_are_kept(tmp_path, shape):
    probe = (np.arange(np.prod(shape)) * 1j).reshape(shape)
    with ProductWriter(tmp_path / "product.h5") as writer:
        writer.set_positions(X_PX, Y_PX, INDEX)
        writer.set_probe(probe)
        writer.set_object(OBJECT)
    assert read_all(tmp_path / "product.h5")["probe"] == (probe.dtype, shape, probe.tobytes())


def test_a_probe_of_coherent_modes_has_their_opr_weights(tmp_path):
    weights = np.random.default_rng(1).random((6, 2)).astype(np.float32)
    with ProductWriter(tmp_path / "product.h5") as writer:
        writer.set_positions(X_PX, Y_PX, INDEX)
        writer.set_probe(np.stack([[PROBE] * 3] * 2), weights)
        writer.set_object(OBJECT)
    with h5py.File(tmp_path / "product.h5") as file:
        assert file["opr_weights"].dtype == np.float32
        assert np.array_equal(file["opr_weights"][()], weights)
        assert np.array_equal(file["probe"].attrs["opr_weights"], weights)


def test_an_object_of_layers_has_their_spacings(tmp_path):
    with ProductWriter(tmp_path / "product.h5") as writer:
        writer.set_positions(X_PX, Y_PX, INDEX)
        writer.set_probe(PROBE)
        writer.set_object(np.stack([OBJECT] * 3), [1e-6, 2e-6])
    with h5py.File(tmp_path / "product.h5") as file:
        assert file["object"].shape == (3, 64, 64)
        assert file["object_layer_spacing_m"][()].tolist() == [1e-6, 2e-6]


def test_losses_and_photon_counts_are_kept(tmp_path):
    with ProductWriter(tmp_path / "product.h5") as writer:
        writer.set_positions(X_PX, Y_PX, INDEX)
        writer.set_probe(PROBE)
        writer.set_object(OBJECT)
        writer.set_losses([3.0, 1.0], [5, 9])
        writer.set_probe_photon_counts(np.arange(6))
    with h5py.File(tmp_path / "product.h5") as file:
        assert file["loss_values"][()].tolist() == file["costs"][()].tolist() == [3.0, 1.0]
        assert file["loss_epochs"][()].tolist() == [5, 9]
        assert file["probe_photon_counts"][()].tolist() == [0, 1, 2, 3, 4, 5]


def test_big_endian_arrays_are_stored_in_native_order(tmp_path):
    with ProductWriter(tmp_path / "product.h5") as writer:
        writer.set_positions(X_PX.astype(">f8"), Y_PX.astype(">f8"), INDEX.astype(">i8"))
        writer.set_probe(PROBE.astype(">c8"))
        writer.set_object(OBJECT.astype(">c8"))
        writer.write_frames(stack(FRAMES.astype(">u2")))
    whole = write_whole(tmp_path / "whole.h5", FRAMES, X_PX, Y_PX, INDEX)
    assert read_all(tmp_path / "product.h5") == read_all(whole)


# Refusals. Each row: what is called in place of, or after, the valid calls.

REFUSALS = {
    "probe of one dimension": lambda writer: writer.set_probe(PROBE[0]),
    "probe of five dimensions": lambda writer: writer.set_probe(PROBE[None, None, None]),
    "real probe": lambda writer: writer.set_probe(PROBE.real),
    "empty probe": lambda writer: writer.set_probe(PROBE[:0]),
    "probe of long doubles": lambda writer: writer.set_probe(PROBE.astype(np.clongdouble)),
    "probe of text": lambda writer: writer.set_probe(np.array([["a"]])),
    "weights of one dimension": lambda writer: writer.set_probe(PROBE, np.ones(6)),
    "weights for other modes": lambda writer: writer.set_probe(PROBE, np.ones((6, 2))),
    "weights of four modes of which there are two": lambda writer: writer.set_probe(
        np.stack([[PROBE] * 4] * 2), np.ones((6, 4))
    ),
    "complex weights": lambda writer: writer.set_probe(PROBE, np.ones((6, 1), complex)),
    "weights of text": lambda writer: writer.set_probe(PROBE, np.array([["a"]])),
    "object of one dimension": lambda writer: writer.set_object(OBJECT[0]),
    "object of four dimensions": lambda writer: writer.set_object(OBJECT[None, None]),
    "real object": lambda writer: writer.set_object(OBJECT.imag),
    "empty object": lambda writer: writer.set_object(OBJECT[:, :0]),
    "layers without spacing": lambda writer: writer.set_object(np.stack([OBJECT] * 2)),
    "spacing without layers": lambda writer: writer.set_object(OBJECT, [1e-6]),
    "spacing of text": lambda writer: writer.set_object(np.stack([OBJECT] * 2), ["thin"]),
    "spacing of two dimensions": lambda writer: writer.set_object(np.stack([OBJECT] * 2), [[1e-6, 1e-6]]),
    "losses of two dimensions": lambda writer: writer.set_losses([[1.0], [2.0]]),
    "losses of text": lambda writer: writer.set_losses(["low"]),
    "complex losses": lambda writer: writer.set_losses(np.array([1j])),
    "epochs of another length": lambda writer: writer.set_losses([1.0], [0, 1]),
    "epochs of two dimensions": lambda writer: writer.set_losses([1.0], [[0]]),
    "epochs of text": lambda writer: writer.set_losses([1.0], ["first"]),
    "photon counts of another length": lambda writer: writer.set_probe_photon_counts(np.ones(5)),
    "photon counts of two dimensions": lambda writer: writer.set_probe_photon_counts(np.ones((6, 1))),
    "photon counts of text": lambda writer: writer.set_probe_photon_counts(["many"] * 6),
    "complex frames": lambda writer: writer.append(FRAMES * 1j, X_PX, Y_PX),
    "frames of text": lambda writer: writer.append(FRAMES.astype(str), X_PX, Y_PX),
    "one frame without its axis": lambda writer: writer.append(FRAMES[0], X_PX[0], Y_PX[0]),
    "frames without rows": lambda writer: writer.append(FRAMES[:, :0], X_PX, Y_PX),
    "more positions than frames": lambda writer: writer.append(FRAMES[:5], X_PX, Y_PX),
    "fewer positions than frames": lambda writer: writer.append(FRAMES, X_PX[:5], Y_PX[:5]),
    "more x than y": lambda writer: writer.append(FRAMES, X_PX, Y_PX[:5]),
    "positions that are not finite": lambda writer: writer.append(FRAMES, X_PX * np.nan, Y_PX),
    "positions of text": lambda writer: writer.append(FRAMES, X_PX.astype(str), Y_PX),
    "positions of two dimensions": lambda writer: writer.append(FRAMES, X_PX[:, None], Y_PX[:, None]),
    "fewer scan indexes than frames": lambda writer: writer.append(FRAMES, X_PX, Y_PX, INDEX[:5]),
    "more scan indexes than frames": lambda writer: writer.append(FRAMES[:5], X_PX[:5], Y_PX[:5], INDEX),
    "scan indexes of two dimensions": lambda writer: writer.append(FRAMES, X_PX, Y_PX, INDEX[:, None]),
    "frames of another shape later": lambda writer: (
        writer.append(FRAMES, X_PX, Y_PX),
        writer.append(FRAMES[:, :3], X_PX, Y_PX),
    ),
    "frames of another type later": lambda writer: (
        writer.append(FRAMES, X_PX, Y_PX),
        writer.append(FRAMES.astype(np.uint8), X_PX, Y_PX),
    ),
    "scan indexes at first only": lambda writer: (
        writer.append(FRAMES, X_PX, Y_PX, INDEX),
        writer.append(FRAMES, X_PX, Y_PX),
    ),
    "scan indexes later only": lambda writer: (
        writer.append(FRAMES, X_PX, Y_PX),
        writer.append(FRAMES, X_PX, Y_PX, INDEX),
    ),
    "x and y of two lengths": lambda writer: writer.set_positions(X_PX, Y_PX[:5]),
    "no positions at all": lambda writer: writer.set_positions([], []),
    "complex positions": lambda writer: writer.set_positions(X_PX * 1j, Y_PX),
    "infinite positions": lambda writer: writer.set_positions(X_PX, Y_PX + np.inf),
    "scan indexes of another length": lambda writer: writer.set_positions(X_PX, Y_PX, INDEX[:5]),
    "a scan index for all": lambda writer: writer.set_positions(X_PX, Y_PX, np.array(0)),
    "more frames than positions": lambda writer: writer.write_frames(stack(np.zeros((7, 4, 4)))),
    "frames of two dimensions": lambda writer: writer.write_frames(stack(np.zeros((6, 4)))),
    "complex frames at once": lambda writer: writer.write_frames(stack(FRAMES * 1j)),
}


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
@pytest.mark.parametrize("name", REFUSALS)
def test_what_does_not_fit_is_refused_and_leaves_no_file(tmp_path, name):
    def write():
        with ProductWriter(tmp_path / "product.h5", options=ExportOptions(chunk_frames=2)) as writer:
            if "positions" in name or "photon counts" in name or "frames" in name:
                writer.set_probe(PROBE)
            if "photon counts" in name or "at once" in name or "than positions" in name:
                writer.set_positions(X_PX, Y_PX, INDEX)
            REFUSALS[name](writer)

    with pytest.raises(SourceError) as refusal:
        write()
    assert not re.search("no (probe|positions) w(as|ere) given", str(refusal.value)), "refused for the wrong reason"
    assert folder_of(tmp_path) == []


@pytest.mark.parametrize(
    ("key", "fill"),
    [
        ("probeGuess", lambda writer: writer.append(FRAMES, X_PX, Y_PX, INDEX)),
        ("xcoords", lambda writer: writer.set_probe(PROBE)),
        ("probeGuess", lambda writer: None),  # noqa: ARG005 - gives nothing
    ],
    ids=["no probe", "no positions", "nothing"],
)
def test_what_is_missing_at_the_end_is_refused_and_leaves_no_file(tmp_path, key, fill):
    def write():
        with ProductWriter(tmp_path / "product.h5") as writer:
            fill(writer)

    with pytest.raises(SourceError, match=key):
        write()
    assert folder_of(tmp_path) == []


def test_a_refusal_names_the_source(tmp_path):
    with (
        pytest.raises(
            SourceError, match=r"^scan\.npz: probeGuess: found dtype float32, expected complex64 or complex128"
        ),
        ProductWriter(tmp_path / "product.h5", source="scan.npz") as writer,
    ):
        writer.set_probe(PROBE.real)


# Never half a file.


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("frames", [1, 6, 600])
def test_an_exception_in_the_block_leaves_nothing(tmp_path, error, frames):
    def write():
        with ProductWriter(tmp_path / "product.h5", options=ExportOptions(chunk_frames=4)) as writer:
            writer.set_probe(PROBE)
            writer.append(np.zeros((frames, 4, 4)), np.zeros(frames), np.zeros(frames))
            raise error

    with pytest.raises(error):
        write()
    assert folder_of(tmp_path) == []


def test_an_exception_in_the_block_keeps_an_existing_product(tmp_path):
    path = write_whole(tmp_path / "product.h5", FRAMES, X_PX, Y_PX, INDEX)
    before = path.read_bytes()

    def write():
        with ProductWriter(path) as writer:
            writer.append(FRAMES, X_PX, Y_PX)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert path.read_bytes() == before
    assert folder_of(tmp_path) == ["product.h5"]


def test_an_existing_product_stays_until_the_new_one_is_complete(tmp_path):
    path = write_whole(tmp_path / "product.h5", FRAMES, X_PX, Y_PX, INDEX)
    before = path.read_bytes()
    with ProductWriter(path) as writer:
        writer.set_probe(PROBE * 2)
        writer.set_object(OBJECT)
        writer.append(FRAMES, X_PX, Y_PX, INDEX)
        assert path.read_bytes() == before
    with h5py.File(path) as file:
        assert np.array_equal(file["probe"][()], PROBE * 2)


def test_an_existing_file_is_kept_where_it_may_not_be_replaced(tmp_path):
    path = tmp_path / "product.h5"
    path.write_text("mine")
    with pytest.raises(OutputError, match="must not be replaced"):
        write_whole(path, FRAMES, X_PX, Y_PX, INDEX, options=ExportOptions(overwrite=False))
    assert path.read_text() == "mine"
    assert folder_of(tmp_path) == ["product.h5"]


def test_a_file_that_appears_meanwhile_is_kept_where_it_may_not_be_replaced(tmp_path):
    path = tmp_path / "product.h5"

    def write():
        with ProductWriter(path, options=ExportOptions(overwrite=False)) as writer:
            writer.set_probe(PROBE)
            writer.set_object(OBJECT)
            writer.append(FRAMES, X_PX, Y_PX, INDEX)
            path.write_text("mine")

    with pytest.raises(OutputError, match="must not be replaced"):
        write()
    assert path.read_text() == "mine"
    assert folder_of(tmp_path) == ["product.h5"]


@pytest.mark.parametrize("way", ["same name", "symbolic link", "hard link", "through a folder"])
def test_the_source_is_never_overwritten(tmp_path, way):
    source = tmp_path / "scan.h5"
    source.write_text("the scan")
    out = {"same name": source, "through a folder": tmp_path / "a" / ".." / "scan.h5"}.get(way, tmp_path / "out.h5")
    (tmp_path / "a").mkdir()
    if way == "symbolic link":
        out.symlink_to(source)
    if way == "hard link":
        out.hardlink_to(source)
    with pytest.raises(OutputError, match="the input itself"):
        write_whole(out, FRAMES, X_PX, Y_PX, INDEX, source=source)
    assert source.read_text() == "the scan"


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "product.h5").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        write_whole(tmp_path / "product.h5", FRAMES, X_PX, Y_PX, INDEX)


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_whole(tmp_path / "file" / "product.h5", FRAMES, X_PX, Y_PX, INDEX)


@pytest.mark.parametrize("name", ["product", "product.npz", "product.h5.gz", "h5"])
def test_another_suffix_is_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(OutputError, match="must end in"):
        ProductWriter(tmp_path / name)
    assert folder_of(tmp_path) == []


def test_positions_off_the_object_are_warned_about(tmp_path):
    with pytest.warns(ProductWarning, match="6 of 6 positions outside the object"):
        write_whole(tmp_path / "product.h5", FRAMES, X_PX, Y_PX, INDEX, meta=ExportMeta(object_center_x_m=1.0))


def test_a_product_can_be_opened_by_hdf5_1_10(tmp_path):
    path = write_whole(tmp_path / "product.h5", FRAMES, X_PX, Y_PX, INDEX)
    # Byte 8 of the file is the superblock's version: 2 is HDF5 1.8's, 4 would need 1.10's newest.
    assert path.read_bytes()[8] <= 3


def test_an_error_of_the_caller_stays_the_callers(tmp_path):
    def detector():
        raise ConnectionError("detector")

    with pytest.raises(ConnectionError, match="detector"), ProductWriter(tmp_path / "product.h5") as writer:
        writer.append(*detector())


def test_without_raw_data_nothing_of_the_scan_is_kept(tmp_path):
    path = tmp_path / "product.h5"
    with ProductWriter(path, include_raw=False) as writer:
        writer.set_probe(PROBE)
        writer.set_object(OBJECT)
        writer.keep("Y.npy", np.ones(3))
        writer.append(FRAMES, X_PX, Y_PX, INDEX)
    with h5py.File(path) as file:
        assert "raw_data" not in file


def test_a_chunk_that_filters_cannot_take_is_an_option_error(tmp_path):
    options = ExportOptions(chunk_frames=2**30)
    with pytest.raises(OptionError, match="chunk_shape"), ProductWriter(tmp_path / "p.h5", options=options) as writer:
        writer.append(FRAMES, X_PX, Y_PX)


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_frames_in_tiles_are_what_was_written(tmp_path):
    path = tmp_path / "p.h5"
    with ProductWriter(path, options=ExportOptions(chunk_shape=(5, 2, 3))) as writer:
        writer.set_probe(PROBE)
        writer.append(FRAMES, X_PX, Y_PX)
    with h5py.File(path) as file:
        assert file["raw_data/diffraction"].chunks == (5, 2, 3)
        np.testing.assert_array_equal(file["raw_data/diffraction"], FRAMES)


@pytest.mark.skipif(not hasattr(os, "pwrite"), reason="there HDF5 writes itself")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_large_array_beside_the_frames_is_the_same_bytes_as_hdf5_writes(tmp_path, monkeypatch, threads):
    rows = np.random.default_rng(0).poisson(3, (37, 300, 301)).astype(np.uint16)

    def write(name):
        (tmp_path / name).mkdir()
        options = ExportOptions(threads=threads, compression="zstd:1")
        with ProductWriter(tmp_path / name / "product.h5", options=options) as writer:
            writer.keep_rows("large.npy", ArrayRows(rows))
            writer.set_positions(X_PX, Y_PX, INDEX)
            writer.set_probe(PROBE)
            writer.set_object(OBJECT)
            writer.write_frames(stack(FRAMES))
        return (tmp_path / name / "product.h5").read_bytes()

    ours = write("ours")
    with h5py.File(tmp_path / "ours" / "product.h5") as file:
        assert np.array_equal(file["raw_data/large"], rows)
    monkeypatch.delattr("os.pwrite")
    assert write("hdf5") == ours
