"""Options of ``convert`` about the experiment, and about the files beside the product."""

import json

import h5py
import numpy as np
import pytest

from ptychoproduct import open_product

CENTER = ("--object-center-x-m", 1.575e-6, "--object-center-y-m", 1.575e-6)
DETECTOR = ("--detector-pixel-size-m", 7.5e-5, "--probe-energy-eV", 8000, "--detector-distance-m", 2)


@pytest.fixture
def convert(run_command, save_scan):
    """A function that converts a small scan with more options."""

    def run(*words, output="product.h5", **changes):
        output = [] if output is None else [output]
        return run_command("ptychoproduct", "convert", save_scan(**changes), *output, *words)

    return run


def test_a_metadata_file_gives_what_the_command_line_does_not(convert, tmp_path):
    (tmp_path / "meta.toml").write_text('name = "file"\nprobe-energy-eV = 8000\nfar_field = false\nexposure_time_s = 2')
    assert convert("--metadata", "meta.toml", "--name", "flag", "--exposure-time-s", 0, *CENTER).returncode == 0
    with open_product(tmp_path / "product.h5") as product:
        meta = product.meta
    assert (meta.name, meta.probe_energy_eV, meta.far_field, meta.exposure_time_s) == ("flag", 8000, False, 0)


def test_layers_may_stand_in_the_metadata_file(convert, tmp_path):
    (tmp_path / "meta.json").write_text('{"object-layer-spacing-m": [1e-6, 2e-6]}')
    result = convert("--metadata", "meta.json", *CENTER, objectGuess=np.ones((3, 64, 64), np.complex64))
    assert result.returncode == 0
    with open_product(tmp_path / "product.h5") as product:
        assert product.object_layer_spacing_m.tolist() == [1e-6, 2e-6]


def test_an_unknown_name_in_the_metadata_file_is_one_line_with_the_nearest(convert, tmp_path):
    (tmp_path / "meta.toml").write_text("detector_distance = 2")
    result = convert("--metadata", "meta.toml")
    assert result.returncode == 2
    assert "perhaps detector_distance_m" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "product.h5").exists()


@pytest.mark.parametrize(
    ("flag", "value", "field", "expected"),
    [
        ("--tilt-angle-deg", 2.5, "tilt_angle_deg", 2.5),
        ("--focus-object-distance-m", 1e-3, "focus_object_distance_m", 1e-3),
        ("--polarization", "left_circular", "polarization", "left_circular"),
        ("--detector-pixel-size-m", 7.5e-5, "detector_pixel_height_m", 7.5e-5),
    ],
)
def test_a_flag_becomes_its_field(convert, tmp_path, flag, value, field, expected):
    convert(flag, value)
    with open_product(tmp_path / "product.h5") as product:
        assert getattr(product.meta, field) == expected


def test_pixel_sizes_follow_from_the_detector_and_the_summary_says_so(convert, tmp_path):
    result = convert(*DETECTOR)
    expected = 1.23984198e-6 / 8000 * 2 / (16 * 7.5e-5)
    with open_product(tmp_path / "product.h5") as product:
        assert product.meta.object_pixel_width_m == pytest.approx(expected, rel=1e-8)
    assert f"{expected:.6g} x {expected:.6g} m  (derived)" in result.stdout


def test_a_contradiction_is_a_warning_with_both_numbers(convert):
    result = convert(*DETECTOR, "--object-pixel-size-m", 5e-8)
    warning = next(line for line in result.stderr.splitlines() if "object_pixel_width_m" in line)
    assert "5e-08" in warning
    assert "2.58" in warning


def test_what_is_not_given_is_said(convert):
    result = json.loads(convert("--exposure-time-s", 0, *DETECTOR, "--json").stdout)
    assert {"probe_photon_count", "focus_object_distance_m", "tomography_angle_deg"} <= set(result["not_given"])
    assert not {"exposure_time_s", "probe_energy_eV", "object_pixel_width_m"} & set(result["not_given"])
    assert {"probe_pixel_width_m", "object_center_x_m"} <= set(result["derived"])
    result = json.loads(convert("--object-center", "zero", "--json").stdout)
    assert "object_center_x_m" in result["not_given"]
    table = convert("--exposure-time-s", 0).stdout
    assert "(the default)" in table
    assert "probe_photon_count" in table
    assert "exposure_time_s" not in table


def test_positions_of_an_npz_scan_may_be_micrometres(convert, make_scan, tmp_path):
    scan = make_scan()
    convert("--positions-in", "um", *CENTER, xcoords=scan["xcoords"] * 0.05, ycoords=scan["ycoords"] * 0.05)
    with open_product(tmp_path / "product.h5") as product:
        np.testing.assert_allclose(product.x_m, scan["xcoords"] * 5e-8, rtol=1e-12)


def test_the_standard_layout_is_two_files(convert, tmp_path):
    result = convert("--standard-layout", "workflow", *DETECTOR, output=None)
    assert result.returncode == 0
    assert sorted(path.name for path in (tmp_path / "workflow").iterdir()) == ["diffraction.h5", "product.h5"]
    assert "uint16, whole counts; amplitudes squared" in result.stdout


def test_patterns_can_be_written_anywhere(convert, tmp_path):
    np.save(tmp_path / "mask.npy", np.eye(16))
    words = ("--diffraction-output", "patterns.h5", "--bad-pixels", "mask.npy", "--diffraction-compression", "none")
    result = json.loads(convert(*words, "--patterns-are", "counts", "--json", *DETECTOR).stdout)["diffraction"]
    assert (result["path"], result["dtype"], result["bad_pixels"]) == ("patterns.h5", "float32", 16)
    with h5py.File(tmp_path / "patterns.h5") as file:
        assert file["patterns"].compression is None


@pytest.mark.parametrize(
    ("words", "output", "message"),
    [
        (["--standard-layout", "out"], "product.h5", "--standard-layout: cannot be used with PRODUCT.h5"),
        ([], None, "PRODUCT.h5"),
        (
            ["--standard-layout", "out", "--diffraction-output", "d.h5"],
            None,
            "cannot be used with --diffraction-output",
        ),
        (["--bad-pixels", "mask.npy"], "product.h5", "--bad-pixels: applies to the patterns file only"),
        (["--patterns-are", "counts"], "product.h5", "--patterns-are: applies to the patterns file only"),
        (["--diffraction-output", "product.h5"], "product.h5", "is the name of another output"),
    ],
)
def test_outputs_that_do_not_go_together_are_refused(convert, tmp_path, words, output, message):
    result = convert(*words, output=output)
    assert result.returncode == 2
    assert message in result.stderr
    assert not list(tmp_path.glob("*.h5"))
