"""Recipes are found in what programs do to counts, and in nothing else."""

import numpy as np
import pytest

from ptychoproduct import CountsRecipe, OptionError, recognise_counts
from ptychoproduct.model.count_recognition import closest_recipe
from ptychoproduct.model.counts import InexactError

NORM = 0.0312345678912345
PROGRAMS = {
    "floats that are counts": lambda n: n.astype(np.float32),
    "doubles that are counts": lambda n: n.astype(np.float64),
    "root": lambda n: np.sqrt(n).astype(np.float32),
    "root in single": lambda n: np.sqrt(n.astype(np.float32)),
    "root in double": np.sqrt,
    "root in single, kept in double": lambda n: np.sqrt(n.astype(np.float32)).astype(np.float64),
    "divided in single": lambda n: np.sqrt(n.astype(np.float32)) / np.float32(3.7),
    "root in double, divided in single": lambda n: np.sqrt(n).astype(np.float32) / np.float32(3.7),
    "times in single": lambda n: np.sqrt(n.astype(np.float32)) * np.float32(NORM),
    "times the reciprocal": lambda n: np.sqrt(n.astype(np.float32)) * (np.float32(1) / np.float32(3.7)),
    "divided in double": lambda n: (np.sqrt(n) / 3.7).astype(np.float32),
    "divided in double by no round number": lambda n: (np.sqrt(n) / np.sqrt(4321)).astype(np.float32),
    "times in double": lambda n: (np.sqrt(n.astype(np.float32)) * np.float64(NORM)).astype(np.float32),
    "divided and kept in double": lambda n: np.sqrt(n) / 12.345678901234567,
    "times and kept in double": lambda n: np.sqrt(n) * NORM,
    "times in single, kept in double": lambda n: (np.sqrt(n.astype(np.float32)) * np.float32(NORM)).astype(np.float64),
    "counts with a gain": lambda n: (n * 0.0137).astype(np.float32),
    "no small counts": lambda n: (np.sqrt(n + 700.0) / 3.3).astype(np.float32),
    "pairs of photons": lambda n: np.sqrt(2.0 * n).astype(np.float32),
}


@pytest.fixture(scope="module")
def photons():
    """Counts of diffraction: mostly few, some of them many."""
    rng = np.random.default_rng(3)
    return rng.poisson(np.exp(rng.normal(0, 2, (4, 64, 64)))).astype(np.int64)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_what_a_program_computes_from_counts_is_recognised(photons, program):
    amplitudes = program(photons)
    recipe = recognise_counts(amplitudes)
    counts = recipe.to_counts(amplitudes)
    assert counts.dtype.kind == "u"
    assert recipe.to_amplitudes(counts).tobytes() == amplitudes.tobytes()


@pytest.mark.parametrize("program", ["root", "divided in single", "times in double", "counts with a gain"])
def test_the_counts_are_those_that_were_measured(photons, program):
    amplitudes = PROGRAMS[program](photons)
    np.testing.assert_array_equal(recognise_counts(amplitudes).to_counts(amplitudes), photons)


@pytest.mark.parametrize(
    ("program", "order", "scale"),
    [
        ("floats that are counts", "none", 1.0),
        ("root", "sqrt:float64", 1.0),
        ("divided in single", "sqrt:float32,divide:float32", float(np.float32(3.7))),
        ("times in single", "sqrt:float32,multiply:float32", float(np.float32(NORM))),
        ("times and kept in double", "sqrt:float64,multiply:float64", NORM),
    ],
)
def test_the_recipe_is_the_simplest(photons, program, order, scale):
    recipe = recognise_counts(PROGRAMS[program](photons))
    assert (recipe.operation_order, recipe.amplitude_scale) == (order, scale)


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [(255, "uint8"), (256, "uint16"), (65535, "uint16"), (65536, "uint32"), (2**32 - 1, "uint32")],
)
def test_the_type_of_counts_is_the_smallest(largest, dtype):
    assert recognise_counts(np.array([2.0, np.sqrt(2), np.sqrt(largest)])).count_dtype == dtype


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(10, 1, 5000).astype(np.float32),
        np.random.default_rng(0).lognormal(0, 5, 5000),
        np.sqrt(np.arange(100.0)) + 0.5,
        np.array([1.0, np.nan]),
        np.array([1.0, -0.0]),
        np.array([1.0, -1.0]),
        np.array([1.0, np.inf]),
        np.array([1.0, 2.0**33]),
    ],
    ids=["noise", "wide noise", "offset", "nan", "negative zero", "negative", "infinite", "too many"],
)
def test_what_is_no_amplitude_of_counts_is_not_recognised(values):
    assert recognise_counts(values) is None


@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float16, np.complex64, bool])
def test_other_types_are_not_recognised(dtype):
    assert recognise_counts(np.ones(5, dtype)) is None


@pytest.mark.parametrize("values", [np.empty(0, np.float32), np.zeros((2, 3, 4)), np.ones((1, 1), ">f4")])
def test_little_is_enough_to_store_it(values):
    recipe = recognise_counts(values)
    assert recipe.to_amplitudes(recipe.to_counts(values)).tobytes() == values.astype(values.dtype.name).tobytes()


@pytest.mark.parametrize("program", ["root", "divided in single", "times in double"])
def test_one_wrong_pixel_does_not_hide_what_the_others_are(photons, program):
    amplitudes = PROGRAMS[program](photons)
    expected = recognise_counts(amplitudes)
    index = np.unravel_index(np.argmax(photons == 5), photons.shape)
    amplitudes[index] = np.nextafter(amplitudes[index], np.float32(np.inf))
    found = closest_recipe(amplitudes)
    assert (found.recipe.operation_order, found.inexact) == (expected.operation_order, 1)
    assert recognise_counts(amplitudes) is None


def test_an_inexact_amplitude_is_an_error_that_says_which():
    with pytest.raises(InexactError, match=r"1\.5") as caught:
        CountsRecipe("float64").to_counts(np.array([[1.0, 2.0], [1.5, 0.0]]))
    assert caught.value.index == 2


def test_a_count_that_is_too_large_for_the_type_is_an_error_that_says_which():
    with pytest.raises(InexactError) as caught:
        CountsRecipe("float64", count_dtype="uint8").to_counts(np.array([1.0, 17.0, 16.0]))
    assert caught.value.index == 1


def test_counts_of_any_strides_and_byte_order_become_amplitudes():
    counts = np.arange(12, dtype=">u2").reshape(3, 4).T[::2]
    np.testing.assert_array_equal(CountsRecipe("float64").to_amplitudes(counts), np.sqrt(counts.astype(float)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amplitude_dtype", "float16"),
        ("operation_order", "divide:float32,sqrt:float32"),
        ("operation_order", ""),
        ("count_dtype", "int16"),
        ("quantity", "photons"),
        ("amplitude_scale", 2.0),
        ("amplitude_scale", float("nan")),
    ],
)
def test_a_recipe_that_is_none_is_refused(field, value):
    with pytest.raises(OptionError, match=field):
        CountsRecipe(**({"amplitude_dtype": "float32"} | {field: value}))


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e-40, 1e40, float("inf")])
def test_a_scale_that_floats_have_no_digits_for_is_refused(scale):
    with pytest.raises(OptionError, match="amplitude_scale"):
        CountsRecipe("float32", "sqrt:float32,divide:float32", scale)
