"""What detectors write into gaps does not become photons; NumPy and h5py are the judges."""

import warnings

import h5py
import numpy as np
import pytest

from ptychoproduct import DiffractionFile, ExportMeta, export_product_from_npz

N, SIDE = 12, 16
META = ExportMeta(detector_pixel_width_m=7.5e-5, detector_pixel_height_m=7.5e-5)
GAP = np.zeros((SIDE, SIDE), bool)
GAP[5:7] = GAP[3, 11] = True


@pytest.fixture
def export(save_scan, tmp_path):
    """A function that writes patterns of frames.

    It gives patterns, bad pixels, the product's frames, all warnings, and what the summary says of gaps.
    """

    def run(frames, **choices):
        path = tmp_path / "diffraction.h5"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            summary = export_product_from_npz(
                save_scan(diff3d=frames), tmp_path / "p.h5", META, diffraction=DiffractionFile(path, **choices)
            )
        with h5py.File(path) as file, h5py.File(tmp_path / "p.h5") as product:
            read = file["patterns"][()], file["bad_pixels"][()], product["raw_data/diffraction"][()]
        return *read, " ".join(str(warning.message) for warning in caught), summary.diffraction.gaps

    return run


def counts(dtype):
    return np.random.default_rng(2).poisson(3, (N, SIDE, SIDE)).astype(dtype)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (1, 2, 0)], ids=["NHW", "HNW", "HWN"])
@pytest.mark.parametrize(
    ("dtype", "mark"),
    [
        ("uint8", 255),
        ("uint16", 65535),
        ("uint16", 65534),
        (">u2", 65535),
        ("uint32", 4294967295),
        ("uint32", 65535),
        ("int16", -2),
        ("int32", -1),
        ("int32", 2147483647),
        ("float32", np.nan),
        ("float32", 65535),
        ("float64", -1),
        ("float64", np.inf),
    ],
)
def test_a_mark_in_every_frame_is_a_bad_pixel_and_zero(export, dtype, mark, axes):
    frames = counts(dtype)
    expected = np.where(GAP, 0, frames)
    frames[:, GAP] = mark
    patterns, bad, raw, told, gaps = export(np.ascontiguousarray(frames.transpose(axes)))
    np.testing.assert_array_equal(patterns, expected)
    np.testing.assert_array_equal(bad, GAP)
    np.testing.assert_array_equal(raw, frames)
    assert list(gaps.values()) == [GAP.sum()]
    assert float(next(iter(gaps))) == pytest.approx(mark, nan_ok=True)
    assert "frames only" not in told
    assert "NaN" not in told


@pytest.mark.parametrize("mark", [np.nan, 65535.0])
def test_roots_of_marks_are_marks_and_do_not_make_the_type_larger(export, mark):
    whole = counts("float64")
    frames = np.sqrt(np.where(GAP, mark, whole)).astype(np.float32)
    patterns, bad, *_ = export(frames)
    np.testing.assert_array_equal(patterns, np.where(GAP, 0, whole))
    np.testing.assert_array_equal(bad, GAP)
    assert patterns.dtype == np.uint16


@pytest.mark.parametrize("missing", range(0, N, 5))
def test_a_mark_that_is_not_in_every_frame_is_a_count_and_told(export, missing):
    frames = counts("uint16")
    frames[:, GAP] = 65535
    frames[missing, 3, 11] = 2
    patterns, bad, _, told, gaps = export(frames)
    np.testing.assert_array_equal(np.argwhere(GAP & ~bad), [[3, 11]])
    np.testing.assert_array_equal(patterns, np.where(bad, 0, frames))
    assert "found 65535 in 1 pixel, but not in every frame" in told
    assert gaps == {"65535": 32}


def test_gaps_and_a_count_larger_than_the_sample_shows(export):
    whole = counts("float64")
    whole[N - 2, 1, 1] = 70000
    frames = np.sqrt(np.where(GAP, 65535.0, whole)).astype(np.float64)
    patterns, bad, *_ = export(frames)
    np.testing.assert_array_equal(patterns, np.where(GAP, 0, whole))
    np.testing.assert_array_equal(bad, GAP)


@pytest.mark.parametrize("value", [np.nan, np.inf, -3.0])
def test_what_is_no_count_is_never_stored_without_a_word(export, value):
    frames = counts("float32")
    frames[7, 2, 2] = value
    patterns, bad, _, told, _ = export(frames)
    frames[7, 2, 2] = 0
    np.testing.assert_array_equal(patterns, frames)
    assert not bad.any()
    assert "negative, infinite or NaN" in told


def test_given_values_decide(export):
    frames = counts("uint16")
    frames[:, GAP] = 65535
    frames[4, 2, 2] = 500
    patterns, bad, *_ = export(frames, bad_values=(500,))
    expected = np.zeros_like(GAP)
    expected[2, 2] = True
    np.testing.assert_array_equal(bad, expected)
    np.testing.assert_array_equal(patterns, np.where(expected, 0, frames))
    patterns, bad, _, told, _ = export(frames, bad_values=())
    np.testing.assert_array_equal(patterns, frames)
    assert not bad.any()
    assert "65535" not in told


def test_a_mask_that_is_given_stays(export):
    frames = counts("uint16")
    frames[:, GAP] = 65535
    mask = np.zeros((SIDE, SIDE), bool)
    mask[0] = True
    _, bad, *_ = export(frames, bad_pixels=mask)
    np.testing.assert_array_equal(bad, mask | GAP)


def test_the_command_line_reads_values(save_scan, tmp_path, run_command):
    frames = counts("float32")
    frames[:, GAP] = np.nan
    frames[4, 2, 2] = 500
    words = ("ptychoproduct", "convert", save_scan(diff3d=frames), "p.h5", "--diffraction-output", "d.h5")
    done = run_command(*words, "--bad-values", "nan,500")
    assert (done.returncode, f"{GAP.sum()} with nan" in done.stdout) == (0, True), done.stderr
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["bad_pixels"][()].sum() == GAP.sum() + 1
    done = run_command(*words, "--bad-values", "-1,-2")
    assert (done.returncode, "--bad-values" in done.stderr) == (0, False), done.stderr
    done = run_command(*words[:-2], "--bad-values", "none")
    assert (done.returncode, "--bad-values: applies to the patterns file" in done.stderr) == (2, True)
