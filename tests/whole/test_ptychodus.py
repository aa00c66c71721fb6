"""Products go to the real ptychodus and come back from it; PtychoPINN's layout is built here with h5py."""

import importlib.util
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from ptychodus.api.assemble import AssembledDiffractionData
from ptychodus.api.diffraction import Polarization
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.io import load_product, save_product, save_ptychopinn_training_data
from ptychodus.api.object import Object, ObjectCenter
from ptychodus.api.probe import ProbeSequence
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.api.product import LossValue, Product, ProductMetadata
from ptychodus.api.reconstruct import ReconstructInput, prepare_reconstruct_input

from ptychoproduct import (
    ExportMeta,
    ExportOptions,
    ProductWriter,
    Reconstruction,
    export_product_from_npz,
    import_product_to_npz,
    import_product_to_rawdata,
    inspect_product,
    open_product,
    validate_product,
)
from ptychoproduct.model.geometry import resolve_metadata

needs_matplotlib = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="draws")
N = 12
META = ExportMeta(
    name="Größe µ",
    comments="two\nlines",
    detector_distance_m=1.94,
    probe_energy_eV=8801.5,
    exposure_time_s=0.125,
    probe_photon_count=1234567.0,
    mass_attenuation_m2_kg=0.625,
    tomography_angle_deg=-31.5,
    object_pixel_width_m=5e-8,
    object_pixel_height_m=4e-8,
    probe_pixel_width_m=1.25e-7,
    probe_pixel_height_m=1.5e-7,
    object_center_x_m=31.5 * 5e-8,
    object_center_y_m=31.5 * 4e-8,
    tilt_angle_deg=2.5,
    focus_object_distance_m=7.5e-4,
    far_field=False,
    polarization="right_circular",
)
# Our name of each value, and ptychodus's.
METADATA = [
    ("name", "name"),
    ("comments", "comments"),
    ("detector_distance_m", "detector_distance_m"),
    ("probe_energy_eV", "photon_energy_eV"),
    ("exposure_time_s", "exposure_time_s"),
    ("probe_photon_count", "probe_photon_count"),
    ("mass_attenuation_m2_kg", "mass_attenuation_m2_per_kg"),
    ("tomography_angle_deg", "tomography_angle_deg"),
    ("tilt_angle_deg", "tilt_angle_deg"),
    ("focus_object_distance_m", "focus_object_distance_m"),
    ("far_field", "far_field"),
    ("polarization", "polarization"),
]


def complex_array(*shape, dtype=np.complex64):
    rng = np.random.default_rng(3)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)


@pytest.fixture
def export(save_scan, tmp_path):
    """A function that exports a small scan and loads the product with ptychodus."""

    def run(meta=META, options=None, results=None, **changes):
        product = tmp_path / "product.h5"
        export_product_from_npz(save_scan(**changes), product, meta, reconstruction=results, options=options)
        return load_product(product)

    return run


@pytest.fixture
def ptychodus_product():
    """A product in ptychodus's own terms, with everything in it."""
    rng = np.random.default_rng(5)
    return Product(
        metadata=ProductMetadata(
            name="Größe µ",
            comments="two\nlines",
            detector_distance_m=1.94,
            photon_energy_eV=8801.5,
            probe_photon_count=1234567.5,
            exposure_time_s=0.125,
            mass_attenuation_m2_per_kg=0.625,
            tomography_angle_deg=-31.5,
            focus_object_distance_m=7.5e-4,
            tilt_angle_deg=2.5,
            polarization=Polarization.LEFT_CIRCULAR,
            far_field=False,
        ),
        probe_positions=ProbePositionSequence(
            [
                ProbePosition(3 * i + 1, *rng.uniform(-1e-6, 1e-6, 2), probe_photon_count=rng.uniform(1e5, 1e6))
                for i in range(N)
            ]
        ),
        probes=ProbeSequence(complex_array(2, 3, 16, 16), rng.uniform(-1, 1, (N, 2)), PixelGeometry(1.25e-7, 1.5e-7)),
        object_=Object(complex_array(3, 64, 96), PixelGeometry(5e-8, 4e-8), ObjectCenter(1e-7, -2e-7), [1e-6, 2.5e-6]),
        losses=[LossValue(10, 0.5), LossValue(25, 0.25)],
    )


