"""Tuning on small scans: what is tried, what is recommended, what is told of counts."""

import h5py
import numpy as np
import pytest

from ptychoproduct import OptionError, ScanFiles, SourceError, TuneOptions, export_product_from_npz, tune_scan
from ptychoproduct.compression.codecs import parse_codec
from ptychoproduct.compression.profiles import Storage
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.streaming.sampling import sample_rows, some_tiles, spread_runs
from ptychoproduct.streaming.stored_rows import stored_rows
from ptychoproduct.tuning.trials import Trial, try_both_ways
from ptychoproduct.tuning.tune import OBJECTIVES, _in_order, pareto_front


def tuned(path, **options):
    return tune_scan(ScanFiles(path), TuneOptions(threads=1, seconds=5, **options))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_recommendation_is_the_best_of_what_was_tried(save_scan, objective):
    report = tuned(save_scan(), objective=objective)
    best = report.trials[report.best]
    assert OBJECTIVES[objective](best) == min(map(OBJECTIVES[objective], report.trials))
    assert report.fast_enough


def test_trials_are_sorted_by_ratio_and_read_back(save_scan):
    report = tuned(save_scan())
    ratios = [trial.ratio for trial in report.trials]
    assert ratios == sorted(ratios, reverse=True)
    assert all(trial.read_mb_s > 0 and trial.frame_ms > 0 for trial in report.trials)
    assert report.dropped > 0


def test_amplitudes_of_counts_are_told_what_storing_counts_would_bring(save_scan):
    report = tuned(save_scan())
    assert report.counts is not None
    assert report.counts.dtype == "uint8"
    assert report.bound_ratio is not None
    assert report.counts.trial.ratio < report.bound_ratio


def test_frames_that_are_no_counts_have_no_limit(save_scan):
    noise = np.random.default_rng(1).standard_normal((12, 16, 16), np.float32)
    report = tuned(save_scan(diff3d=noise))
    assert (report.counts, report.bound_ratio) == (None, None)


def test_counts_have_a_limit_and_nothing_to_gain(save_scan):
    counts = np.random.default_rng(1).poisson(3, (12, 16, 16)).astype(np.uint16)
    report = tuned(save_scan(diff3d=counts))
    assert report.counts is None
    assert report.bound_ratio == pytest.approx(16 / 2.8, rel=0.1)


def test_with_a_least_speed_the_fastest_is_tried_first_then_what_seems_to_reach_it():
    speeds = {"zstd:9": 50.0, "zstd:1": 400.0, "lz4": 900.0, "zstd:3": 150.0}
    looks = [(name, Trial(name, (1, 4, 4), 10.0 - speed / 100, speed)) for name, speed in speeds.items()]
    order = [name for name, _ in _in_order(looks, TuneOptions("ratio", min_write_mb_s=100))]
    assert order == ["lz4", "zstd:3", "zstd:1", "zstd:9"]
    assert [name for name, _ in _in_order(looks, TuneOptions("ratio"))] == ["zstd:9", "zstd:3", "zstd:1", "lz4"]


def test_a_speed_that_nothing_reaches_gives_the_fastest(save_scan):
    report = tuned(save_scan(), objective="ratio", min_write_mb_s=1e9)
    assert not report.fast_enough
    assert report.trials[report.best].write_mb_s == max(trial.write_mb_s for trial in report.trials)


def test_a_least_speed_leaves_out_what_is_slower(save_scan):
    report = tuned(save_scan(), objective="ratio")
    median = float(np.median([trial.write_mb_s for trial in report.trials]))
    report = tuned(save_scan(), objective="ratio", min_write_mb_s=median / 4)
    assert report.trials[report.best].write_mb_s >= median / 4


def test_products_can_be_tuned_too(save_scan, tmp_path, centered_meta):
    export_product_from_npz(save_scan(), tmp_path / "a.h5", centered_meta)
    report = tuned(tmp_path / "a.h5")
    assert (report.frames, report.sampled, report.frame_shape) == (12, 12, (16, 16))


