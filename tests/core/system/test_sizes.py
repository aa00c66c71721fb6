"""Sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptychoproduct.system.sizes import parse_size, size_name


@pytest.mark.parametrize(
    ("unit", "nbytes"),
    [("", 1), ("B", 1), ("KiB", 1024), ("MiB", 1024**2), ("GiB", 1024**3), ("GB", 10**9), ("TiB", 1024**4)],
)
@given(number=st.integers(0, 10**9 - 1))
def test_a_size_is_its_number_of_units(unit, nbytes, number):
    assert parse_size(f"{number}{unit}") == number * nbytes


@given(st.integers(0, 10**9 - 1))
def test_a_size_comes_back_from_its_name(nbytes):
    assert parse_size(size_name(nbytes)) == nbytes


@pytest.mark.parametrize(
    ("nbytes", "name"), [(0, "0"), (1000, "1000"), (1024, "1KiB"), (3 * 1024**2, "3MiB"), (1024**3, "1GiB")]
)
def test_a_name_has_the_largest_unit(nbytes, name):
    assert size_name(nbytes) == name


@pytest.mark.parametrize(("text", "nbytes"), [("10gb", 10**10), ("1.5 GiB", 3 * 1024**3 // 2), ("2kB", 2000)])
def test_sizes_are_read_as_people_write_them(text, nbytes):
    assert parse_size(text) == nbytes


def test_a_part_of_a_byte_is_no_size():
    with pytest.raises(ValueError, match="whole number of bytes"):
        parse_size("1.5B")


@pytest.mark.parametrize("text", ["", "KiB", "-1", "1K", "1  KiB", "9" * 5000, "0x10"])
def test_anything_else_is_no_size(text):
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)
