"""From a scan to a product: what is written where, and what is said about it."""

import json
import re
import warnings
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - the judge reads through h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ptychoproduct import (
    ExportMeta,
    ExportOptions,
    OptionError,
    OutputError,
    ProductWarning,
    RawData,
    Reconstruction,
    SourceError,
    export_product_from_npz,
    export_product_from_rawdata,
)
from ptychoproduct.model.contract import NX_CLASS, NX_DEFAULT, ROOT_ATTRIBUTES
from ptychoproduct.model.geometry import resolve_metadata

PIXEL_M = 5e-8
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@dataclass
class PinnRawData:
    """The attributes of PtychoPINN's own class, which has no type of ours and more besides."""

    xcoords: Any
    ycoords: Any
    xcoords_start: Any
    ycoords_start: Any
    diff3d: Any
    probeGuess: Any
    scan_index: Any
    objectGuess: Any = None
    Y: Any = None
    norm_Y_I: Any = None
    metadata: Any = None
    sample_indices: Any = None
    subsample_seed: Any = None

    def generate_grouped_data(self, size):
        return size


def read_datasets(path):
    with h5py.File(path) as file:
        root = {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}
        raw = {f"raw_data/{name}": item[()] for name, item in file.get("raw_data", {}).items()}
        return root | raw


def advised_center(message):
    x_m, y_m = re.search(r"object_center_x_m (\S+) object_center_y_m (\S+)", message).groups()
    return {"object_center_x_m": float(x_m), "object_center_y_m": float(y_m)}


def warnings_of(action):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ProductWarning)
        action()
    return [str(warning.message) for warning in caught if issubclass(warning.category, ProductWarning)]


# The same for both ways in.


@pytest.fixture(params=["npz", "rawdata", "duck", "pinn"])
def export(request, make_scan, tmp_path):
    """A function that exports a scan through one of the ways in, and gives the product's path."""

    def run(meta=None, include_raw=True, name="product.h5", *, scan=None, **settings):
        arrays = make_scan(**(scan or {}))
        out_path = tmp_path / name
        if request.param == "npz":
            source = tmp_path / "scan.npz"
            np.savez(source, **arrays)
            export_product_from_npz(source, out_path, meta, include_raw, **settings)
            return out_path
        fields = dict.fromkeys(RawData.__dataclass_fields__) | arrays
        kinds = {"rawdata": RawData, "duck": SimpleNamespace, "pinn": PinnRawData}
        raw = SimpleNamespace(**arrays) if request.param == "duck" else kinds[request.param](**fields)
        export_product_from_rawdata(raw, out_path, meta, include_raw, **settings)
        return out_path

    return run


def test_positions_are_in_metres_as_float64(export, make_scan, centered_meta):
    meta = replace(centered_meta, object_pixel_width_m=4e-8, object_center_x_m=31.5 * 4e-8)
    with h5py.File(export(meta)) as file:
        assert file["probe_position_x_m"].dtype == file["probe_position_y_m"].dtype == np.float64
        assert file["probe_position_x_m"][()].tolist() == (make_scan()["xcoords"] * 4e-8).tolist()
        assert file["probe_position_y_m"][()].tolist() == (make_scan()["ycoords"] * PIXEL_M).tolist()


def test_positions_in_pixels_and_frames_are_kept_in_raw_data(export, make_scan, centered_meta):
    found, scan = read_datasets(export(centered_meta)), make_scan()
    for name in ("xcoords", "ycoords", "xcoords_start", "ycoords_start", "scan_index"):
        assert found[f"raw_data/{name}"].tolist() == scan[name].tolist()
    assert np.array_equal(found["raw_data/diffraction"], scan["diff3d"])


def test_without_raw_data_the_product_has_the_reconstruction_only(export, centered_meta):
    with h5py.File(export(centered_meta, False)) as file:
        assert "raw_data" not in file
        assert len(file["probe_position_x_m"]) == 12


def test_without_raw_data_a_scan_needs_no_frames(export, centered_meta):
    with h5py.File(export(centered_meta, False, scan={"diff3d": None})) as file:
        assert file["probe"].shape == (16, 16)


