"""Values that make sense in another unit only are told with it; what the field really uses is not."""

import math
import re
from dataclasses import fields

import numpy as np
import pytest

from ptychoproduct import ExportMeta, OptionError, ProductWarning, ProductWriter
from ptychoproduct.model.plausibility import NOT_NEGATIVE, SUSPICIONS, implausible
from ptychoproduct.model.units import parse_number

# What somebody typed, and what was meant.
MISTAKES = [
    ("probe_energy_eV", 8, "8000"),
    ("probe_energy_eV", 4, "4000"),
    ("probe_energy_eV", 24.95, "24950"),
    ("probe_energy_eV", 1.28e-15, "7989."),  # joules, as CXI has them
    ("probe_energy_eV", 1.55e-10, "7998."),  # a wavelength
    ("detector_distance_m", 2000, "2"),
    ("detector_distance_m", 100.5, "0.1005"),
    ("detector_distance_m", 2e6, "2"),
    ("detector_pixel_width_m", 75, "7.5e-05"),
    ("detector_pixel_width_m", 0.055, "5.5e-05"),
    ("detector_pixel_height_m", 75000, "7.5e-05"),
    ("object_pixel_width_m", 0.025, "2.5e-08"),
    ("object_pixel_height_m", 25, "2.5e-08"),
    ("probe_pixel_width_m", 125, "1.25e-07"),
]
USUAL = {
    # Visible light, high harmonics and EUV, soft and hard X-rays, electrons; the edges that the issue names.
    "probe_energy_eV": (0, 1.6, 1.96, 3.3, 25, 30, 91.8, 120, 280, 700, 6200, 8000, 24950, 30e3, 80e3, 200e3, 300e3),
    "detector_distance_m": (0, 1e-3, 0.05, 2, 7.3, 30, 100),
    "detector_pixel_width_m": (0, 1e-7, 2e-6, 13.5e-6, 55e-6, 75e-6, 172e-6, 1e-2),
    "object_pixel_width_m": (1e-12, 2e-11, 5e-9, 5e-8, 3e-6, 1e-3),
    "probe_pixel_width_m": (1e-12, 2e-11, 1.25e-7, 1e-3),
}


@pytest.mark.parametrize(("field", "typed", "meant"), MISTAKES)
def test_a_mistaken_unit_is_told_with_the_value_to_give(field, typed, meant):
    (sentence,) = implausible({field: typed}).values()
    name = field.replace("_width", "_size").replace("_height", "_size")
    assert sentence.startswith(f"{name} is ")
    given = re.fullmatch(rf".* say --{name.replace('_', '-')} (\S+)", sentence)[1]
    assert given.startswith(meant)
    assert implausible({field: float(given)}) == {}


def test_the_sentence_of_the_issue():
    assert implausible({"probe_energy_eV": 8}) == {
        "probe_energy_eV": "probe_energy_eV is 8 eV; for 8 keV say --probe-energy-eV 8000"
    }


@pytest.mark.parametrize(
    ("field", "value"), [("detector_pixel_width_m", 5e-8), ("object_pixel_width_m", 5e-17)], ids=lambda value: value
)
def test_what_is_too_small_is_told_without_a_unit(field, value):
    (sentence,) = implausible({field: value}).values()
    assert "?" in sentence


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in USUAL.items() for value in values])
def test_what_is_in_use_raises_no_alarm(field, value):
    assert implausible({field: value}) == {}


def test_what_is_not_known_raises_no_alarm():
    assert implausible(dict.fromkeys(NOT_NEGATIVE) | {"name": "8", "far_field": True, "polarization": None}) == {}
    assert implausible(vars(ExportMeta())) == {}


def test_every_suspicion_is_about_a_field_and_a_unit_that_there_are():
    names = {field.name.replace("_width", "_size").replace("_height", "_size") for field in fields(ExportMeta)}
    for suspicion in SUSPICIONS:
        assert suspicion.name in names
        assert suspicion.above < suspicion.below
        assert suspicion.question or parse_number(f"1{suspicion.unit}", suspicion.name.rpartition("_")[2]) > 0


@pytest.mark.parametrize("field", NOT_NEGATIVE)
def test_what_cannot_be_negative_is_refused(field):
    assert getattr(ExportMeta(**{field: 0}), field) == 0
    with pytest.raises(OptionError, match="not negative") as caught:
        ExportMeta(**{field: -1e-9})
    assert caught.value.option == field
    with pytest.raises(OptionError, match="expected a number in"):
        ExportMeta(**{field: "8keV"})


@pytest.mark.parametrize("field", ["focus_object_distance_m", "object_center_x_m", "tilt_angle_deg"])
def test_what_has_a_sign_is_taken(field):
    assert getattr(ExportMeta(**{field: -2e-6}), field) == -2e-6


def test_a_writer_warns_once_of_both_sides_of_a_pixel_at_the_line_of_the_caller(tmp_path):
    meta = ExportMeta(detector_pixel_width_m=75, detector_pixel_height_m=75, probe_energy_eV=8000)
    with pytest.warns(ProductWarning) as caught:
        ProductWriter(tmp_path / "product.h5", meta)
    assert [str(warning.message).partition(": ")[2] for warning in caught] == [
        "detector_pixel_size_m is 75 m; for 75 um say detector_pixel_width_m and detector_pixel_height_m 7.5e-05"
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize("value", [np.float32(8), np.int64(8), np.array(8.0)])
def test_numbers_of_numpy_are_looked_at_too(value):
    assert math.isclose(float(implausible({"probe_energy_eV": value})["probe_energy_eV"].split()[-1]), 8000)
