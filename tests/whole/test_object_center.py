"""ptychodus finds the object of a conversion without options under the scan."""

import numpy as np
import pytest
from ptychodus.api.io import load_product


@pytest.mark.parametrize("origin_px", [0, 31.5], ids=["corner", "middle"])
def test_positions_are_over_the_pixels_of_the_object_that_they_were_over(
    run_command, save_scan, make_scan, tmp_path, origin_px
):
    scan = make_scan()
    source = save_scan(xcoords=scan["xcoords"] - origin_px, ycoords=scan["ycoords"] - origin_px)
    result = run_command("ptychoproduct", "convert", source, "product.h5", "--detector-distance-m", "2000mm")
    assert result.returncode == 0
    assert "outside the object" not in result.stderr
    product = load_product(tmp_path / "product.h5")
    geometry = product.object_.get_geometry()
    points = [geometry.map_coordinates_probe_to_object(position) for position in product.probe_positions]
    np.testing.assert_allclose([point.x_px for point in points], scan["xcoords"], rtol=0, atol=1e-6)
    np.testing.assert_allclose([point.y_px for point in points], scan["ycoords"], rtol=0, atol=1e-6)
    assert product.metadata.detector_distance_m == 2