def test_guesses_in_raw_data_are_the_root_datasets_themselves(export, centered_meta):
    with h5py.File(export(centered_meta)) as file:
        assert file["probe"] == file["raw_data/probeGuess"]
        assert file["object"] == file["raw_data/objectGuess"]


@pytest.mark.parametrize("probe_dtype", ["c8", "c16"])
@pytest.mark.parametrize("object_dtype", ["c8", "c16"])
def test_probe_and_object_keep_their_precision(export, make_scan, centered_meta, probe_dtype, object_dtype):
    scan = make_scan()
    guesses = {
        "probeGuess": scan["probeGuess"].astype(probe_dtype) / 3,
        "objectGuess": scan["objectGuess"].astype(object_dtype) / 3,
    }
    with h5py.File(export(centered_meta, scan=guesses)) as file:
        for name, key in (("probe", "probeGuess"), ("object", "objectGuess")):
            assert (file[name].dtype, file[name][()].tobytes()) == (guesses[key].dtype, guesses[key].tobytes())


def test_a_mode_stack_stays_a_mode_stack(export, make_scan, centered_meta):
    modes = np.stack([make_scan()["probeGuess"]] * 3)
    with h5py.File(export(centered_meta, scan={"probeGuess": modes})) as file:
        assert file["probe"].shape == (3, 16, 16)


def test_all_metadata_become_attributes_under_every_name(export):
    meta = ExportMeta(
        name="Run 1084 µ",
        comments="first\nsecond",
        detector_distance_m=1.25,
        probe_energy_eV=8000.0,
        exposure_time_s=0.1,
        probe_photon_count=1e6,
        mass_attenuation_m2_kg=0.3,
        tomography_angle_deg=4.0,
        tilt_angle_deg=5.0,
        focus_object_distance_m=1e-3,
        far_field=False,
        polarization="left_circular",
        particle="electron",
        object_center_x_m=31.5 * PIXEL_M,
        object_center_y_m=32.5 * PIXEL_M,
        probe_pixel_width_m=1e-7,
        probe_pixel_height_m=2e-7,
    )
    resolved = resolve_metadata(meta)
    with h5py.File(export(meta)) as file:
        assert (file.attrs["NX_class"], file.attrs["default"]) == ("NXroot", "entry")
        for attribute in ROOT_ATTRIBUTES:
            expected = getattr(resolved, attribute.field) if attribute.field else attribute.default
            if attribute in (NX_CLASS, NX_DEFAULT) or expected is None:  # those of some products only have no default
                continue
            for name in (attribute.name, *attribute.aliases):
                assert file.attrs[name] == expected, name
        said = {
            name: {key: value for key, value in file[name].attrs.items() if key != "content_sha256"}
            for name in ("probe", "object")
        }
        assert said["probe"] == {"pixel_width_m": 1e-7, "pixel_height_m": 2e-7}
        assert said["object"] == {
            "center_x_m": 31.5 * PIXEL_M,
            "center_y_m": 32.5 * PIXEL_M,
            "pixel_width_m": PIXEL_M,
            "pixel_height_m": PIXEL_M,
        }


@pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning")
def test_metadata_have_the_defaults_of_the_reference(export):
    with h5py.File(export()) as file:
        assert (file.attrs["name"], file.attrs["comments"]) == ("", "")
        for name in ("detector_object_distance_m", "probe_energy_eV", "photon_energy_eV", "exposure_time_s"):
            assert file.attrs[name] == 0.0
        assert file["object"].attrs["pixel_width_m"] == file["object"].attrs["pixel_height_m"] == 5e-8
        assert file["probe"].attrs["pixel_width_m"] == file["probe"].attrs["pixel_height_m"] == 1.25e-7
        assert file["object"].attrs["center_x_m"] == file["object"].attrs["center_y_m"] == 0.0


def test_a_product_has_an_empty_loss_history_by_default(export, centered_meta):
    found = read_datasets(export(centered_meta))
    assert [len(found[name]) for name in ("loss_values", "costs", "loss_epochs", "object_layer_spacing_m")] == [0] * 4


