"""A product that lacks what it must say: not known is not a default."""

import h5py
import numpy as np
import pytest

from ptychoproduct import (
    ContractError,
    ExportMeta,
    ScanFiles,
    SourceError,
    export_product_from_files,
    import_product_to_npz,
    import_product_to_rawdata,
    inspect_product,
    open_product,
    validate_product,
)

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, PIXEL_M = 6, 3e-8
X_PX = np.arange(N) + 10.0


@pytest.fixture
def product(tmp_path):
    """A product as ptychodus writes it, without `/raw_data`, and without what it must say."""
    with h5py.File(tmp_path / "product.h5", "w") as file:
        file.attrs.update(name="n", comments="", exposure_time_s=0.1)
        file["probe"] = np.ones((1, 1, 8, 8), np.complex64)
        file["object"] = np.ones((1, 40, 40), np.complex64)
        file["object"].attrs.update(center_x_m=0.0, center_y_m=0.0)
        file["object_layer_spacing_m"], file["loss_values"] = np.empty(0), np.empty(0)
        file["probe_position_x_m"] = file["probe_position_y_m"] = X_PX * PIXEL_M
        file["probe_position_indexes"] = np.arange(N)
    return tmp_path / "product.h5"


@pytest.mark.parametrize("missing", ["pixel_width_m", "pixel_height_m"])
def test_positions_do_not_become_pixels_of_an_unknown_size(product, missing):
    with h5py.File(product, "r+") as file:
        file["object"].attrs.update({"pixel_width_m": PIXEL_M, "pixel_height_m": PIXEL_M})
        del file["object"].attrs[missing]
    for attempt in (import_product_to_rawdata, lambda path: import_product_to_npz(path, path.with_suffix(".npz"))):
        with pytest.raises(ContractError, match=rf"object@{missing}: is missing.*--object-pixel-size-m"):
            attempt(product)
    assert not product.with_suffix(".npz").exists()


def test_the_way_on_that_the_message_names(product):
    new = product.with_name("new.h5")
    with pytest.raises(
        SourceError, match=r"object@pixel_width_m: is missing; .*object_pixel_width_m and object_pixel_height_m"
    ):
        export_product_from_files(ScanFiles(product), new, include_raw=False)
    assert not new.exists()
    meta = ExportMeta(object_pixel_width_m=PIXEL_M, object_pixel_height_m=PIXEL_M)
    export_product_from_files(ScanFiles(product), new, meta, include_raw=False)
    import_product_to_npz(new, product.with_name("new.npz"))
    with np.load(product.with_name("new.npz")) as archive, h5py.File(new) as file:
        assert np.allclose(archive["xcoords"], X_PX, rtol=1e-12)
        assert np.array_equal(file["probe_position_x_m"], X_PX * PIXEL_M)
        assert file["object"].attrs["pixel_width_m"] == PIXEL_M


def test_positions_in_pixels_need_no_pixel_size(product):
    with h5py.File(product, "r+") as file:
        file["raw_data/xcoords"] = file["raw_data/ycoords"] = X_PX
    assert np.array_equal(import_product_to_rawdata(product).xcoords, X_PX)


def test_what_is_missing_is_shown_as_such(product):
    with open_product(product) as opened:
        assert opened.meta.object_pixel_width_m is None
        assert opened.meta.probe_energy_eV is None
        assert opened.meta.detector_distance_m is None
        assert "not given" in opened._repr_html_()
    root = inspect_product(product).root
    values = {attribute.name: (attribute.dtype, attribute.value) for attribute in root.attributes}
    assert values["photon_energy_eV"] == values["detector_object_distance_m"] == ("", None)
    assert values["exposure_time_s"] == ("float64", 0.1)
    entry = next(member for member in root.members if member.path == "/object")
    assert ("pixel_width_m", None) in [(attribute.name, attribute.value) for attribute in entry.attributes]


@pytest.fixture
def converted(save_scan, tmp_path):
    """A function that converts a scan with some metadata, and returns the product."""

    def convert(**metadata):
        export_product_from_files(ScanFiles(save_scan()), tmp_path / "new.h5", ExportMeta(**metadata))
        return tmp_path / "new.h5"

    return convert


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, {"photon_energy_eV", "detector_object_distance_m", "exposure_time_s"}),
        ({"probe_energy_eV": 8e3, "exposure_time_s": 1}, {"detector_object_distance_m"}),
        ({"detector_distance_m": 2, "detector_pixel_width_m": 1e-4}, {"photon_energy_eV", "exposure_time_s"}),
    ],
)
def test_zero_is_shown_as_not_given_and_nothing_follows_from_it(converted, given, missing):
    path = converted(**given)
    with h5py.File(path) as file:
        assert {name for name in missing if file.attrs[name] == 0} == missing
        assert file["object"].attrs["pixel_width_m"] == 5e-8  # the default, and not λz / NΔ of nothing
    report = validate_product(path)
    assert report.is_valid
    assert set(report.not_given) == {f"/@{name}" for name in missing}
    entries = {attribute.name: attribute for attribute in inspect_product(path).root.attributes}
    required = {"photon_energy_eV", "detector_object_distance_m", "exposure_time_s"}
    assert {name for name in required if not entries[name].is_given} == missing
    assert entries["tomography_angle_deg"].value == 0
    assert entries["tomography_angle_deg"].is_given  # an angle of zero is one
    with open_product(path) as product:
        assert product._repr_html_().count("not given") == len(missing)


def test_the_command_line_says_what_to_give(save_scan, run_command):
    save_scan()
    said = run_command("ptychoproduct", "convert", "scan.npz", "new.h5", "--probe-energy-eV", 0).stdout
    assert "not given, the product has 0 m; give --detector-distance-m" in said
    assert "energy" not in said  # it was given as zero
    assert "0 m (not given)" in run_command("ptychoproduct", "inspect", "new.h5", "--tree").stdout
    assert (
        "/@photon_energy_eV: not given (the product has 0)" in run_command("ptychoproduct", "validate", "new.h5").stdout
    )
    given = ("--probe-energy-eV", 8000, "--detector-distance-m", 2)
    said = run_command("ptychoproduct", "convert", "scan.npz", "new.h5", *given).stdout
    assert "product has 0" not in said
