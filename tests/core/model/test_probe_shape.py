"""Sizes of probes that cannot be right, and what the user is told to do."""

import h5py
import hdf5plugin  # noqa: F401 - h5py reads the products with it
import numpy as np
import pytest

from ptychoproduct import DiffractionFile, ProductWarning, ScanFiles, export_product_from_files, validate_product
from ptychoproduct.model.probe_shape import probe_doubt


@pytest.mark.parametrize(
    ("probe", "frames", "words"),
    [
        ((128, 128), (9, 256, 256), "the probe is 128 x 128 px, the frames are 256 x 256 px: bring it to the size"),
        ((2, 24, 16), (9, 16, 24), "rows and columns are exchanged"),
        ((300, 200), (9, 16, 16), "seems to be the object; give the probe with --probe"),
        ((1, 300, 201), (9, 16, 16), "if it is the object, give the probe with --probe; else crop it"),
        ((16, 24), (9, 16, 16), "bring it to the size of the frames"),
    ],
)
def test_what_is_said(probe, frames, words):
    assert words in probe_doubt(probe, frames, (1, 300, 200))


@pytest.mark.parametrize("probe", [(16, 24), (3, 16, 24), (2, 3, 16, 24)])
def test_a_probe_of_the_size_of_the_frames_raises_no_doubt(probe):
    assert probe_doubt(probe, (9, 16, 24), (16, 24)) is None


@pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")
@pytest.mark.parametrize("include_raw", [True, False])
@pytest.mark.parametrize("kind", ["npz", "npy", "h5"])
def test_convert_and_validate_tell(make_scan, centered_meta, tmp_path, kind, include_raw):
    """Wherever frames are, and also where they go into the patterns file only."""
    arrays = make_scan(probeGuess=np.ones((16, 20), np.complex64))
    beside = {}
    if kind == "npz":
        np.savez(tmp_path / "scan.npz", **arrays)
    elif kind == "npy":
        np.save(tmp_path / "scan.npy", arrays["diff3d"])
        beside = {"positions": (arrays["xcoords"], arrays["ycoords"]), "probe": arrays["probeGuess"]}
    else:
        with h5py.File(tmp_path / "scan.h5", "w") as file:
            for name, array in arrays.items():
                file[name] = array
    product, patterns = tmp_path / "product.h5", DiffractionFile(tmp_path / "diffraction.h5")
    files = ScanFiles(tmp_path / f"scan.{kind}", **beside)
    with pytest.warns(ProductWarning, match="the probe is 16 x 20 px, the frames are 16 x 16 px: bring it") as caught:
        export_product_from_files(files, product, centered_meta, include_raw, diffraction=patterns)
    assert sum("the probe is" in str(warning.message) for warning in caught) == 1
    with h5py.File(product) as file:
        assert np.array_equal(file["probe"], arrays["probeGuess"])
    found = [problem for problem in validate_product(product).problems if problem.where == "/probe"]
    assert [problem.severity for problem in found] == ["warning"] * include_raw