def test_losses_have_both_names_as_one_dataset(export, centered_meta):
    with h5py.File(export(centered_meta, reconstruction=Reconstruction(loss_values=[3, 2, 1]))) as file:
        assert file["costs"] == file["loss_values"]
        assert file["loss_values"][()].tolist() == [3.0, 2.0, 1.0]
        assert file["loss_epochs"][()].tolist() == [0, 1, 2]


def test_opr_weights_are_both_a_dataset_and_an_attribute(export, centered_meta):
    weights = np.random.default_rng(1).random((10_000, 1))  # over 64 KiB: too large for a compact attribute
    with h5py.File(export(centered_meta, reconstruction=Reconstruction(opr_weights=weights))) as file:
        assert np.array_equal(file["opr_weights"][()], weights)
        assert np.array_equal(file["probe"].attrs["opr_weights"], weights)


@pytest.mark.parametrize("values", [np.arange(12)[::-1], np.arange(100, 112), np.arange(12.0) * 2], ids=str)
def test_distinct_scan_indexes_are_the_position_indexes(export, centered_meta, values):
    with h5py.File(export(centered_meta, scan={"scan_index": values})) as file:
        assert file["probe_position_indexes"].dtype == np.int64
        assert file["probe_position_indexes"][()].tolist() == values.tolist()


@pytest.mark.parametrize(
    "values", [np.r_[np.arange(11), 0], np.arange(12) - 1, np.arange(12) + 0.5, np.full(12, np.nan)], ids=str
)
def test_scan_indexes_that_number_nothing_are_replaced_with_a_warning(export, centered_meta, values):
    with pytest.warns(ProductWarning, match="probe_position_indexes are 0 to N-1"):
        path = export(centered_meta, scan={"scan_index": values})
    with h5py.File(path) as file:
        assert file["probe_position_indexes"][()].tolist() == list(range(12))
        assert np.array_equal(file["raw_data/scan_index"][()], values, equal_nan=values.dtype.kind == "f")


@pytest.mark.parametrize("values", [np.zeros(12, int), np.full(12, -3.0)], ids=str)
def test_a_scan_index_that_is_the_same_for_all_is_replaced_with_a_line_in_the_summary(
    save_scan, centered_meta, tmp_path, values
):
    summary = export_product_from_npz(save_scan(scan_index=values), tmp_path / "p.h5", centered_meta)
    assert summary.position_index_note == "0 to 11 (scan_index is the same for all)"
    with h5py.File(tmp_path / "p.h5") as file:
        assert file["probe_position_indexes"][()].tolist() == list(range(12))
        assert np.array_equal(file["raw_data/scan_index"], values)


def test_scan_indexes_that_are_taken_need_no_line_in_the_summary(save_scan, centered_meta, tmp_path):
    assert export_product_from_npz(save_scan(), tmp_path / "p.h5", centered_meta).position_index_note is None


def test_a_scan_without_scan_index_is_numbered_with_a_warning(export, centered_meta):
    with pytest.warns(ProductWarning, match="has no scan_index"):
        path = export(centered_meta, scan={"scan_index": None})
    with h5py.File(path) as file:
        assert file["probe_position_indexes"][()].tolist() == list(range(12))
        assert "scan_index" not in file["raw_data"]


@pytest.mark.parametrize("values", [None, np.zeros(12, int), np.arange(12) + 5], ids=str)
def test_a_sequence_that_was_asked_for_is_given_without_a_warning(export, centered_meta, values):
    path = export(centered_meta, scan={"scan_index": values}, options=ExportOptions(position_index="sequence"))
    with h5py.File(path) as file:
        assert file["probe_position_indexes"][()].tolist() == list(range(12))


def test_scan_indexes_that_were_asked_for_are_taken_though_they_repeat_with_a_warning(export, centered_meta):
    options = ExportOptions(position_index="scan-index")
    with pytest.warns(ProductWarning, match="ptychodus averages"):
        path = export(centered_meta, scan={"scan_index": np.full(12, 3)}, options=options)
    with h5py.File(path) as file:
        assert file["probe_position_indexes"][()].tolist() == [3] * 12


