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
    with pytest.raises(SourceError, match=r"object@pixel_width_m: is missing; .*--object-pixel-size-m"):
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
        assert "not known" in opened._repr_html_()
    root = inspect_product(product).root
    values = {attribute.name: (attribute.dtype, attribute.value) for attribute in root.attributes}
    assert values["photon_energy_eV"] == values["detector_object_distance_m"] == ("", None)
    assert values["exposure_time_s"] == ("float64", 0.1)
    entry = next(member for member in root.members if member.path == "/object")
    assert ("pixel_width_m", None) in [(attribute.name, attribute.value) for attribute in entry.attributes]
