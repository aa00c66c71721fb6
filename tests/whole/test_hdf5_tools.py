"""HDF5's own tools read a product; those of 1.10, where the system has them."""

import shutil
import subprocess

import numpy as np
import pytest

from ptychoproduct import Reconstruction, export_product_from_npz

H5DUMP = shutil.which("h5dump")


@pytest.mark.skipif(H5DUMP is None, reason="h5dump is not installed")
def test_h5dump_reads_a_product_with_large_attributes_and_links_for_viewers(save_scan, centered_meta, tmp_path):
    positions = 10_000
    rng = np.random.default_rng(1)
    scan = save_scan(
        xcoords=rng.uniform(8, 56, positions),
        ycoords=rng.uniform(8, 56, positions),
        diff3d=np.ones((positions, 4, 4), np.float32),
        scan_index=np.arange(positions),
        xcoords_start=None,
        ycoords_start=None,
    )
    results = Reconstruction(opr_weights=rng.standard_normal((positions, 1)))
    export_product_from_npz(scan, tmp_path / "product.h5", centered_meta, reconstruction=results)
    header = subprocess.run(
        [H5DUMP, "-H", str(tmp_path / "product.h5")], capture_output=True, text=True, check=True
    ).stdout
    assert 'ATTRIBUTE "opr_weights"' in header
    assert 'LINKTARGET "/raw_data/diffraction"' in header
