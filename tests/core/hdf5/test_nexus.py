"""NeXus viewers find the frames, the object's phase and the scan; silx's own reader is the judge."""

import h5py
import numpy as np
import pytest
from silx.io.nxdata import NXdata, get_default

from ptychoproduct import (
    ExportOptions,
    Reconstruction,
    export_product_from_npz,
    import_product_to_npz,
    validate_product,
)
from ptychoproduct.model.contract import PLOTS, VIEW_DATASETS


@pytest.fixture
def export(save_scan, tmp_path, centered_meta):
    """A function that exports a small scan, and gives the open product."""
    files = []

    def run(include_raw=True, options=None, results=None, **changes):
        path = tmp_path / "product.h5"
        export_product_from_npz(
            save_scan(**changes), path, centered_meta, include_raw, options=options, reconstruction=results
        )
        files.append(h5py.File(path))
        return files[-1]

    yield run
    for file in files:
        file.close()


def test_silx_opens_the_frames_with_the_positions_for_an_axis(export, make_scan):
    plot = get_default(export())
    assert plot.is_valid
    assert plot.issues == []
    assert plot.interpretation == "image"
    np.testing.assert_array_equal(plot.signal, make_scan()["diff3d"])
    assert plot.axes_dataset_names == ["probe_position_x_m", None, None]
    np.testing.assert_array_equal(plot.axes[0], make_scan()["xcoords"] * 5e-8)
    assert plot.axes[0].attrs["units"] == "m"
    assert plot.group["probe_position_y_m"].shape == plot.axes[0].shape


@pytest.mark.parametrize("shape", [(64, 60), (1, 64, 60), (3, 64, 60)])
def test_silx_finds_the_phase_of_the_object_over_metres(export, centered_meta, shape):
    rng = np.random.default_rng(1)
    array = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    layers = shape[0] if len(shape) == 3 else 1
    results = Reconstruction(object_layer_spacing_m=[1e-6] * (layers - 1))
    plot = NXdata(export(objectGuess=array, results=results)["entry/object_phase"])
    assert plot.is_valid
    np.testing.assert_allclose(plot.signal, np.angle(array), rtol=0, atol=1e-6)
    assert plot.signal.attrs["units"] == "rad"
    assert plot.axes_dataset_names == [None] * (len(shape) - 2) + ["y_m", "x_m"]
    x_m = plot.axes[-1]
    assert (x_m[0] + x_m[-1]) / 2 == pytest.approx(centered_meta.object_center_x_m, rel=1e-12)
    np.testing.assert_allclose(np.diff(x_m), 5e-8, rtol=1e-9)


def test_silx_finds_the_scan_as_points(export):
    plot = NXdata(export()["entry/scan"])
    assert plot.is_valid
    assert plot.signal.ndim == 1
    assert [axis.name.rpartition("/")[2] for axis in plot.axes] == ["probe_position_x_m", "probe_position_y_m"]


def test_without_frames_the_phase_is_what_silx_opens(export):
    assert get_default(export(include_raw=False)).signal_dataset_name == "phase"


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_a_stand_in_for_the_object_has_no_phase_to_show(export):
    file = export(include_raw=False, objectGuess=None)
    assert get_default(file).signal_dataset_name == "probe_position_indexes"
    assert "object_phase" not in file["entry"]


def test_what_is_shown_is_what_the_product_holds(export):
    file = export()
    for plot in PLOTS:
        for dataset in (plot.signal, *filter(None, plot.axes), *plot.beside):
            assert file[f"{plot.group}/{dataset.name.rpartition('/')[2]}"] == file[dataset.name]


def test_who_walks_through_the_file_meets_every_dataset_once_and_by_its_own_name(export):
    names = []
    export().visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    assert {"raw_data/diffraction", "probe_position_x_m", "probe_position_indexes"} <= set(names)
    assert {name for name in names if name.startswith("entry")} == {dataset.name for dataset in VIEW_DATASETS}


def test_a_dataset_that_is_replaced_is_shown_anew(export):
    file = export()
    path = file.filename
    file.close()
    with h5py.File(path, "r+") as file:
        del file["raw_data/diffraction"]
        file["raw_data/diffraction"] = np.zeros((12, 4, 4), np.float32)
        assert get_default(file).signal.shape == (12, 4, 4)


def test_viewers_can_be_left_out(export):
    file = export(options=ExportOptions(nexus=False))
    assert "entry" not in file
    assert "default" not in file.attrs
    assert "units" not in file["probe_position_x_m"].attrs


def test_a_product_with_plots_is_valid_and_becomes_the_same_scan(export, save_scan, tmp_path):
    product = export().filename
    assert validate_product(product, deep=True, source_npz=save_scan()).problems == ()
    import_product_to_npz(product, tmp_path / "again.npz")
    with np.load(save_scan()) as before, np.load(tmp_path / "again.npz") as after:
        assert set(before) == set(after)
        for key in before:
            np.testing.assert_array_equal(after[key], before[key], strict=True)


def damaged(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
        file["object"].attrs.pop("content_sha256", None)
        del file.attrs["metadata_sha256"]
    return {(problem.severity, problem.where) for problem in validate_product(path).problems}


def _other_signal(file):
    del file["entry/frames/diffraction"]
    file["entry/frames/diffraction"] = np.zeros((2, 2, 2))


def _signal_elsewhere(file):
    del file["entry/object_phase/phase"]
    file["entry/object_phase/phase"] = h5py.ExternalLink("other.h5", "/phase")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda file: file["object"].__setitem__((3, 4), -1), ("warning", "/entry/object_phase/phase")),
        (_other_signal, ("warning", "/entry/frames/diffraction")),
        (_signal_elsewhere, ("error", "/entry/object_phase/phase")),
        (
            lambda file: file["entry/scan"].__setitem__("more", h5py.ExternalLink("other.h5", "/x")),
            ("error", "/entry/scan/more"),
        ),
    ],
    ids=["another phase", "another signal", "a signal out of the file", "a link out of the file"],
)
def test_a_plot_of_something_else_is_found(export, change, problem):
    file = export()
    path = file.filename
    file.close()
    assert damaged(path, change) == {problem}
