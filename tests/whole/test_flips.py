"""The campaign of flipped bits, in its short form."""

import importlib.util
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[1] / "campaigns" / "flips.py"


@pytest.mark.slow
def test_every_flipped_bit_that_changes_something_is_found_and_located(capsys):
    spec = importlib.util.spec_from_file_location("flips", CAMPAIGN)
    flips = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(flips)
    total, failures = flips.run(flips=40)
    assert total["flips"] == 40 * len(flips.PROFILES) * len(flips.PARTS)
    assert total["found"] > 0.8 * total["flips"]
    assert not failures
    assert " 0 silent, " in capsys.readouterr().out
