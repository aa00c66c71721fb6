"""Numbers with a unit behind them, against ptychodus, CODATA and Python's own reading of numbers."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptychoproduct.model.units import UNITS, convert_unit, field_unit, parse_number

# As people write them, and the same number as a literal in the unit of the field.
WRITTEN = [
    ("8keV", "eV", 8000.0),
    ("8 keV", "eV", 8000.0),
    ("8KeV", "eV", 8000.0),
    ("8.8015E+0keV", "eV", 8801.5),
    ("8000eV", "eV", 8000.0),
    ("500meV", "eV", 0.5),
    ("1.2MeV", "eV", 1.2e6),
    ("2000mm", "m", 2.0),
    ("2000 MM", "m", 2.0),
    ("75um", "m", 75e-6),
    ("75µm", "m", 75e-6),  # the micro sign
    ("75μm", "m", 75e-6),  # the Greek letter
    ("75 microns", "m", 75e-6),
    ("50nm", "m", 50e-9),
    ("7cm", "m", 0.07),
    ("1.5Å", "m", 1.5e-10),
    ("1.5\N{ANGSTROM SIGN}", "m", 1.5e-10),
    ("0.1km", "m", 100.0),
    ("-2um", "m", -2e-6),
    ("\N{MINUS SIGN}2um", "m", -2e-6),
    ("-.5e1mm", "m", -5e-3),
    ("+3.mm", "m", 3e-3),
    ("7m", "m", 7.0),
    ("100ms", "s", 0.1),
    ("2min", "s", 120.0),
    ("3 h", "s", 10800.0),
    ("30°", "deg", 30.0),
    ("256px", "px", 256.0),
    ("5cm2/g", "m2/kg", 0.5),
    ("0.5m²/kg", "m2/kg", 0.5),
    ("1e6 photons", "count", 1e6),
    ("1GB", "MB", 1000.0),
    ("0.1GB/s", "MB/s", 100.0),
]


@pytest.mark.parametrize(("text", "unit", "expected"), WRITTEN, ids=[repr(row[0]) for row in WRITTEN])
def test_a_number_is_the_same_float_as_its_literal(text, unit, expected):
    assert parse_number(text, unit) == expected


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("text", ["8", "-1e-6", "-2.5E+3", "-.5", " 2 ", "nan", "inf", "1_000"])
def test_a_number_alone_is_in_the_unit_of_the_field(unit, text):
    assert repr(parse_number(text, unit)) == repr(float(text))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_can_have_its_own_unit(number):
    assert parse_number(f"{number!r}m", "m") == number
    assert parse_number(f"{number!r} eV", "eV") == number


@given(st.integers(-999, 999), st.integers(-99, 99), st.sampled_from([("mm", -3), ("um", -6), ("nm", -9), ("pm", -12)]))
def test_a_prefix_is_an_exponent_to_the_last_bit(mantissa, exponent, prefix):
    name, power = prefix
    assert parse_number(f"{mantissa}e{exponent}{name}", "m") == float(f"{mantissa}e{exponent + power}")


def test_helium_neon_light():
    assert parse_number("632.8nm", "eV") == pytest.approx(1.9593, rel=1e-4)


def test_joules_and_radians_are_converted():
    assert parse_number("1.602176634e-16J", "eV") == pytest.approx(1000, rel=1e-12)
    assert parse_number(f"{math.pi}rad", "deg") == pytest.approx(180, rel=1e-12)
    assert parse_number("1000mrad", "deg") == pytest.approx(math.degrees(1), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "words"),
    [
        ("8kV", "eV", "'8kV' is not an energy, such as 8000"),
        ("8keV", "m", "is not a length, such as 2"),
        ("2m", "deg", "is not an angle"),
        ("2,5mm", "m", "is not a length"),
        ("mm", "m", "is not a length"),
        ("", "m", "is not a length"),
        ("2 mm 3", "m", "is not a length"),
        ("1e99999m", "m", "is not a length"),
        ("0nm", "eV", "wavelength of zero"),
        ("8mEV", "eV", "is not an energy"),  # milli or mega
        ("2" * 100_000 + ",", "m", "is not a length"),
    ],
    ids=lambda value: value[:12],
)
def test_what_is_no_number_in_such_a_unit_is_told(text, unit, words):
    with pytest.raises(ValueError, match=words):
        parse_number(text, unit)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("probe_energy_eV", "eV"),
        ("detector_distance_m", "m"),
        ("object_pixel_size_m", "m"),
        ("exposure_time_s", "s"),
        ("tilt_angle_deg", "deg"),
        ("mass_attenuation_m2_kg", "m2/kg"),
        ("size_px", "px"),
        ("probe_photon_count", "count"),
    ],
)
def test_the_name_of_a_field_ends_in_its_unit(name, unit):
    assert field_unit(name) == unit


def test_a_value_in_a_unit_by_name_is_converted():
    assert convert_unit(8.0, "keV", "eV") == 8000
    assert convert_unit(-75, "um", "m") == -75e-6
    with pytest.raises(ValueError, match="not a length"):
        convert_unit(1, "counts", "m")


def test_units_are_read_without_numpy():
    script = "import sys, ptychoproduct.model.units; print({'numpy', 'h5py', 'pint'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "set()\n"