@pytest.fixture
def saved_by_ptychodus(ptychodus_product, tmp_path):
    path = tmp_path / "ptychodus.h5"
    save_product(path, ptychodus_product)
    return path


def test_a_product_that_was_never_reconstructed_is_read(ptychodus_product, tmp_path):
    path = tmp_path / "new.h5"
    save_product(path, replace(ptychodus_product, losses=[]))
    with h5py.File(path) as file:
        assert (file["loss_epochs"].dtype, file["loss_epochs"].shape) == (np.float64, (0,))
    report = validate_product(path)
    assert [problem for problem in report.problems if problem.severity == "error"] == []
    assert inspect_product(path)
    import_product_to_npz(path, tmp_path / "new.npz")
    with open_product(path) as product:
        assert (len(product.loss_values), len(product.loss_epochs), product.loss_epochs.dtype.kind) == (0, 0, "i")


@pytest.fixture
def ptychopinn_arrays():
    """What PtychoPINN's exporter is given."""
    rng = np.random.default_rng(9)
    return {
        "diffraction": np.sqrt(rng.poisson(3, (N, 16, 16))).astype(np.float32),
        "xcoords": rng.uniform(8, 56, N),
        "ycoords": rng.uniform(8, 56, N),
        "probe": complex_array(2, 1, 16, 16),
        "object": complex_array(64, 64),
        "opr_weights": rng.uniform(-1, 1, (N, 2)).astype(np.float32),
    }


@pytest.fixture
def ptychopinn_product(ptychopinn_arrays, tmp_path):
    """A product in the layout of PtychoPINN's exporter."""
    path = tmp_path / "ptychopinn.h5"
    arrays = ptychopinn_arrays
    with h5py.File(path, "w") as file:
        file.attrs.update(
            {
                "name": "Run1084",
                "comments": "from PtychoPINN",
                "detector_object_distance_m": 1.94,
                "probe_energy_eV": 8801.5,
                "probe_photon_count": 1e6,
                "exposure_time_s": 0.125,
                "mass_attenuation_m2_kg": 0.625,
                "tomography_angle_deg": 30.0,
                "bundle_version": "1.0",
                "contains_raw_data": 1,
            }
        )
        file["probe_position_indexes"] = np.zeros(N, np.int64)
        file["probe_position_x_m"] = arrays["xcoords"] * 5e-8
        file["probe_position_y_m"] = arrays["ycoords"] * 5e-8
        file["probe"] = arrays["probe"]
        file["probe"].attrs.update(
            {"pixel_width_m": 1.25e-7, "pixel_height_m": 1.25e-7, "opr_weights": arrays["opr_weights"]}
        )
        file["object"] = arrays["object"]
        file["object"].attrs.update(
            {"center_x_m": 31.5 * 5e-8, "center_y_m": 31.5 * 5e-8, "pixel_width_m": 5e-8, "pixel_height_m": 5e-8}
        )
        file["object_layer_spacing_m"] = np.empty(0)
        file["loss_values"] = np.empty(0)
        file["loss_epochs"] = np.empty(0, np.int64)
        raw = file.create_group("raw_data")
        frames = raw.create_dataset(
            "diffraction", data=arrays["diffraction"], compression="gzip", compression_opts=4, shuffle=True
        )
        frames.attrs.update({"axis_canonical": "NHW", "original_axis_order": "HWN"})
        raw["xcoords"], raw["ycoords"] = arrays["xcoords"], arrays["ycoords"]
        raw["scan_index"] = np.zeros(N, np.int64)
        raw["probeGuess"], raw["objectGuess"] = file["probe"], file["object"]
        raw["_metadata"] = json.dumps({"nphotons": 1e9})
    return path


@pytest.mark.parametrize(("ours", "theirs"), METADATA, ids=[ours for ours, _ in METADATA])
def test_ptychodus_reads_the_metadata(export, ours, theirs):
    assert getattr(export().metadata, theirs) == getattr(META, ours)