@pytest.mark.parametrize("values", [None, np.arange(12) + 0.5], ids=str)
def test_scan_indexes_that_were_asked_for_and_are_none_are_refused(export, centered_meta, values):
    with pytest.raises(OptionError, match="scan_index"):
        export(centered_meta, scan={"scan_index": values}, options=ExportOptions(position_index="scan-index"))


@pytest.mark.parametrize("order", ["NHW", "HNW", "HWN"])
@pytest.mark.parametrize("requested", [True, False], ids=["requested", "auto"])
def test_frames_in_any_axis_order_become_canonical(export, make_scan, centered_meta, order, requested):
    canonical = make_scan()["diff3d"][:, :10, :7]
    stored = canonical.transpose(["NHW".index(axis) for axis in order])
    options = ExportOptions(axis_order=order if requested else "auto")
    with h5py.File(export(centered_meta, scan={"diff3d": stored}, options=options)) as file:
        frames = file["raw_data/diffraction"]
        assert np.array_equal(frames[()], canonical)
        assert frames.attrs["axis_canonical"] == "NHW"
        assert frames.attrs["original_axis_order"] == order


def test_frames_with_two_axes_of_the_length_of_the_scan_are_taken_as_nhw_with_a_warning(export, centered_meta):
    frames = np.random.default_rng(1).random((12, 12, 5))
    with pytest.warns(ProductWarning, match="taken as NHW"):
        path = export(centered_meta, scan={"diff3d": frames})
    with h5py.File(path) as file:
        assert np.array_equal(file["raw_data/diffraction"][()], frames)


def test_an_axis_order_that_was_asked_for_needs_no_warning(export, centered_meta):
    frames = np.random.default_rng(1).random((12, 12, 5))
    path = export(centered_meta, scan={"diff3d": frames}, options=ExportOptions(axis_order="HNW"))
    with h5py.File(path) as file:
        assert np.array_equal(file["raw_data/diffraction"][()], frames.transpose(1, 0, 2))


@pytest.mark.parametrize(
    ("shape", "order", "error"),
    [
        ((5, 12, 12), "auto", SourceError),
        ((5, 6, 7), "auto", SourceError),
        ((12, 16), "auto", SourceError),
        ((12,), "NHW", SourceError),
        ((12, 5, 5, 1, 2), "NHW", SourceError),
        ((5, 12, 5, 5), "NHW", OptionError),
        ((12, 5, 5), "HWN", OptionError),
        ((12, 0, 5), "NHW", SourceError),
    ],
)
def test_frames_of_a_shape_that_cannot_be_are_refused(export, centered_meta, tmp_path, shape, order, error):
    with pytest.raises(error):
        export(centered_meta, scan={"diff3d": np.zeros(shape)}, options=ExportOptions(axis_order=order))
    assert not (tmp_path / "product.h5").exists()


@pytest.mark.parametrize(
    "dtype",
    [
        np.complex64,
        "U1",
        "S1",
        "M8[s]",
        pytest.param("g", marks=pytest.mark.skipif(np.dtype("g").itemsize == 8, reason="float64")),
    ],
    ids=str,
)
def test_frames_that_are_no_real_numbers_are_refused(export, centered_meta, dtype):
    with pytest.raises(SourceError, match=r"diff3d.*real numbers"):
        export(centered_meta, scan={"diff3d": np.zeros((12, 16, 16), dtype)})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("xcoords", None),
        ("ycoords", None),
        ("probeGuess", None),
        ("probeGuess", np.ones((16, 16), bool)),
        ("probeGuess", np.ones(16, complex)),
        ("probeGuess", np.ones((0, 16), complex)),
        ("objectGuess", np.ones((64, 64), bool)),
        ("objectGuess", np.ones((2, 64, 64), complex)),
        ("xcoords", np.ones(11)),
        ("xcoords", np.ones((12, 2))),
        ("ycoords", np.full(12, np.nan)),
        ("ycoords", np.r_[np.ones(11), np.inf]),
        ("xcoords", np.ones(12, complex)),
        ("xcoords", np.ones(12, bool)),
        ("xcoords", np.array(["1"] * 12)),
        ("xcoords", np.empty(0)),
        ("scan_index", np.arange(11)),
        ("scan_index", np.array(3)),
    ],
    ids=lambda value: value if isinstance(value, str) else "None" if value is None else f"{value.dtype}{value.shape}",
)
def test_a_scan_with_a_wrong_key_is_refused_and_leaves_no_file(export, centered_meta, tmp_path, key, value):
    with pytest.raises(SourceError):
        export(centered_meta, scan={key: value})
    assert [path.name for path in tmp_path.iterdir() if path.name != "scan.npz"] == []


