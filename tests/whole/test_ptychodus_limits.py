"""Where a number becomes doubtful or impossible, ptychodus has the same limits as we have."""

import numpy as np
import pytest
from ptychodus.api.constants import energy_eV_to_wavelength_m
from ptychodus.api.settings import SettingsRegistry
from ptychodus.model.product.settings import ProductSettings
from ptychodus.plugins import slac_npz_file

from ptychoproduct.model.plausibility import NOT_NEGATIVE
from ptychoproduct.model.position_units import are_metres
from ptychoproduct.model.units import parse_number


@pytest.mark.parametrize("wavelength", ["632.8nm", "0.1409 nm", "1.409A", "2.5pm", "13.5nm"])
def test_a_wavelength_gives_the_energy_of_which_ptychodus_makes_that_wavelength(wavelength):
    energy_eV = parse_number(wavelength, "eV")
    assert energy_eV_to_wavelength_m(energy_eV) == pytest.approx(parse_number(wavelength, "m"), rel=1e-8)


def test_what_cannot_be_negative_is_what_ptychodus_bounds_at_zero():
    settings = vars(ProductSettings(SettingsRegistry()))
    bounded = {name for name, value in settings.items() if getattr(value, "get_minimum", lambda: None)() == 0}
    ours = {"probe_energy_eV": "photon_energy_eV", "mass_attenuation_m2_kg": "mass_attenuation_m2_per_kg"}
    assert {ours.get(name, name) for name in NOT_NEGATIVE if "pixel" not in name} == bounded
    assert not {"focus_object_distance_m", "tilt_angle_deg"} & bounded


def test_positions_are_metres_below_the_limit_that_ptychodus_has():
    for value in (9e-4, 1e-3, 1.1e-3):
        x = np.array([value, 0.0])
        assert are_metres(x, -x) is not slac_npz_file._coords_in_pixels(x, -x)
