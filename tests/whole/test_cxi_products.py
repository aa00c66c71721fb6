"""A CXI product of ptychodus, and one of SHARP's layout, as the source: all that they say is in the product."""

import h5py
import numpy as np
import pytest
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.io import load_product
from ptychodus.api.object import Object, ObjectCenter
from ptychodus.api.probe import ProbeSequence
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.api.product import LossValue, Product, ProductMetadata
from ptychodus.plugins.cxi_file import CXIProductFileIO

from ptychoproduct import ExportMeta, ProductWarning, ScanFiles, export_product_from_files

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
N, H, W = 9, 12, 14
RNG = np.random.default_rng(4)
FRAMES = RNG.poisson(3, (N, H, W)).astype(np.uint16)


def pictures(*shape):
    return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(np.complex64)


def write_product(
    path, first=5, layers=2, coherent=2, losses=((4, 2.5), (9, 1.5)), name="Größe", comments="two\nlines"
):
    points = [ProbePosition(i + first, *RNG.uniform(-1e-7, 1e-7, 2)) for i in range(N)]
    weights = RNG.uniform(-1, 1, (N, coherent)) if coherent > 1 else None
    pixel = PixelGeometry(2e-8, 3e-8)
    product = Product(
        metadata=ProductMetadata(name, comments, 1.5, 9000.0, 1e6, 0.1, 0.25, 3.0),
        probe_positions=ProbePositionSequence(points),
        probes=ProbeSequence(pictures(coherent, 3, H, W), weights, PixelGeometry(2.5e-8, 3.5e-8)),
        object_=Object(pictures(layers, 40, 50), pixel, ObjectCenter(1e-8, 2e-8), [1e-6] * (layers - 1)),
        losses=[LossValue(*loss) for loss in losses],
    )
    CXIProductFileIO().write(path, product)
    return path


def check(converted, original):
    """Compare with ptychodus's own reading of both files."""
    found, expected = load_product(converted), CXIProductFileIO().read(original)
    for name in vars(ProductMetadata("", "", 0, 0, 0, 0, 0, 0)):
        value, wanted = (getattr(product.metadata, name) for product in (found, expected))
        assert value == wanted or np.isclose(value, wanted, rtol=1e-9, atol=0), name
    assert np.array_equal(found.probes.get_array(), expected.probes.get_array())
    assert np.array_equal(found.object_.get_array(), expected.object_.get_array())
    assert found.object_.get_geometry() == expected.object_.get_geometry()
    assert list(found.object_.layer_spacing_m) == list(expected.object_.layer_spacing_m)
    assert found.probes.get_pixel_geometry() == expected.probes.get_pixel_geometry()
    assert list(found.losses) == list(expected.losses)
    for get in ("get_coordinates_x_m", "get_coordinates_y_m", "get_indexes"):
        values = [getattr(product.probe_positions, get)() for product in (found, expected)]
        assert np.allclose(*values, rtol=1e-12, atol=0)
    with h5py.File(original) as file:
        has_weights = "opr_weights" in file["entry_1/ptychodus"]
    if has_weights:
        assert np.array_equal(found.probes.get_opr_weights(), expected.probes.get_opr_weights())


@pytest.mark.parametrize(
    "changes",
    [{}, {"layers": 1}, {"coherent": 1}, {"losses": ()}, {"losses": ((0, 1.0),)}, {"name": "", "comments": ""}],
)
def test_a_cxi_product_of_ptychodus(tmp_path, changes):
    path = write_product(tmp_path / "product.cxi", **changes)
    export_product_from_files(ScanFiles(path), tmp_path / "new.h5", include_raw=False)
    check(tmp_path / "new.h5", path)


def test_beside_frames(tmp_path):
    path = write_product(tmp_path / "product.cxi", first=0)
    np.save(tmp_path / "frames.npy", FRAMES)
    export_product_from_files(ScanFiles(tmp_path / "frames.npy", positions=path), tmp_path / "new.h5")
    check(tmp_path / "new.h5", path)
    given = ExportMeta(name="mine", probe_energy_eV=7000.0)
    export_product_from_files(ScanFiles(tmp_path / "frames.npy", positions=path), tmp_path / "new.h5", given)
    metadata = load_product(tmp_path / "new.h5").metadata
    assert (metadata.name, metadata.photon_energy_eV, metadata.comments) == ("mine", 7000.0, "two\nlines")


def sharp(path, image, illumination):
    with h5py.File(path, "w") as file:
        file["entry_1/instrument_1/detector_1/data"] = FRAMES
        file["entry_1/sample_1/geometry_1/translation"] = RNG.uniform(-1e-7, 1e-7, (N, 3))
        file["entry_1/image_1/data"] = image
        if illumination is not None:
            file["entry_1/instrument_1/source_1/illumination"] = illumination
    return path


def test_an_image_beside_an_illumination_is_the_object(tmp_path):
    image, illumination = pictures(40, 50), pictures(H, W)
    export_product_from_files(ScanFiles(sharp(tmp_path / "sharp.cxi", image, illumination)), tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5") as file:
        assert np.array_equal(file["object"], image)
        assert np.array_equal(file["probe"], illumination)


def test_an_object_in_place_of_a_probe_is_told(tmp_path):
    path = sharp(tmp_path / "sharp.cxi", pictures(40, 50), None)
    with pytest.warns(ProductWarning, match="40 x 50 px, the frames are 12 x 14 px: if it is the object, .* probe"):
        export_product_from_files(ScanFiles(path), tmp_path / "new.h5")
    sharp(tmp_path / "sharp.cxi", pictures(40, 50), pictures(H, W))
    wrong = ScanFiles(path, probe=f"{path}:/entry_1/image_1/data")
    with pytest.warns(ProductWarning, match="seems to be the object; give the probe with probe"):
        export_product_from_files(wrong, tmp_path / "new.h5")


def test_layers_of_unknown_distance_are_told(tmp_path):
    path = sharp(tmp_path / "sharp.cxi", pictures(3, 40, 50), pictures(H, W))
    with pytest.warns(ProductWarning, match="image_1/data: has 3 layers and 0 distances between them; it is not used"):
        export_product_from_files(ScanFiles(path), tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5") as file:
        assert file["object"].attrs["synthetic"]
