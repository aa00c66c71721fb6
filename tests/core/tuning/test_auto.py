"""What is measured before a conversion, and what is chosen."""

import warnings

import numpy as np
import pytest

from ptychoproduct import ExportMeta, ExportOptions, ProductWriter, export_product_from_npz
from ptychoproduct.tuning import auto
from ptychoproduct.tuning.auto import OBJECTIVES, Sample, choose_storage

MEASURED = list(OBJECTIVES)


def amplitudes(frames=64):
    """Amplitudes of a far field, most of them zeros."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[-32:32, -32:32]
    mean = 60 * np.exp(-(x**2 + y**2) / 60)
    return np.sqrt(rng.poisson(mean, (frames, 64, 64))).astype(np.float32)


def bright():
    return np.random.default_rng(5).poisson(400, (64, 64, 64)).astype(np.uint16)


def noise():
    return np.random.default_rng(5).standard_normal((64, 64, 64), np.float32)


@pytest.mark.parametrize("make", [amplitudes, bright, noise])
def test_the_smallest_of_what_is_tried_is_chosen_for_ratio(make):
    sample = make()
    choice = choose_storage("auto:ratio", Sample(sample), len(sample), 2)
    ratios = dict.fromkeys(OBJECTIVES["auto:ratio"].candidates, 0.0)
    for trial in choice.trials:
        ratios[trial.codec] = trial.ratio
    assert min(ratios.values()) > 0
    assert ratios[str(choice.storage.codec)] >= 0.97 * max(ratios.values())


@pytest.mark.parametrize("compression", MEASURED)
def test_the_choice_is_what_is_told_first(compression):
    choice = choose_storage(compression, Sample(amplitudes()), None, 2)
    assert choice.trials[0].codec == str(choice.storage.codec)
    assert {trial.codec for trial in choice.trials} >= set(OBJECTIVES[compression].candidates)
    assert choice.reason
    assert choice.seconds > 0


@pytest.mark.parametrize("compression", MEASURED)
@pytest.mark.parametrize("compress", [False, True])
def test_a_conversion_tells_what_was_tried(save_scan, tmp_path, centered_meta, compression, compress):
    summary = export_product_from_npz(
        save_scan(compress=compress),
        tmp_path / "a.h5",
        centered_meta,
        options=ExportOptions(compression=compression),
    )
    assert summary.choice is not None
    assert summary.choice.objective == compression
    assert summary.choice.trials[0].codec == summary.compression


def test_frames_whose_axes_are_reordered_are_not_measured(make_scan, tmp_path, centered_meta):
    scan = make_scan()
    scan["diff3d"] = np.ascontiguousarray(scan["diff3d"].transpose(1, 0, 2))
    np.savez(tmp_path / "scan.npz", **scan)
    summary = export_product_from_npz(
        tmp_path / "scan.npz",
        tmp_path / "a.h5",
        centered_meta,
        options=ExportOptions(compression="auto", axis_order="HNW"),
    )
    assert summary.choice is not None
    assert (summary.choice.trials, summary.compression) == ((), "zstd:3+fletcher32")
    assert "not measured" in summary.choice.reason


def test_frames_that_are_appended_are_measured_on_the_first(tmp_path, make_scan):
    scan = make_scan()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ProductWriter(tmp_path / "a.h5", ExportMeta(), options=ExportOptions(compression="auto")) as writer:
            writer.set_probe(scan["probeGuess"])
            for i in range(12):
                part = slice(i, i + 1)
                writer.append(scan["diff3d"][part], scan["xcoords"][part], scan["ycoords"][part])
    assert writer.summary is not None
    assert writer.summary.choice is not None
    assert writer.summary.frames == 12


def test_of_a_large_first_block_only_some_frames_are_measured(tmp_path, monkeypatch):
    measured = []

    def choose(compression, sample, *rest):
        measured.append(sample.frames.nbytes)
        return choose_storage(compression, sample, *rest)

    monkeypatch.setattr(auto, "choose_storage", choose)
    block = np.ones((2000, 64, 64), np.float32)
    x = np.arange(2000.0)
    with ProductWriter(tmp_path / "p.h5", ExportMeta(), options=ExportOptions(compression="auto")) as writer:
        writer.set_probe(np.ones((64, 64), complex))
        writer.set_object(np.ones((4100, 4100), complex))
        writer.append(block, x, x, np.arange(2000))
    assert measured[0] <= block.nbytes // 4
