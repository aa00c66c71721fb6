"""Random batches of 64 frames, as a training loader asks, from a product that is open."""

import numpy as np
import pytest

from ptychoproduct.benchmark.rounds import random_batches
from ptychoproduct.benchmark.tools import load_frames

pytestmark = pytest.mark.filterwarnings("ignore")


def test_batch(time_it, tool, case, scan, settings, tmp_path):
    if not tool.takes("batch"):
        pytest.skip("writes no product")
    product = tmp_path / f"product{tool.suffix}"
    tool.convert(scan, product, settings)
    numbers = random_batches(case.frames, seed=0)[0]
    with tool.frames(product, settings) as read:
        time_it(lambda: read(numbers))
        assert np.array_equal(read(numbers), load_frames(scan)[numbers])
