"""Physics judges real reconstructions: ptychodus's with pty-chi, where that is installed, and a small ePIE of our own.

The ePIE is that of A. M. Maiden and J. M. Rodenburg, Ultramicroscopy 109, 1256 (2009), equations 3 to 6, and knows
nothing of our model. pty-chi needs PyTorch: ``pip install ptychi torch``.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from ptychodus.api.io import load_product, save_product

from ptychoproduct import (
    DiffractionFile,
    ExportMeta,
    ScanFiles,
    export_product_from_npz,
    judge_physics,
    validate_product,
)

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
SIZE, OBJECT, N, PHOTONS, PIXEL_M = 48, 100, 120, 1e5, 2e-8
META = ExportMeta(
    probe_energy_eV=8000.0,
    detector_distance_m=1.0,
    object_pixel_width_m=PIXEL_M,
    object_pixel_height_m=PIXEL_M,
    probe_pixel_width_m=PIXEL_M,
    probe_pixel_height_m=PIXEL_M,
    object_center_x_m=(OBJECT - 1) / 2 * PIXEL_M,
    object_center_y_m=(OBJECT - 1) / 2 * PIXEL_M,
)


def _beam(defocus, tilt):
    frequency = np.fft.fftfreq(SIZE)
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    radius = np.hypot(fx, fy)
    phase = defocus * SIZE * radius**2 + tilt * SIZE * (fx**2 - fy**2 + fx * fy)
    wave = np.fft.fftshift(np.fft.ifft2(np.exp(-((radius / 0.08) ** 8)) * np.exp(-1j * np.pi * phase)))
    return wave * np.sqrt(PHOTONS / np.sum(np.abs(np.fft.fft2(wave)) ** 2))


def _specimen(rng):
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(OBJECT), np.fft.fftfreq(OBJECT)))
    rough = np.fft.ifft2(np.fft.fft2(rng.normal(size=(OBJECT, OBJECT))) / (frequency + 0.02) ** 1.5).real
    return np.exp((0.6j - 0.05) * rough / rough.std())


def _epie(amplitudes, corners, probe, object_, epochs, rng):
    for number in np.concatenate([rng.permutation(N) for _ in range(epochs)]):
        patch = object_[tuple(slice(first, first + SIZE) for first in corners[number])]
        before = patch.copy()
        exit_wave = probe * before
        far = np.fft.fftshift(np.fft.fft2(exit_wave))
        revised = np.fft.ifft2(np.fft.ifftshift(amplitudes[number] * far / np.maximum(np.abs(far), 1e-12)))
        patch += probe.conj() / np.max(np.abs(probe) ** 2) * (revised - exit_wave)
        probe += before.conj() / np.max(np.abs(before) ** 2) * (revised - exit_wave)


@pytest.fixture(scope="module")
def measured():
    """Photon counts of a scan, and where each patch begins: row and column of the object."""
    rng = np.random.default_rng(11)
    corners = rng.integers(0, OBJECT - SIZE + 1, (N, 2))
    probe, specimen = _beam(2.0, 0.6), _specimen(rng)
    waves = [probe * specimen[top : top + SIZE, left : left + SIZE] for top, left in corners]
    return rng.poisson(np.abs(np.fft.fftshift(np.fft.fft2(waves), (1, 2))) ** 2).astype(np.uint16), corners


@pytest.fixture(scope="module")
def arrays(measured):
    """The scan after ePIE, by the keys of PtychoPINN; it began with ones and another probe."""
    counts, corners = measured
    amplitudes = np.sqrt(counts).astype(np.float32)
    probe, object_ = _beam(1.6, 0.3).astype(np.complex128), np.ones((OBJECT, OBJECT), np.complex128)
    _epie(amplitudes, corners, probe, object_, 40, np.random.default_rng(3))
    y, x = (corners + (SIZE - 1) / 2).T
    return {
        **{"xcoords": x, "ycoords": y, "xcoords_start": x, "ycoords_start": y},
        **{"diff3d": amplitudes, "scan_index": np.zeros(N, int)},
        **{"probeGuess": probe.astype(np.complex64), "objectGuess": object_.astype(np.complex64)},
    }


def _converted(tmp_path, arrays, **options):
    np.savez(tmp_path / "scan.npz", **arrays)
    export_product_from_npz(tmp_path / "scan.npz", tmp_path / "product.h5", META, **options)
    return tmp_path / "product.h5"


def test_a_reconstruction_in_ptychopinns_keys_is_consistent(arrays, tmp_path):
    report = judge_physics(_converted(tmp_path, arrays))
    assert report.verdict == "consistent"
    assert report.correlation > 0.6


def test_a_reconstruction_with_exchanged_positions_is_told(arrays, tmp_path):
    exchanged = {"xcoords": arrays["ycoords"], "ycoords": arrays["xcoords"]}
    report = judge_physics(_converted(tmp_path, arrays | exchanged))
    assert report.options == {"positions_transform": "swap"}


def test_a_product_of_ptychopinns_exporter_is_consistent(arrays, tmp_path):
    with h5py.File(tmp_path / "pinn.h5", "w") as file:
        file.attrs.update(
            {"name": "scan", "comments": "", "detector_object_distance_m": 1.0, "probe_energy_eV": 8000.0}
        )
        file.attrs.update(dict.fromkeys(("probe_photon_count", "exposure_time_s", "mass_attenuation_m2_kg"), 0.0))
        file.attrs["tomography_angle_deg"] = 0.0
        file["probe_position_indexes"] = np.zeros(N, np.int64)
        for axis in "xy":
            file[f"probe_position_{axis}_m"] = arrays[f"{axis}coords"] * PIXEL_M
        for name in ("probe", "object"):
            file[name] = arrays[f"{name}Guess"]
            file[name].attrs.update({"pixel_width_m": PIXEL_M, "pixel_height_m": PIXEL_M})
        center_m = (OBJECT - 1) / 2 * PIXEL_M
        file["object"].attrs.update({"center_x_m": center_m, "center_y_m": center_m})
        for name in ("object_layer_spacing_m", "loss_values", "loss_epochs"):
            file[name] = np.empty(0)
        raw = file.create_group("raw_data")
        raw.create_dataset("diffraction", data=arrays["diff3d"], compression="gzip", compression_opts=4, shuffle=True)
        raw["diffraction"].attrs.update({"axis_canonical": "NHW", "original_axis_order": "NHW"})
        for key in ("xcoords", "ycoords", "scan_index", "probeGuess", "objectGuess"):
            raw[key] = arrays[key]
    assert validate_product(tmp_path / "pinn.h5", physics=True).physics.verdict == "consistent"


def test_a_product_that_ptychodus_saved_is_consistent_with_its_patterns(arrays, tmp_path):
    patterns = DiffractionFile(tmp_path / "diffraction.h5")
    product = _converted(tmp_path, arrays, diffraction=patterns)
    save_product(tmp_path / "saved.h5", load_product(product))
    report = judge_physics(ScanFiles(tmp_path / "diffraction.h5", positions=tmp_path / "saved.h5"))
    assert report.verdict == "consistent"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ptychi") is None, reason="needs pty-chi and PyTorch")
def test_what_ptychodus_reconstructs_with_pty_chi_is_consistent(measured, arrays, tmp_path):
    counts, _ = measured
    start = {"objectGuess": np.ones((OBJECT, OBJECT), np.complex64), "diff3d": counts}
    start["probeGuess"] = _beam(1.6, 0.3).astype(np.complex64)
    _converted(tmp_path, arrays | start, diffraction=DiffractionFile(tmp_path / "diffraction.h5"))
    command = [sys.executable, "-m", "ptychodus.cli.reconstruct_subprocess"]
    shown = [*command, "--print-ptychi-options", "ePIE"]
    options = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    for old, new in (
        ("device: gpu", "device: cpu"),
        ("epochs: 100", "epochs: 60"),
        ("batch_size: 100", "batch_size: 10"),
    ):
        assert old in options
        options = options.replace(old, new)
    (tmp_path / "options.yaml").write_text(options)
    words = ["-i", tmp_path, "-o", tmp_path / "out", "--ptychi-options", tmp_path / "options.yaml"]
    subprocess.run([*command, *map(str, words), "--num-sync-epochs", "60"], check=True, capture_output=True)
    files = ScanFiles(tmp_path / "diffraction.h5", positions=Path(tmp_path / "out" / "product.h5"))
    report = judge_physics(files)
    assert report.verdict == "consistent"
    assert report.correlation > 0.5