def test_ptychodus_reads_defaults_for_metadata_that_nobody_gave(export, centered_meta):
    metadata = export(centered_meta).metadata
    assert metadata == ProductMetadata("", "", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_ptychodus_reads_positions_in_metres(export, make_scan):
    positions, scan = export().probe_positions, make_scan()
    np.testing.assert_array_equal(positions.get_coordinates_x_m(), scan["xcoords"] * META.object_pixel_width_m)
    np.testing.assert_array_equal(positions.get_coordinates_y_m(), scan["ycoords"] * META.object_pixel_height_m)


def test_ptychodus_puts_positions_that_count_from_the_corner_on_the_pixels_that_they_count(export, make_scan):
    product, scan = export(), make_scan()
    geometry = product.object_.get_geometry()
    x_px = geometry.map_probe_positions_to_object_x_px(product.probe_positions)
    y_px = geometry.map_probe_positions_to_object_y_px(product.probe_positions)
    np.testing.assert_allclose([x_px, y_px], [scan["xcoords"], scan["ycoords"]], rtol=0, atol=1e-9)


def test_ptychodus_reads_indexes_that_number_the_positions(export):
    indexes = np.arange(N)[::-1] * 3
    np.testing.assert_array_equal(export(scan_index=indexes).probe_positions.get_indexes(), indexes)


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_a_scan_index_of_zeros_gives_ptychodus_distinct_indexes(export):
    product = export(scan_index=np.zeros(N, int))
    np.testing.assert_array_equal(product.probe_positions.get_indexes(), np.arange(N))


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
@pytest.mark.parametrize(("choice", "positions"), [("auto", N), ("sequence", N), ("scan-index", 1)])
def test_ptychodus_pairs_as_many_patterns_as_the_indexes_tell_apart(export, make_scan, choice, positions):
    product = export(options=ExportOptions(position_index=choice), scan_index=np.zeros(N, int))
    frames = make_scan()["diff3d"]
    data = AssembledDiffractionData(
        np.arange(N), frames, PixelGeometry(7.5e-5, 7.5e-5), np.zeros(frames.shape[1:], dtype=bool)
    )
    paired = prepare_reconstruct_input(data, product)
    assert len(paired.product.probe_positions) == len(paired.diffraction_patterns) == positions


def test_ptychodus_pairs_each_pattern_with_its_own_position(export, make_scan):
    indexes = np.random.default_rng(2).permutation(N)
    product, frames = export(scan_index=indexes), make_scan()["diff3d"]
    data = AssembledDiffractionData(
        indexes, frames, PixelGeometry(7.5e-5, 7.5e-5), np.zeros(frames.shape[1:], dtype=bool)
    )
    paired = prepare_reconstruct_input(data, product).product.probe_positions
    np.testing.assert_array_equal(paired.get_coordinates_x_m(), product.probe_positions.get_coordinates_x_m())


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(16, 16), (3, 16, 20), (2, 3, 16, 20)], ids=["HW", "IHW", "CIHW"])
def test_ptychodus_reads_the_probe(export, shape, dtype):
    probe = complex_array(*shape, dtype=dtype)
    frames = np.ones((N, *shape[-2:]), np.float32)
    found = export(probeGuess=probe, diff3d=frames).probes
    np.testing.assert_array_equal(found.get_array(), probe.reshape((1,) * (4 - len(shape)) + shape), strict=True)
    assert found.get_pixel_geometry() == PixelGeometry(META.probe_pixel_width_m, META.probe_pixel_height_m)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ptychodus_reads_opr_weights_too_large_for_an_old_attribute(tmp_path, dtype):
    positions = 10_000
    weights = np.random.default_rng(4).standard_normal((positions, 3)).astype(dtype)
    assert weights.nbytes > 64 * 1024
    path = tmp_path / "product.h5"
    with ProductWriter(path) as writer:
        writer.set_positions(np.zeros(positions), np.zeros(positions), np.arange(positions))
        writer.set_probe(complex_array(3, 2, 16, 16), weights)
        writer.set_object(complex_array(32, 32))
    np.testing.assert_array_equal(load_product(path).probes.get_opr_weights(), weights, strict=True)


def test_ptychodus_composes_the_probe_of_a_position_from_its_row_of_weights(export):
    probe, weights = complex_array(2, 3, 16, 16), np.random.default_rng(4).standard_normal((N, 2))
    found = export(probeGuess=probe, results=Reconstruction(opr_weights=weights)).probes[7].get_array()
    np.testing.assert_allclose(found[0], np.tensordot(weights[7], probe[:, 0], 1), rtol=1e-5)


