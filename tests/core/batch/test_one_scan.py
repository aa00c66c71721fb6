"""One scan on a cluster: the product is byte for byte that of one machine."""

import os
import signal
from functools import partial

import h5py
import hdf5plugin
import numpy as np
import pytest

from ptychoproduct import (
    DiffractionFile,
    ExportMeta,
    ExportOptions,
    OptionError,
    ScanFiles,
    SourceError,
    export_product_from_files,
)
from ptychoproduct.batch import encoding
from ptychoproduct.batch.one_scan import export_on_cluster
from ptychoproduct.validation.comparison import require_same_content

pytestmark = pytest.mark.slow
FRAMES = 150


@pytest.fixture
def many_ranges(monkeypatch):
    monkeypatch.setattr(encoding, "RANGE_BYTES", 20_000)


@pytest.fixture
def arrays(make_scan):
    rng = np.random.default_rng(3)
    frames = np.sqrt(rng.poisson(3, (FRAMES, 16, 24))).astype(np.float32)
    x, y = rng.uniform(8, 56, (2, FRAMES))
    changes = {"xcoords_start": None, "ycoords_start": None, "scan_index": np.arange(FRAMES)}
    return make_scan(diff3d=frames, xcoords=x, ycoords=y, **changes)


def npz(arrays, folder):
    np.savez(folder / "scan.npz", **arrays)
    return ScanFiles(folder / "scan.npz")


def npy(arrays, folder):
    np.save(folder / "frames.npy", arrays["diff3d"].astype(">f4"))
    return ScanFiles(folder / "frames.npy", positions=npz(arrays, folder).path, probe=folder / "scan.npz")


def hdf5(arrays, folder):
    with h5py.File(folder / "frames.h5", "w") as file:
        file.create_dataset("frames", data=arrays["diff3d"], chunks=(7, 16, 24), **hdf5plugin.LZ4())
    positions = npz(arrays, folder).path
    return ScanFiles(folder / "frames.h5", dataset="frames", positions=positions, probe=positions)


def same(client, files, folder, *, to_the_byte=True, **options):
    options = ExportOptions(object_center="auto", **options)
    export_product_from_files(files, folder / "here.h5", options=options)
    counted = []
    summary = export_on_cluster(client, files, folder / "there.h5", options=options, progress=counted.append)
    assert sum(counted) == summary.frame_bytes
    if to_the_byte:
        assert (folder / "here.h5").read_bytes() == (folder / "there.h5").read_bytes()
    with h5py.File(folder / "here.h5") as here, h5py.File(folder / "there.h5") as there:
        require_same_content(here, there, "there.h5")
        require_same_content(there, here, "here.h5")


@pytest.mark.usefixtures("many_ranges")
@pytest.mark.parametrize("source", [npz, npy, hdf5])
def test_the_product_is_the_same(client, arrays, tmp_path, source):
    same(client, source(arrays, tmp_path), tmp_path, chunk_frames=4)


@pytest.mark.usefixtures("many_ranges")
@pytest.mark.parametrize("source", [npz, hdf5])
def test_the_product_is_the_same_from_threads_of_this_process(client_in_process, arrays, tmp_path, source):
    same(client_in_process, source(arrays, tmp_path), tmp_path, chunk_frames=4)
    assert not encoding._open


@pytest.mark.usefixtures("many_ranges")
def test_an_error_here_ends_the_threads_of_this_process(client_in_process, arrays, tmp_path):
    files, options = npz(arrays, tmp_path), ExportOptions(object_center="auto", chunk_frames=1)

    def progress(_):
        raise InterruptedError

    for shards in (None, 3):
        with pytest.raises(OptionError):
            export_on_cluster(
                client_in_process, files, tmp_path / "out.h5", options=options, progress=progress, shards=shards
            )
        assert [path.name for path in tmp_path.iterdir()] == ["scan.npz"]


@pytest.mark.usefixtures("many_ranges")
@pytest.mark.parametrize(
    "options",
    [
        {"chunk_shape": (4, 8, 7), "compression": "lz4"},
        {"store_counts": True, "chunk_frames": 3},
        {"compression": "blosc2-zstd:3+fletcher32"},
        {},
    ],
)
def test_however_it_is_stored(client, arrays, tmp_path, options):
    same(client, npz(arrays, tmp_path), tmp_path, **options)


