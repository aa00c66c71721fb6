"""What we predict of a product is what ptychodus simulates of it."""

import numpy as np
import pytest
from ptychodus.api.io import load_product
from ptychodus.api.simulate.diffraction import generate_diffraction_data

from ptychoproduct import ExportMeta, RawData, Reconstruction, export_product_from_rawdata, judge_physics
from ptychoproduct import open_product as opened
from ptychoproduct.model.geometry import far_field_pixel_m
from ptychoproduct.validation.physics_evidence import evidence_from
from ptychoproduct.validation.physics_model import predicted_amplitudes

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
SIZE, OBJECT, POSITIONS = 48, (110, 130), 20
FAR = {"detector_distance_m": 4.0, "pixel_m": far_field_pixel_m(8000.0, 4.0, SIZE, 75e-6), "far_field": True}
NEAR = {"detector_distance_m": 1e-3, "pixel_m": 1e-7, "far_field": False}


def _smooth(rng, shape, width):
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(shape[-1]), np.fft.fftfreq(shape[-2])))
    noise = np.fft.fft2(rng.normal(size=shape) + 1j * rng.normal(size=shape))
    values = np.fft.ifft2(noise * np.exp(-((frequency / width) ** 2)))
    return values / np.abs(values).max()


def _product(path, geometry, modes=1, coherent=1, layers=1):
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    window = np.exp(-(rows**2 + columns**2) / (SIZE / 8) ** 2)
    probe = _smooth(rng, (coherent, modes, SIZE, SIZE), 0.1) * window
    x, y = (rng.uniform(SIZE / 2, size - SIZE / 2 - 1, POSITIONS) for size in OBJECT[::-1])
    weights = rng.normal(size=(POSITIONS, coherent)) if coherent > 1 else None
    pixel_m = geometry["pixel_m"]
    meta = ExportMeta(
        probe_energy_eV=8000.0,
        detector_distance_m=geometry["detector_distance_m"],
        far_field=geometry["far_field"],
        object_pixel_width_m=pixel_m,
        object_pixel_height_m=pixel_m,
        probe_pixel_width_m=pixel_m,
        probe_pixel_height_m=pixel_m,
        object_center_x_m=(OBJECT[1] - 1) / 2 * pixel_m,
        object_center_y_m=(OBJECT[0] - 1) / 2 * pixel_m,
    )
    object_ = np.exp(1j * _smooth(rng, (layers, *OBJECT), 0.1).real)
    raw = RawData(
        xcoords=x,
        ycoords=y,
        xcoords_start=None,
        ycoords_start=None,
        diff3d=np.ones((POSITIONS, SIZE, SIZE), np.float32),
        probeGuess=probe.astype(np.complex64),
        scan_index=np.arange(POSITIONS),
        objectGuess=object_.astype(np.complex64),
    )
    results = Reconstruction(opr_weights=weights, object_layer_spacing_m=[2e-5] * (layers - 1))
    export_product_from_rawdata(raw, path, meta, reconstruction=results)
    return raw, meta, results


@pytest.mark.parametrize("geometry", [FAR, NEAR], ids=["far", "near"])
@pytest.mark.parametrize(
    "parts",
    [{}, {"modes": 3}, {"modes": 2, "coherent": 3}, {"layers": 2}],
    ids=lambda parts: " ".join(parts) or "plain",
)
def test_frames_are_predicted_as_ptychodus_simulates_them(tmp_path, geometry, parts):
    _product(tmp_path / "p.h5", geometry, **parts)
    expected = np.sqrt(generate_diffraction_data(load_product(tmp_path / "p.h5")).get_patterns())
    with opened(tmp_path / "p.h5") as product:
        rows = np.arange(POSITIONS)
        evidence = evidence_from(
            product.probe,
            product.object,
            product.x_m,
            product.y_m,
            product.meta,
            rows,
            lambda: expected.astype(np.float32),
            opr_weights=product.opr_weights,
            layer_spacing_m=product.object_layer_spacing_m,
        )
    found = predicted_amplitudes(evidence.optics, *evidence.patches(""), rows)
    found *= np.sum(found * expected) / np.sum(found**2)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.02 * np.sqrt(np.mean(expected**2))


def test_a_product_with_frames_by_ptychodus_is_consistent(tmp_path):
    raw, meta, results = _product(tmp_path / "p.h5", FAR, modes=2)
    raw.diff3d = np.sqrt(generate_diffraction_data(load_product(tmp_path / "p.h5")).get_patterns()).astype(np.float32)
    export_product_from_rawdata(raw, tmp_path / "q.h5", meta, reconstruction=results)
    report = judge_physics(tmp_path / "q.h5")
    assert report.verdict == "consistent"
    assert report.correlation > 0.99
