"""What a Python program is told: names of fields, the line that called, and types that are wrong."""

import pickle
import warnings

import numpy as np
import pytest

from ptychoproduct import (
    ExportMeta,
    OptionError,
    ProductWarning,
    ProductWriter,
    RawData,
    SourceError,
    export_product_from_npz,
    export_product_from_rawdata,
    import_product_to_rawdata,
)


@pytest.fixture
def raw(make_scan):
    arrays = make_scan()
    return RawData(**{name: arrays.get(name) for name in RawData.__dataclass_fields__})


def test_a_warning_names_a_field_and_the_line_that_called(save_scan, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export_product_from_npz(save_scan(scan_index=np.arange(12) // 2), tmp_path / "product.h5")
    (found,) = [warning for warning in caught if "position_index changes that" in str(warning.message)]
    assert (found.filename, "--" in str(found.message)) == (__file__, False)
    assert "(--position-index changes that)" in found.message.with_flags


def test_a_warning_of_another_process_stays_the_same():
    warning = pickle.loads(pickle.dumps(ProductWarning("give --scan-step 1nm")))
    assert (str(warning), warning.with_flags) == ("give scan_step_m 1nm", "give --scan-step 1nm")


def test_an_error_names_a_field_and_keeps_values_and_commands_as_they_are():
    problem = "give --scan-step 1nm for a--b.npz, see `ptychoproduct convert --help`: ptychoproduct convert --drop Y"
    error = pickle.loads(pickle.dumps(SourceError("x--y.h5", problem, key="--k", found="--v", expected="--probe")))
    wanted = problem.replace("--scan-step", "scan_step_m")
    assert str(error) == f"x--y.h5: --k: {wanted}, found --v, expected probe"
    assert error.with_flags == f"x--y.h5: --k: {problem}, found --v, expected --probe"


@pytest.mark.parametrize("export", [export_product_from_npz, export_product_from_rawdata])
def test_a_dict_is_no_metadata(export, save_scan, raw, tmp_path):
    source = save_scan() if export is export_product_from_npz else raw
    with pytest.raises(TypeError, match=r"meta is of type dict, and must be ExportMeta, as ExportMeta\(\*\*values\)"):
        export(source, tmp_path / "product.h5", {"name": "x"})
    assert not (tmp_path / "product.h5").exists()


def test_a_writer_takes_no_dict(tmp_path):
    with pytest.raises(TypeError, match="meta is of type dict"):
        ProductWriter(tmp_path / "product.h5", {"name": "x"})


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("probe_energy_eV", "8000", "a number in eV"),
        ("tilt_angle_deg", "3", "a number in deg"),
        ("detector_distance_m", np.array([1.0, 2.0]), "a number in m"),
        ("exposure_time_s", True, "a number in s"),
        ("name", 12, "text"),
        ("far_field", "yes", "True or False"),
    ],
)
def test_a_value_of_another_type_is_told(field, value, wanted):
    with pytest.raises(OptionError, match=f"^{field}: found .*, expected {wanted}"):
        ExportMeta(**{field: value})


@pytest.mark.parametrize("number", [np.float32(2.0), np.int64(2), 2])
def test_scalars_of_numpy_are_numbers(number):
    assert ExportMeta(detector_distance_m=number, far_field=np.True_).detector_distance_m == 2


def test_scalars_of_numpy_in_metadata_are_kept(raw, tmp_path, centered_meta):
    raw.metadata = {"nphotons": np.float32(1e9), "shape": np.array([2, 3])}
    export_product_from_rawdata(raw, tmp_path / "product.h5", centered_meta)
    again = import_product_to_rawdata(in_path=tmp_path / "product.h5")
    assert again.metadata == '{"nphotons": 1000000000.0, "shape": [2, 3]}'


def test_what_json_cannot_say_is_told(raw, tmp_path, centered_meta):
    raw.metadata = {"when": object()}
    with pytest.raises(TypeError, match=r"metadata holds .*, which JSON has no way to say"):
        export_product_from_rawdata(raw, tmp_path / "product.h5", centered_meta)