def test_ptychodus_reads_no_opr_weights_where_there_are_none(export):
    assert export().probes.get_opr_weights_or_none() is None


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((64, 72), []), ((1, 64, 72), []), ((3, 64, 72), [1e-6, 2.5e-6])],
    ids=["HW", "one layer", "three layers"],
)
def test_ptychodus_reads_the_object(export, shape, spacing, dtype):
    array = complex_array(*shape, dtype=dtype)
    found = export(objectGuess=array, results=Reconstruction(object_layer_spacing_m=spacing)).object_
    np.testing.assert_array_equal(found.get_array(), array.reshape((-1, 64, 72)), strict=True)
    assert list(found.layer_spacing_m) == spacing


def test_ptychodus_reads_where_the_object_is(export):
    geometry = export().object_.get_geometry()
    assert (geometry.center_x_m, geometry.center_y_m, geometry.pixel_width_m, geometry.pixel_height_m) == (
        META.object_center_x_m,
        META.object_center_y_m,
        META.object_pixel_width_m,
        META.object_pixel_height_m,
    )


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_ptychodus_reads_a_synthetic_object(export):
    product = export(objectGuess=None)
    found = product.object_.get_array()
    np.testing.assert_array_equal(found, np.ones_like(found))


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_a_synthetic_object_reaches_as_far_as_the_probe_at_every_position(export):
    product = export(objectGuess=None)
    geometry, positions = product.object_.get_geometry(), product.probe_positions
    columns = geometry.map_probe_positions_to_object_x_px(positions)
    rows = geometry.map_probe_positions_to_object_y_px(positions)
    reach = (16 - 1) / 2
    assert min(columns.min(), rows.min()) >= reach
    assert columns.max() <= geometry.width_px - 1 - reach
    assert rows.max() <= geometry.height_px - 1 - reach


def test_ptychodus_reads_losses_with_their_epochs(export):
    product = export(results=Reconstruction(loss_values=[0.5, 0.25], loss_epochs=[10, 25]))
    assert product.losses == [LossValue(10, 0.5), LossValue(25, 0.25)]


def test_ptychodus_reads_losses_without_epochs(export):
    assert export(results=Reconstruction(loss_values=[0.5, 0.25])).losses == [LossValue(0, 0.5), LossValue(1, 0.25)]


def test_ptychodus_reads_an_empty_loss_history(export):
    assert list(export().losses) == []


def test_ptychodus_reads_photon_counts(export):
    counts = np.random.default_rng(6).uniform(0, 1e6, N)
    found = export(results=Reconstruction(probe_photon_counts=counts)).probe_positions.get_probe_photon_counts()
    np.testing.assert_array_equal(found, counts)


@pytest.mark.parametrize(("ours", "theirs"), METADATA, ids=[ours for ours, _ in METADATA])
def test_metadata_saved_by_ptychodus_is_read(ptychodus_product, saved_by_ptychodus, ours, theirs):
    with open_product(saved_by_ptychodus) as product:
        assert getattr(product.meta, ours) == getattr(ptychodus_product.metadata, theirs)


def test_pixels_and_centre_saved_by_ptychodus_are_read(saved_by_ptychodus):
    with open_product(saved_by_ptychodus) as product:
        meta = product.meta
    assert (meta.probe_pixel_width_m, meta.probe_pixel_height_m) == (1.25e-7, 1.5e-7)
    assert (meta.object_pixel_width_m, meta.object_pixel_height_m) == (5e-8, 4e-8)
    assert (meta.object_center_x_m, meta.object_center_y_m) == (1e-7, -2e-7)


