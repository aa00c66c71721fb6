"""From an NPZ scan to whatever the tool writes."""

import pytest

from ptychoproduct.benchmark.tools import flush, holds_the_frames, remove

pytestmark = pytest.mark.filterwarnings("ignore")


def test_convert(time_it, tool, scan, settings, tmp_path):
    output = tmp_path / f"product{tool.suffix}"

    def convert():
        tool.convert(scan, output, settings)
        flush(output)

    time_it(convert, setup=lambda: remove(output))
    assert holds_the_frames(tool, output, scan, settings)