@pytest.mark.parametrize("key", ["xcoords", "probeGuess", "Y", "scan_index", "diff3d"])
def test_an_array_of_python_objects_is_refused(export, centered_meta, key):
    with pytest.raises(SourceError, match=key):
        export(centered_meta, scan={key: np.array([{}] * 12, dtype=object)})


@pytest.mark.parametrize("name", ["product.npz", "product", "product.h5.txt", ".h5"])
def test_a_product_of_another_suffix_is_refused(export, name):
    with pytest.raises(OutputError, match=r"must end in \.h5 or \.hdf5"):
        export(name=name)


# Objects that nobody gave.


def test_a_scan_without_object_gets_one_of_ones_and_says_so(export):
    with pytest.warns(ProductWarning, match=r"no objectGuess.*marked synthetic"):
        path = export(scan={"objectGuess": None})
    with h5py.File(path) as file:
        assert bool(file["object"].attrs["synthetic"]) is True
        assert (file["object"][()] == 1).all()
        assert file["object"].dtype == np.complex64
        assert "objectGuess" not in file["raw_data"]


def test_an_object_that_was_given_is_not_marked_synthetic(export, centered_meta):
    with h5py.File(export(centered_meta)) as file:
        assert not file["object"].attrs.get("synthetic", False)


@pytest.mark.parametrize(
    "x_px", [[0, 1e9], [-1e308, 1e308], [1e308, 1.7e308]], ids=["in nanometres", "opposite ends", "sum overflows"]
)
def test_positions_that_need_an_endless_synthetic_object_are_refused(tmp_path, x_px):
    raw = SimpleNamespace(xcoords=np.array(x_px), ycoords=np.array([0, 1e9]), probeGuess=np.ones((4, 4), complex))
    with (
        pytest.warns(ProductWarning, match="more than a million"),
        pytest.raises(SourceError, match=r"positions in object pixels|finite"),
    ):
        export_product_from_rawdata(
            raw, tmp_path / "product.h5", include_raw=False, options=ExportOptions(position_index="sequence")
        )


# Positions that are not on the object.


def test_positions_on_the_object_are_not_warned_about(export, centered_meta):
    assert warnings_of(lambda: export(centered_meta)) == []


def test_positions_off_the_object_are_counted(export, centered_meta, make_scan):
    x_px = make_scan()["xcoords"]
    x_px[[2, 5]] = 1000.0
    with pytest.warns(ProductWarning, match="2 of 12 positions outside the object; check pixel size"):
        export(centered_meta, scan={"xcoords": x_px})


def test_the_center_that_a_warning_advises_mends_the_product(export):
    (message,) = warnings_of(export)
    assert "positions count from the object's corner" in message
    assert warnings_of(lambda: export(ExportMeta(**advised_center(message)))) == []


positions_px = st.lists(
    st.floats(0, 64) | st.sampled_from([0.0, 0.5, 31.5, 63.0, 63.5, 63.75, 64.0]), min_size=1, max_size=4
)