def test_arrays_saved_by_ptychodus_are_read(ptychodus_product, saved_by_ptychodus):
    theirs = ptychodus_product
    with open_product(saved_by_ptychodus) as product:
        for found, expected in [
            (product.x_m, theirs.probe_positions.get_coordinates_x_m()),
            (product.y_m, theirs.probe_positions.get_coordinates_y_m()),
            (product.position_indexes, theirs.probe_positions.get_indexes()),
            (product.probe_photon_counts, theirs.probe_positions.get_probe_photon_counts()),
            (product.probe, theirs.probes.get_array()),
            (product.opr_weights, theirs.probes.get_opr_weights()),
            (product.object, theirs.object_.get_array()),
            (product.object_layer_spacing_m, np.array([1e-6, 2.5e-6])),
            (product.loss_values, np.array([0.5, 0.25])),
            (product.loss_epochs, np.array([10, 25])),
        ]:
            np.testing.assert_array_equal(found, expected, strict=True)
        assert not product.is_object_synthetic
        assert product.frames is None


def test_a_product_saved_by_ptychodus_is_valid(saved_by_ptychodus):
    assert validate_product(saved_by_ptychodus).problems == ()


def test_a_product_saved_by_ptychodus_is_inspected(saved_by_ptychodus):
    inspection = inspect_product(saved_by_ptychodus)
    assert inspection.problem is None
    assert {member.path for member in inspection.root.members} >= {"/probe", "/object", "/opr_weights", "/loss_values"}


@needs_matplotlib
def test_a_product_saved_by_ptychodus_is_drawn(saved_by_ptychodus):
    with open_product(saved_by_ptychodus) as product:
        titles = [axes.get_title() for axes in product.plot().axes]
    assert "object phase, layer 3 of 3" in titles
    assert "loss" in titles
    assert sum(title.startswith("probe amplitude") for title in titles) == 6


def test_a_product_saved_by_ptychodus_is_imported(ptychodus_product, saved_by_ptychodus):
    raw = import_product_to_rawdata(saved_by_ptychodus)
    positions = ptychodus_product.probe_positions
    np.testing.assert_array_equal(raw.xcoords, positions.get_coordinates_x_m() / 5e-8)
    np.testing.assert_array_equal(raw.ycoords, positions.get_coordinates_y_m() / 4e-8)
    np.testing.assert_array_equal(raw.scan_index, positions.get_indexes())
    np.testing.assert_array_equal(raw.probeGuess, ptychodus_product.probes.get_array())
    np.testing.assert_array_equal(raw.objectGuess, ptychodus_product.object_.get_array())
    assert raw.diff3d is None


def test_a_product_saved_by_ptychodus_survives_the_way_through_an_npz(ptychodus_product, saved_by_ptychodus, tmp_path):
    npz, product = tmp_path / "scan.npz", tmp_path / "again.h5"
    import_product_to_npz(saved_by_ptychodus, npz)
    meta = ExportMeta(
        object_pixel_width_m=5e-8, object_pixel_height_m=4e-8, object_center_x_m=1e-7, object_center_y_m=-2e-7
    )
    results = Reconstruction(object_layer_spacing_m=[1e-6, 2.5e-6])
    export_product_from_npz(npz, product, meta, include_raw=False, reconstruction=results)
    again, before = load_product(product), ptychodus_product
    np.testing.assert_array_equal(again.probes.get_array(), before.probes.get_array())
    np.testing.assert_array_equal(again.object_.get_array(), before.object_.get_array())
    np.testing.assert_array_equal(again.probe_positions.get_indexes(), before.probe_positions.get_indexes())
    np.testing.assert_allclose(
        again.probe_positions.get_coordinates_x_m(), before.probe_positions.get_coordinates_x_m(), rtol=1e-15
    )


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_an_npz_written_by_ptychodus_is_exported_with_its_mode_stack(ptychodus_product, tmp_path):
    npz, product = tmp_path / "ptychodus.npz", tmp_path / "product.h5"
    frames = np.random.default_rng(8).poisson(3, (N, 16, 16)).astype(np.uint16)
    save_ptychopinn_training_data(npz, ReconstructInput(frames, np.zeros((16, 16), dtype=bool), ptychodus_product))
    meta = ExportMeta(
        object_pixel_width_m=5e-8,
        object_pixel_height_m=4e-8,
        object_center_x_m=47.5 * 5e-8,
        object_center_y_m=31.5 * 4e-8,
    )
    export_product_from_npz(npz, product, meta)
    found = load_product(product)
    np.testing.assert_array_equal(found.probes.get_array()[0], ptychodus_product.probes.get_array()[0])
    np.testing.assert_array_equal(found.object_.get_layer(0), ptychodus_product.object_.get_layer(0))
    np.testing.assert_array_equal(found.probe_positions.get_indexes(), np.arange(N))
    with open_product(product) as ours:
        np.testing.assert_array_equal(ours.frames[:], frames, strict=True)


