"""From what the tool has written to an NPZ scan."""

import numpy as np
import pytest

from ptychoproduct.benchmark.tools import flush, import_frames, load_frames, remove

pytestmark = pytest.mark.filterwarnings("ignore")


def test_import(time_it, tool, scan, settings, tmp_path):
    if not tool.takes("import"):
        pytest.skip("writes no product")
    product, output = tmp_path / f"product{tool.suffix}", tmp_path / "again.npz"
    tool.convert(scan, product, settings)

    def import_product():
        import_frames(tool, product, output, settings)
        flush(output)

    time_it(import_product, setup=lambda: remove(output))
    assert np.array_equal(load_frames(output), load_frames(scan))