@settings(max_examples=60, **QUIET)
@given(positions_px, st.tuples(st.integers(60, 70), st.integers(60, 70)), st.sampled_from([5e-8, 1.2345678e-8, 1e-3]))
@example([0.0, 64.0], (64, 64), 5e-8)
@example([63.5], (64, 64), 1.2345678e-8)
def test_whatever_center_is_advised_mends_the_product(tmp_path, x_px, shape, pixel_m):
    raw = SimpleNamespace(
        xcoords=np.array(x_px),
        ycoords=np.array(x_px),
        probeGuess=np.ones((4, 4), complex),
        objectGuess=np.ones(shape, complex),
        scan_index=np.arange(len(x_px)),
    )
    sizes = {"object_pixel_width_m": pixel_m, "object_pixel_height_m": pixel_m}
    messages = warnings_of(lambda: export_product_from_rawdata(raw, tmp_path / "product.h5", ExportMeta(**sizes)))
    for message in messages:
        if "object_center" in message:
            meta = ExportMeta(**sizes, **advised_center(message))
            assert not any(
                "--object-center" in again
                for again in warnings_of(
                    lambda meta=meta: export_product_from_rawdata(raw, tmp_path / "mended.h5", meta)
                )
            )


# NPZ alone.


def test_frames_are_found_under_both_keys(save_scan, make_scan, centered_meta, tmp_path):
    source = save_scan(diff3d=None, diffraction=make_scan()["diff3d"])
    export_product_from_npz(source, tmp_path / "product.h5", centered_meta)
    assert np.array_equal(read_datasets(tmp_path / "product.h5")["raw_data/diffraction"], make_scan()["diff3d"])


def test_an_npz_without_frames_is_refused(save_scan, centered_meta, tmp_path):
    with pytest.raises(SourceError, match="diff3d or diffraction"):
        export_product_from_npz(save_scan(diff3d=None), tmp_path / "product.h5", centered_meta)


def test_every_other_key_is_kept_in_raw_data(save_scan, centered_meta, tmp_path):
    extras = {"Y": np.arange(6.0).reshape(2, 3), "norm_Y_I": np.array(2.5), "bad_pixels": np.eye(16, dtype=bool)}
    export_product_from_npz(save_scan(**extras), tmp_path / "product.h5", centered_meta)
    found = read_datasets(tmp_path / "product.h5")
    for key, array in extras.items():
        assert np.array_equal(found[f"raw_data/{key}"], array), key


def test_a_pickle_that_is_not_metadata_is_not_opened(save_scan, centered_meta, tmp_path):
    source = save_scan(_metadata=np.array({"a": print}, dtype=object))
    with pytest.raises(SourceError, match="_metadata"):
        export_product_from_npz(source, tmp_path / "product.h5", centered_meta)
    assert not (tmp_path / "product.h5").exists()


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir(), lambda path: path.write_text("no zip")])
def test_a_source_that_is_no_npz_is_refused(tmp_path, make):
    source = tmp_path / "scan.npz"
    make(source)
    with pytest.raises(SourceError, match=re.escape(str(source))):
        export_product_from_npz(source, tmp_path / "product.h5")
    assert not (tmp_path / "product.h5").exists()


@pytest.mark.parametrize("compress", [False, True], ids=["stored", "deflated"])
def test_a_damaged_frame_is_found_and_leaves_no_product(save_scan, centered_meta, tmp_path, compress):
    source = save_scan(compress=compress)
    data = bytearray(source.read_bytes())
    middle = data.index(b"diff3d.npy") + 3000
    data[middle] ^= 0x55
    source.write_bytes(data)
    with pytest.raises(SourceError):
        export_product_from_npz(source, tmp_path / "product.h5", centered_meta)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.npz"]


def test_progress_counts_every_byte_of_the_frames(save_scan, centered_meta, tmp_path):
    seen = []
    export_product_from_npz(
        save_scan(), tmp_path / "p.h5", centered_meta, options=ExportOptions(chunk_frames=4), progress=seen.append
    )
    assert sum(seen) == 12 * 16 * 16 * 4


# Memory alone.


def test_a_raw_data_object_without_a_required_attribute_is_refused(tmp_path):
    with pytest.raises(SourceError, match="SimpleNamespace: ycoords"):
        export_product_from_rawdata(SimpleNamespace(xcoords=np.ones(3)), tmp_path / "product.h5")