def test_no_probe_is_needed_for_a_part_of_the_frames(save_scan, make_scan):
    _, height, width = make_scan()["diff3d"].shape
    files = ScanFiles(save_scan(), crop=(height // 2, width // 2))
    report = tune_scan(files, TuneOptions(threads=1, seconds=5))
    assert report.frame_shape == (height // 2, width // 2)


def test_a_scan_without_frames_is_an_error(save_scan):
    with pytest.raises(SourceError, match="diff"):
        tuned(save_scan(diff3d=None))


def test_an_objective_that_does_not_exist_is_an_option_error():
    with pytest.raises(OptionError, match="one of balanced, ratio, write, read"):
        TuneOptions(objective="size")


def test_the_front_is_what_nothing_beats_in_both():
    trials = [
        Trial(str(number), (1,), *pair) for number, pair in enumerate([(9, 10), (8, 20), (7, 15), (7, 20), (2, 30)])
    ]
    assert pareto_front(trials) == (0, 1, 4)


def test_a_trial_stores_as_much_as_hdf5_would(make_scan):
    frames = make_scan()["diff3d"]
    codec = parse_codec("shuffle+zstd:3+fletcher32")
    trial = try_both_ways(frames, Storage(codec, (5, 8, 16)), 1)
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("a", data=frames, chunks=(5, 8, 16), **codec.dataset_options(frames.dtype))
        file.flush()
        assert trial.ratio == pytest.approx(frames.nbytes / dataset.id.get_storage_size())
    assert (trial.codec, trial.chunk_shape) == (str(codec), (5, 8, 16))


@pytest.mark.parametrize(
    ("rows", "run", "runs", "expected"),
    [
        (100, 10, 3, [0, 45, 90]),
        (100, 10, 1, [0]),
        (10, 10, 4, [0]),
        (7, 10, 4, [0]),
        (25, 10, 4, [0, 15]),
    ],
)
def test_runs_are_spread_from_the_first_row_to_the_last(rows, run, runs, expected):
    found = spread_runs(rows, run, runs)
    assert [one.start for one in found] == expected
    assert all(len(one) == min(run, rows) and one.stop <= rows for one in found)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
def test_strips_of_sampled_rows_are_those_of_the_scan(make_scan, tmp_path, axes):
    frames = make_scan()["diff3d"]
    np.savez_compressed(tmp_path / "a.npz", diff3d=frames.transpose(np.argsort(axes)))
    with NpzArchive(tmp_path / "a.npz") as archive:
        source = stored_rows(archive.require("diff3d"), axes)
        found = sample_rows(source, 2, 2, parts=[range(2), range(9, 12)])
    assert found.tobytes() == frames[[0, 1, 10, 11]][:, [0, 1, 9, 10, 11]].tobytes()


def test_huge_frames_are_tried_in_part_and_that_is_told(save_scan):
    shape = (3, 700, 8_000)  # 3 x 22 MB
    frames = np.sqrt(np.random.default_rng(1).integers(0, 8, shape, np.uint8), dtype=np.float32)
    path = save_scan(diff3d=frames, xcoords=np.arange(3.0), ycoords=np.arange(3.0), scan_index=np.arange(3))
    report = tune_scan(ScanFiles(path), TuneOptions(seconds=2))
    assert (report.frames, report.frame_shape, report.sampled) == (3, (700, 8_000), 3)
    assert report.sampled_rows == 512
    whole = {trial.chunk_shape for trial in report.trials if trial.chunk_shape[2] == shape[2]}
    assert whole <= {(1, *shape[1:])}
    with h5py.File.in_memory() as file:  # the noise is the same everywhere, so the part compresses like the whole
        best = report.trials[report.best]
        options = parse_codec(best.codec).dataset_options(frames.dtype)
        dataset = file.create_dataset("a", data=frames, chunks=best.chunk_shape, **options)
        file.flush()
        assert best.ratio == pytest.approx(frames.nbytes / dataset.id.get_storage_size(), rel=0.05)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
def test_sampled_rows_are_those_of_the_scan(make_scan, tmp_path, compress, axes):
    frames = make_scan()["diff3d"]
    inverse = np.argsort(axes)
    (np.savez_compressed if compress else np.savez)(tmp_path / "a.npz", diff3d=frames.transpose(inverse))
    with NpzArchive(tmp_path / "a.npz") as archive:
        source = stored_rows(archive.require("diff3d"), axes)
        assert sample_rows(source, 2, 3).tobytes() == frames[[0, 1, 5, 6, 10, 11]].tobytes()


def test_deflated_rows_are_sampled_from_the_part_that_is_read(make_scan, tmp_path):
    frames = make_scan()["diff3d"]
    np.savez_compressed(tmp_path / "a.npz", diff3d=frames)
    with NpzArchive(tmp_path / "a.npz") as archive:
        source = stored_rows(archive.require("diff3d"))
        found = sample_rows(source, 1, 3, most_bytes=5 * frames[0].nbytes)
    assert found.tobytes() == frames[[0, 2, 4]].tobytes()


def test_tiles_side_by_side_are_parts_of_the_frames():
    frames = np.arange(4 * 64 * 48).reshape(4, 64, 48)
    tiles = some_tiles(frames, (3, 16, 8), 6 * 3 * 16 * 8 * 8)
    assert tiles.shape == (3, 16, 48)
    corners = {(int(tile[0, 0, 0]) // 48, int(tile[0, 0, 0]) % 48) for tile in np.split(tiles, 6, axis=2)}
    assert len(corners) == 6
    assert all(row % 16 == 0 and column % 8 == 0 for row, column in corners)