def test_metadata_of_ptychopinns_exporter_is_read(ptychopinn_product):
    with open_product(ptychopinn_product) as product:
        expected = ExportMeta(
            name="Run1084",
            comments="from PtychoPINN",
            detector_distance_m=1.94,
            probe_energy_eV=8801.5,
            exposure_time_s=0.125,
            probe_photon_count=1e6,
            mass_attenuation_m2_kg=0.625,
            tomography_angle_deg=30.0,
            object_center_x_m=31.5 * 5e-8,
            object_center_y_m=31.5 * 5e-8,
        )
        assert resolve_metadata(product.meta) == resolve_metadata(expected)


def test_arrays_of_ptychopinns_exporter_are_read(ptychopinn_product, ptychopinn_arrays):
    with open_product(ptychopinn_product) as product:
        for found, expected in [
            (product.frames[:], ptychopinn_arrays["diffraction"]),
            (product.x_m, ptychopinn_arrays["xcoords"] * 5e-8),
            (product.y_m, ptychopinn_arrays["ycoords"] * 5e-8),
            (product.position_indexes, np.zeros(N, np.int64)),
            (product.probe, ptychopinn_arrays["probe"]),
            (product.object, ptychopinn_arrays["object"]),
            (product.opr_weights, ptychopinn_arrays["opr_weights"]),
            (product.loss_values, np.empty(0)),
            (product.loss_epochs, np.empty(0, np.int64)),
        ]:
            np.testing.assert_array_equal(found, expected, strict=True)


def test_a_product_of_ptychopinns_exporter_is_valid_but_for_a_warning_about_its_indexes(ptychopinn_product):
    report = validate_product(ptychopinn_product)
    assert report.is_valid
    assert [problem.where for problem in report.problems] == ["/probe_position_indexes"]


def test_a_product_of_ptychopinns_exporter_is_inspected(ptychopinn_product):
    inspection = inspect_product(ptychopinn_product)
    raw = next(member for member in inspection.root.members if member.path == "/raw_data")
    assert (inspection.problem, raw.members[0].codec) == (None, "shuffle+gzip:4")


@needs_matplotlib
def test_a_product_of_ptychopinns_exporter_is_drawn(ptychopinn_product):
    with open_product(ptychopinn_product) as product:
        titles = [axes.get_title() for axes in product.plot(frame=3).axes]
    assert {"object phase", "mean of 12 frames", "frame 3"} <= set(titles)


def test_a_product_of_ptychopinns_exporter_is_imported(ptychopinn_product, ptychopinn_arrays):
    raw = import_product_to_rawdata(ptychopinn_product)
    for found, expected in [
        (raw.diff3d, ptychopinn_arrays["diffraction"]),
        (raw.xcoords, ptychopinn_arrays["xcoords"]),
        (raw.ycoords, ptychopinn_arrays["ycoords"]),
        (raw.xcoords_start, ptychopinn_arrays["xcoords"]),
        (raw.ycoords_start, ptychopinn_arrays["ycoords"]),
        (raw.scan_index, np.zeros(N, np.int64)),
        (raw.probeGuess, ptychopinn_arrays["probe"]),
        (raw.objectGuess, ptychopinn_arrays["object"]),
    ]:
        np.testing.assert_array_equal(found, expected, strict=True)
    assert json.loads(raw.metadata) == {"nphotons": 1e9}


def test_a_product_of_ptychopinns_exporter_becomes_an_npz_with_its_original_axis_order(
    ptychopinn_product, ptychopinn_arrays, tmp_path
):
    npz = tmp_path / "scan.npz"
    import_product_to_npz(ptychopinn_product, npz, original_axis_order=True)
    with np.load(npz) as scan:
        expected = np.moveaxis(ptychopinn_arrays["diffraction"], 0, 2)
        np.testing.assert_array_equal(scan["diff3d"], expected, strict=True)
        assert json.loads(str(scan["_metadata"])) == {"nphotons": 1e9}
