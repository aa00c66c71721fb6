"""Reconstructions of ptypy, in the layout of its `save_run`, kind "minimal", as results of a scan and as a product."""

import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numpy as np
import pytest
from ptychodus.api.object import ObjectGeometry
from ptychodus.api.probe_positions import ProbePosition

from ptychoproduct import ProductWarning, ScanFiles, SourceError, export_product_from_files, validate_product

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 11, 12, 10
RNG = np.random.default_rng(6)
FRAMES = RNG.poisson(3, (N, H, W)).astype(np.uint16)
PIXEL_M = np.array([2e-8, 3e-8])  # y, x
PROBE = RNG.standard_normal((2, H, W)) + 1j * RNG.standard_normal((2, H, W))
OBJECT = RNG.standard_normal((1, 60, 50)) + 1j
ORIGIN_M = np.array([-5e-7, -6e-7])
# Where views are centred, from six pixels on: all within the object.
COORDS_M = ORIGIN_M + PIXEL_M * RNG.uniform(6, 42, (N, 2))


def storage(content, group, name, data, origin):
    """What Storage._to_dict gives, with the attributes of h5write."""
    place = content.create_group(f"{group}/{name}")
    place.attrs["type"] = "ordered_dict"
    for key, value in (("data", data), ("_psize", PIXEL_M), ("_origin", origin), ("_center", -origin / PIXEL_M)):
        place.create_dataset(key, data=value, compression="gzip").attrs["type"] = "array"
    place["ID"], place["fill_value"] = name, 0.0
    place["grids"] = np.zeros((2, *data.shape))


def ptyr(path, names=("Sscan_00G00",), probe=PROBE):
    with h5py.File(path, "w") as file:
        file["header/kind"] = "minimal"
        content = file.create_group("content")
        for name in names:
            storage(content, "probe", name, probe, -PIXEL_M * (H // 2, W // 2))
            storage(content, "obj", name, OBJECT, ORIGIN_M)
            content.create_dataset(f"positions/{name}", data=COORDS_M, compression="gzip").attrs["type"] = "array"
        content["pars/scans/scan_00/data/energy"] = 6.2
        content["pars/scans/scan_00/data/distance"] = np.zeros(1)  # of None
    return path


def convert(path, include_raw=True, **others):
    product = path.with_name("product.h5")
    export_product_from_files(ScanFiles(path, **others), product, include_raw=include_raw)
    assert validate_product(product).is_valid
    return h5py.File(product)


def is_reconstruction(product):
    return (
        np.array_equal(product["probe"], PROBE)
        and np.array_equal(np.squeeze(product["object"]), OBJECT[0])
        and all(np.allclose(product[f"probe_position_{axis}_m"], COORDS_M[:, at], rtol=1e-12, atol=0)
                for at, axis in enumerate("yx"))
    )  # fmt: skip


def test_a_reconstruction_is_a_product_of_its_own(tmp_path):
    with convert(ptyr(tmp_path / "scan.ptyr"), include_raw=False) as product:
        assert is_reconstruction(product)
        assert np.isclose(product.attrs["photon_energy_eV"], 6200)
        for name in ("object", "probe"):
            sizes = product[name].attrs["pixel_height_m"], product[name].attrs["pixel_width_m"]
            assert sizes == tuple(PIXEL_M)


@pytest.mark.parametrize("shape", [(H, W), (H - 1, W - 1)])
def test_views_are_where_ptypy_has_them(tmp_path, shape):
    """The first pixel of each view, by ptypy's definition and by ptychodus itself."""
    path = ptyr(tmp_path / "scan.ptyr", probe=PROBE[:, : shape[0], : shape[1]])
    by_ptypy = (COORDS_M - ORIGIN_M) / PIXEL_M - np.array(shape) // 2
    with convert(path, include_raw=False) as product:
        attributes = {name: float(value) for name, value in product["object"].attrs.items() if name.endswith("_m")}
        geometry = ObjectGeometry(OBJECT.shape[2], OBJECT.shape[1], **attributes)
        points = zip(product["probe_position_x_m"], product["probe_position_y_m"], strict=True)
        found = [geometry.map_coordinates_probe_to_object(ProbePosition(0, *point)) for point in points]
    by_ptychodus = np.array([(point.y_px, point.x_px) for point in found]) - (np.array(shape) - 1) / 2
    assert np.allclose(by_ptychodus, by_ptypy, rtol=0, atol=1e-6)


def test_results_of_a_scan(tmp_path):
    np.save(tmp_path / "frames.npy", FRAMES)
    with convert(tmp_path / "frames.npy", positions=ptyr(tmp_path / "scan.ptyr")) as product:
        assert is_reconstruction(product)
        assert np.array_equal(product["raw_data/diffraction"], FRAMES)


def test_probe_and_object_beside_other_positions(tmp_path):
    np.save(tmp_path / "frames.npy", FRAMES)
    found = ptyr(tmp_path / "scan.ptyr")
    positions = (COORDS_M[:, 1], COORDS_M[:, 0])
    with convert(tmp_path / "frames.npy", positions=positions, positions_in="m", probe=found, object=found) as product:
        assert np.array_equal(product["probe"], PROBE)
        assert np.array_equal(np.squeeze(product["object"]), OBJECT[0])


def test_the_first_of_several_is_told(tmp_path):
    path = ptyr(tmp_path / "scan.ptyr", ("Sscan_00G00", "Sscan_01G00"))
    with pytest.warns(ProductWarning, match="the first of /content/positions/Sscan_00G00, /content/positions/Sscan_01"):
        convert(path, include_raw=False).close()


def test_frames_are_asked_for(tmp_path):
    with pytest.raises(SourceError, match="to convert a scan without frames, add include_raw=False"):
        convert(ptyr(tmp_path / "scan.ptyr"))