def test_a_patterns_file_beside_a_product_without_frames(client, arrays, tmp_path):
    patterns = DiffractionFile(tmp_path / "patterns.h5")
    meta = ExportMeta(detector_pixel_width_m=75e-6, detector_pixel_height_m=75e-6)
    choices = {"diffraction": patterns, "options": ExportOptions(object_center="auto")}
    export_on_cluster(client, npz(arrays, tmp_path), tmp_path / "there.h5", meta, include_raw=False, **choices)
    with h5py.File(patterns.path) as file, h5py.File(tmp_path / "there.h5") as product:
        assert np.array_equal(file["patterns"], np.round(arrays["diff3d"] ** 2))
        assert "raw_data" not in product


@pytest.mark.usefixtures("many_ranges")
@pytest.mark.parametrize("largest", [30, 70_001])
@pytest.mark.parametrize("shards", [None, 3])
def test_the_patterns_file_is_the_same(client, arrays, tmp_path, largest, shards):
    arrays["diff3d"][77, 3, 5] = np.sqrt(np.float32(largest))  # more than the sample shows
    files, options = npz(arrays, tmp_path), ExportOptions(object_center="auto", chunk_frames=4)
    for name in ("here", "there"):
        patterns = DiffractionFile(tmp_path / f"{name}_patterns.h5")
        export = export_product_from_files if name == "here" else partial(export_on_cluster, client, shards=shards)
        meta = ExportMeta(detector_pixel_width_m=75e-6, detector_pixel_height_m=75e-6)
        export(files, tmp_path / f"{name}.h5", meta, options=options, diffraction=patterns)
    for pair in (("here_patterns.h5", "there_patterns.h5"), ("there_patterns.h5", "here_patterns.h5")):
        with h5py.File(tmp_path / pair[0]) as one, h5py.File(tmp_path / pair[1]) as other:
            require_same_content(one, other, pair[1])
    if shards is None:
        assert (tmp_path / "here.h5").read_bytes() == (tmp_path / "there.h5").read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("many_ranges")
def test_counts_that_the_sample_did_not_show(client, arrays, tmp_path):
    arrays["diff3d"][77, 3, 5] = np.sqrt(np.float32(70_001))
    # How much was written before that one was met differs from run to run, and so do the places in the file.
    same(client, npz(arrays, tmp_path), tmp_path, to_the_byte=False, store_counts=True, chunk_frames=4)


@pytest.mark.usefixtures("many_ranges")
def test_damage_is_noticed(client, arrays, tmp_path):
    files = npz(arrays, tmp_path)
    data = bytearray(files.path.read_bytes())
    data[data.index(arrays["diff3d"][100].tobytes())] ^= 1
    files.path.write_bytes(data)
    with pytest.raises(SourceError, match="CRC-32"):
        export_on_cluster(client, files, tmp_path / "there.h5", options=ExportOptions(object_center="auto"))
    assert [path.name for path in tmp_path.iterdir()] == ["scan.npz"]


def test_what_a_cluster_cannot_do(client, arrays, tmp_path):
    np.savez_compressed(tmp_path / "deflated.npz", **arrays)
    arrays["diff3d"] = np.moveaxis(arrays["diff3d"], 0, 2)
    np.savez(tmp_path / "turned.npz", **arrays)
    for name, reason in (("deflated", "deflated.*numpy.savez"), ("turned", "reordered")):
        with pytest.raises(OptionError, match=reason):
            export_on_cluster(client, ScanFiles(tmp_path / f"{name}.npz"), tmp_path / "out.h5")
    for option in ({"verify": True}, {"compression": "archive"}):
        with pytest.raises(OptionError, match="one machine"):
            export_on_cluster(
                client, ScanFiles(tmp_path / "turned.npz"), tmp_path / "out.h5", options=ExportOptions(**option)
            )
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.usefixtures("many_ranges")
def test_a_worker_that_dies_costs_its_ranges_only(client, arrays, tmp_path):
    files, options = npz(arrays, tmp_path), ExportOptions(object_center="auto", chunk_frames=1)
    export_product_from_files(files, tmp_path / "here.h5", options=options)
    victims = list(client.run(os.getpid).values())[:1]

    def progress(_):
        if victims:
            os.kill(victims.pop(), signal.SIGKILL)

    export_on_cluster(client, files, tmp_path / "there.h5", options=options, progress=progress)
    assert not victims
    assert (tmp_path / "here.h5").read_bytes() == (tmp_path / "there.h5").read_bytes()
