"""Products that ptychodus wrote are read by us, and products of ours are read by ptychodus, whichever way they came."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.io import load_product, save_product
from ptychodus.api.object import Object, ObjectCenter
from ptychodus.api.probe import ProbeSequence
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.api.product import LossValue, Product, ProductMetadata
from ptychodus.plugins.cxi_file import CXIProductFileIO

from ptychoproduct import (
    ExportMeta,
    ExportOptions,
    Reconstruction,
    ScanFiles,
    export_product_from_files,
    export_product_from_npz,
    export_product_from_rawdata,
    open_product,
    repack_product,
)
from ptychoproduct.model.geometry import resolve_metadata

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
RESULTS = Reconstruction(
    opr_weights=np.random.default_rng(1).random((12, 3)),
    object_layer_spacing_m=[1e-6],
    loss_values=[0.5, 0.25],
    loss_epochs=[10, 20],
    probe_photon_counts=np.random.default_rng(2).random(12),
)


@pytest.fixture
def product(save_scan, make_scan, centered_meta, tmp_path):
    """A product of ours with frames, a probe of three modes in two sets, two layers, and all results."""
    probe = np.stack([[make_scan()["probeGuess"]] * 2] * 3)
    source = save_scan(probeGuess=probe, objectGuess=np.stack([make_scan()["objectGuess"]] * 2))
    export_product_from_npz(source, tmp_path / "product.h5", centered_meta, reconstruction=RESULTS)
    return tmp_path / "product.h5"


def test_ptychodus_reads_all_that_a_reconstruction_holds(product):
    loaded = load_product(product)
    assert np.array_equal(loaded.probes.get_opr_weights(), RESULTS.opr_weights)
    assert loaded.probes.get_array().shape == (3, 2, 16, 16)
    assert list(loaded.object_.layer_spacing_m) == [1e-6]
    assert [(loss.epoch, loss.value) for loss in loaded.losses] == [(10, 0.5), (20, 0.25)]
    assert loaded.probe_positions.get_probe_photon_counts().tolist() == RESULTS.probe_photon_counts.tolist()


def test_ptychodus_reads_the_same_after_repacking(product, tmp_path):
    repack_product(product, tmp_path / "again.h5", options=ExportOptions(compression="none"))
    before, after = load_product(product), load_product(tmp_path / "again.h5")
    assert np.array_equal(before.object_.get_array(), after.object_.get_array())
    assert np.array_equal(before.probes.get_array(), after.probes.get_array())
    assert [(point.x_m, point.index) for point in before.probe_positions] == [
        (point.x_m, point.index) for point in after.probe_positions
    ]


def test_a_product_that_ptychodus_saved_is_read(tmp_path):
    rng = np.random.default_rng(1)
    probe, layers = rng.random((2, 3, 8, 8)) + 1j, rng.random((2, 32, 32)) + 1j
    weights = rng.random((5, 2))
    pixel = PixelGeometry(width_m=1e-8, height_m=2e-8)
    saved = Product(
        metadata=ProductMetadata(
            name="theirs",
            comments="",
            detector_distance_m=2.0,
            photon_energy_eV=9000.0,
            probe_photon_count=1e5,
            exposure_time_s=0.5,
            mass_attenuation_m2_per_kg=0.25,
            tomography_angle_deg=30.0,
        ),
        probe_positions=ProbePositionSequence(
            [ProbePosition(7 + i, i * 1e-8, i * -2e-8, probe_photon_count=float(i)) for i in range(5)]
        ),
        probes=ProbeSequence(array=probe, opr_weights=weights, pixel_geometry=pixel),
        object_=Object(
            array=layers, pixel_geometry=pixel, center=ObjectCenter(x_m=1.0, y_m=2.0), layer_spacing_m=[1e-6]
        ),
        losses=[LossValue(3, 0.5), LossValue(4, 0.25)],
    )
    save_product(tmp_path / "product.h5", saved)
    with open_product(tmp_path / "product.h5") as opened:
        assert np.array_equal(opened.probe, probe)
        assert np.array_equal(opened.object, layers)
        assert np.array_equal(opened.opr_weights, weights)
        assert opened.object_layer_spacing_m.tolist() == [1e-6]
        assert opened.position_indexes.tolist() == [7, 8, 9, 10, 11]
        assert opened.x_m.tolist() == [i * 1e-8 for i in range(5)]
        assert opened.y_m.tolist() == [i * -2e-8 for i in range(5)]
        assert opened.probe_photon_counts.tolist() == [0, 1, 2, 3, 4]
        assert (opened.loss_epochs.tolist(), opened.loss_values.tolist()) == ([3, 4], [0.5, 0.25])
        expected = ExportMeta(
            name="theirs",
            detector_distance_m=2.0,
            probe_energy_eV=9000.0,
            probe_photon_count=1e5,
            exposure_time_s=0.5,
            mass_attenuation_m2_kg=0.25,
            tomography_angle_deg=30.0,
            object_pixel_width_m=1e-8,
            object_pixel_height_m=2e-8,
            probe_pixel_width_m=1e-8,
            probe_pixel_height_m=2e-8,
            object_center_x_m=1.0,
            object_center_y_m=2.0,
        )
        assert resolve_metadata(opened.meta) == resolve_metadata(expected)


@pytest.mark.parametrize(
    ("save", "name"),
    [(save_product, "saved.h5"), (lambda path, product: CXIProductFileIO().write(path, product), "saved.cxi")],
)
def test_positions_and_probe_that_ptychodus_wrote_beside_our_frames(product, tmp_path, save, name):
    with h5py.File(product) as file, h5py.File(tmp_path / "frames.h5", "w") as frames:
        frames["patterns"] = file["raw_data/diffraction"][()]
    save(tmp_path / name, load_product(product))
    export_product_from_files(ScanFiles(tmp_path / "frames.h5", positions=tmp_path / name), tmp_path / "out.h5")
    with h5py.File(product) as before, h5py.File(tmp_path / "out.h5") as after:
        for dataset in ("raw_data/diffraction", "probe"):
            assert np.array_equal(before[dataset], after[dataset])
        for axis in "xy":
            dataset = f"probe_position_{axis}_m"
            np.testing.assert_allclose(before[dataset], after[dataset], rtol=1e-12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.floats(-300, 300), min_size=1, max_size=5),
    st.floats(-300, 300),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([0.0, 1e-6, -3e-6]),
)
def test_a_synthetic_object_covers_the_probe_at_every_position(tmp_path, x_px, y_px, probe_shape, center_m):
    raw = SimpleNamespace(
        xcoords=np.array(x_px), ycoords=np.full(len(x_px), y_px), probeGuess=np.ones(probe_shape, complex)
    )
    meta = ExportMeta(object_center_x_m=center_m, object_center_y_m=center_m)
    export_product_from_rawdata(raw, tmp_path / "product.h5", meta)
    product = load_product(tmp_path / "product.h5")
    geometry, slack_px = product.object_.get_geometry(), 1e-6
    for position in product.probe_positions:
        point = geometry.map_coordinates_probe_to_object(position)
        for center_px, reach_px, size_px in (
            (point.x_px, probe_shape[1] / 2, geometry.width_px),
            (point.y_px, probe_shape[0] / 2, geometry.height_px),
        ):
            assert center_px - reach_px >= -0.5 - slack_px
            assert center_px + reach_px <= size_px - 0.5 + slack_px