def test_attributes_may_be_lists(tmp_path, centered_meta):
    raw = SimpleNamespace(
        xcoords=[10, 20], ycoords=[30, 40], diff3d=[[[1, 2, 3]], [[4, 5, 6]]], probeGuess=[[1j] * 3], scan_index=[0, 1]
    )
    with pytest.warns(ProductWarning, match="synthetic"):
        export_product_from_rawdata(raw, tmp_path / "product.h5", centered_meta)
    assert read_datasets(tmp_path / "product.h5")["raw_data/diffraction"].tolist() == raw.diff3d


def test_frames_that_are_a_view_are_copied_right(make_scan, tmp_path, centered_meta):
    frames = np.arange(24 * 10 * 14, dtype=">u2").reshape(24, 10, 14)[::-2, 1::3, ::-1]
    raw = SimpleNamespace(**make_scan(diff3d=frames))
    export_product_from_rawdata(raw, tmp_path / "product.h5", centered_meta)
    assert np.array_equal(read_datasets(tmp_path / "product.h5")["raw_data/diffraction"], frames)


def test_a_raw_data_object_is_not_changed(make_scan, tmp_path, centered_meta):
    arrays = make_scan(diff3d=make_scan()["diff3d"].astype(">f4"))
    before = {key: (array.dtype, array.tobytes()) for key, array in arrays.items()}
    export_product_from_rawdata(SimpleNamespace(**arrays), tmp_path / "product.h5", centered_meta)
    assert {key: (array.dtype, array.tobytes()) for key, array in arrays.items()} == before


@pytest.mark.parametrize("metadata", ['{"nphotons": 1e6}', {"nphotons": 1e6}], ids=["text", "dict"])
def test_metadata_of_raw_data_is_kept_as_json(make_scan, tmp_path, centered_meta, metadata):
    raw = SimpleNamespace(**make_scan(), metadata=metadata)
    export_product_from_rawdata(raw, tmp_path / "product.h5", centered_meta)
    assert json.loads(read_datasets(tmp_path / "product.h5")["raw_data/_metadata"]) == {"nphotons": 1e6}


def test_patches_and_their_normalisation_are_kept(make_scan, tmp_path, centered_meta):
    patches = np.ones((12, 4, 4, 1), np.complex64) * np.arange(12)[:, None, None, None]
    raw = SimpleNamespace(**make_scan(), Y=patches, norm_Y_I=0.25)
    export_product_from_rawdata(raw, tmp_path / "product.h5", centered_meta)
    found = read_datasets(tmp_path / "product.h5")
    assert np.array_equal(found["raw_data/Y"], patches)
    assert found["raw_data/norm_Y_I"] == 0.25


# The summary.


@pytest.mark.parametrize("codec", ["none", "gzip:1", "bitshuffle-zstd:1"])
def test_the_summary_tells_the_truth(save_scan, centered_meta, tmp_path, codec):
    options = ExportOptions(compression=codec, chunk_frames=5)
    summary = export_product_from_npz(save_scan(), tmp_path / "product.h5", centered_meta, options=options)
    with h5py.File(tmp_path / "product.h5") as file:
        frames = file["raw_data/diffraction"]
        assert summary.product == tmp_path / "product.h5"
        assert (summary.positions, summary.frames) == (12, 12)
        assert (summary.frame_shape, summary.frame_dtype) == ((16, 16), "float32")
        assert summary.chunk_shape == frames.chunks == (5, 16, 16)
        assert summary.compression.startswith(codec)
        assert summary.frame_bytes == frames.nbytes
        assert summary.stored_bytes == frames.id.get_storage_size()
        assert summary.file_bytes == (tmp_path / "product.h5").stat().st_size
        assert summary.ratio == frames.nbytes / frames.id.get_storage_size()
        assert summary.throughput_mb_s == summary.frame_bytes / 1e6 / summary.seconds


def test_the_summary_of_a_product_without_frames_says_so(save_scan, centered_meta, tmp_path):
    summary = export_product_from_npz(save_scan(), tmp_path / "product.h5", centered_meta, include_raw=False)
    assert (summary.frames, summary.frame_shape, summary.frame_bytes, summary.ratio) == (0, (), 0, 0.0)
    assert summary.positions == 12
