"""Numbers on the command line: with a unit, and below zero."""

import argparse
import json

import h5py
import numpy as np
import pytest

from ptychoproduct_cli import main
from ptychoproduct_cli.commands import convert, import_
from ptychoproduct_cli.quantities import number_in

PARSERS = {
    **{command.prog: command.parser for command in main.COMMANDS.values()},
    "convert_to_ptychodus_product": convert.build_parser,
    "import_ptychodus_product": import_.build_parser,
}
NEGATIVE = {"-1e-6": -1e-6, "-2.5E+3": -2500, "-.5": -0.5, "-3": -3, "-0": 0, "-1e5": -1e5}
CENTER = ("--object-center-x-m", "--object-center-y-m")


def numeric_options(parser):
    """Give each option that takes a number or several."""
    for action in parser._actions:
        if action.option_strings and action.nargs is None and action.type is not None:
            yield action


# In the parser of each command, and behind its name in the one of the program.
NUMERIC = [
    (prog, action.option_strings[0], action)
    for prog, build in PARSERS.items()
    for action in numeric_options(build())
    if action.metavar not in ("N,H,W", "NAME,...")
]


def parse(prog, words):
    """Parse words as a command of its own, and as a command of the program where it is one."""
    found = [PARSERS[prog]().parse_args(words)]
    name = prog.removeprefix("ptychoproduct ")
    if name in main.COMMANDS:
        found.append(main.build_parser().parse_args([name, *words]))
    return found


def required_words(prog):
    """Give words for what a command cannot do without."""
    words = []
    for action in PARSERS[prog]()._actions:
        if not action.option_strings and action.required:
            words.append("file")
        elif action.required:
            words += [action.option_strings[0], "file"]
    return [*words, *(["--input-npz", "file"] if prog == "convert_to_ptychodus_product" else [])]


@pytest.mark.parametrize(("prog", "option", "action"), NUMERIC, ids=[f"{row[0]} {row[1]}" for row in NUMERIC])
@pytest.mark.parametrize("text", NEGATIVE)
def test_every_option_with_a_number_takes_one_below_zero(prog, option, action, text, capsys):
    number = NEGATIVE[text]
    try:
        expected = action.type(text)  # a whole number is asked for, by some
    except (ValueError, argparse.ArgumentTypeError):
        expected = None
    words = [*required_words(prog), option, text]
    if expected is None:
        with pytest.raises(SystemExit):
            parse(prog, words)
        assert "expected one argument" not in capsys.readouterr().err  # it was taken for a value, and is no whole one
        return
    assert expected in (number, (number,))
    for arguments in parse(prog, words):
        assert getattr(arguments, action.dest) == expected


def test_there_are_options_of_all_kinds_among_these():
    assert {"ptychoproduct convert", "ptychoproduct simulate", "ptychoproduct tune", "ptychoproduct bench"} <= {
        row[0] for row in NUMERIC
    }
    assert len(NUMERIC) > 35


@pytest.mark.parametrize("text", ["-2um", "-2 um", "-2e-3mm", "-.002mm"])
def test_a_number_below_zero_may_have_a_unit(text):
    for arguments in parse("ptychoproduct convert", ["a.npz", "b.h5", CENTER[0], text, CENTER[1], text]):
        assert arguments.object_center_x_m == arguments.object_center_y_m == -2e-6


def test_an_option_that_does_not_exist_is_still_refused(capsys):
    with pytest.raises(SystemExit):
        main.build_parser().parse_args(["convert", "a.npz", "b.h5", "-x"])
    assert "-x" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prog", "words", "dest", "expected"),
    [
        ("ptychoproduct convert", ["--probe-energy-eV", "8keV"], "probe_energy_eV", 8000),
        ("ptychoproduct convert", ["--detector-distance-m", "2000 mm"], "detector_distance_m", 2),
        ("ptychoproduct convert", ["--tilt-angle-deg", "0rad"], "tilt_angle_deg", 0),
        ("ptychoproduct convert", ["--mass-attenuation-m2-kg", "5cm2/g"], "mass_attenuation_m2_kg", 0.5),
        ("ptychoproduct convert", ["--object-layer-spacing-m", "1um,-2e3nm"], "object_layer_spacing_m", (1e-6, -2e-6)),
        ("convert_to_ptychodus_product", ["--exposure-time-s", "100ms"], "exposure_time_s", 0.1),
        ("ptychoproduct simulate", ["--size", "128px"], "size", 128),
        ("ptychoproduct simulate", ["--photons", "1e5 photons"], "photons", 1e5),
        ("ptychoproduct tune", ["--seconds", "2min"], "seconds", 120),
        ("ptychoproduct tune", ["--min-write-mb-s", "1GB/s"], "min_write_mb_s", 1000),
        ("ptychoproduct bench", ["--megabytes", "16,1GB"], "megabytes", (16, 1000)),
        ("ptychoproduct bench", ["--size", "64 px"], "size", 64),
        ("ptychoproduct bench", ["--seconds", "500ms"], "seconds", 0.5),
    ],
)
def test_an_option_with_a_unit_takes_another(prog, words, dest, expected):
    for arguments in parse(prog, [*required_words(prog), *words]):
        assert getattr(arguments, dest) == expected


def test_no_option_of_a_quantity_takes_bare_numbers_only():
    bare = [row[:2] for row in NUMERIC if row[2].type is float]
    assert bare == []


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--probe-energy-eV", "8kV", "'8kV' is not an energy, such as 8000 (eV) or 8keV"),
        ("--detector-distance-m", "8keV", "'8keV' is not a length"),
    ],
)
def test_another_unit_is_refused_with_an_example(option, text, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main.build_parser().parse_args(["convert", "a.npz", "b.h5", option, text])
    assert caught.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert option in message
    assert words in message


def test_half_a_pixel_is_refused(capsys):
    with pytest.raises(SystemExit):
        main.build_parser().parse_args(["simulate", "a.npz", "--size", "0.5"])
    assert "not a whole number" in capsys.readouterr().err


def test_the_type_of_an_option_says_what_is_wrong():
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time"):
        number_in("s")("soon")


# Whole commands.


@pytest.fixture
def attributes(run_command, save_scan, tmp_path):
    """A function that converts a small scan, and gives result, attributes of the product and of its object."""

    def run(*words, program="ptychoproduct", **changes):
        source = save_scan(**changes)
        paths = ("convert", source, "product.h5")
        if program != "ptychoproduct":
            paths = ("--input-npz", source, "--output-product", "product.h5")
        result = run_command(program, *paths, *words)
        assert result.returncode == 0, result.stderr
        with h5py.File(tmp_path / "product.h5") as file:
            return result, dict(file.attrs), dict(file["object"].attrs)

    return run


def test_units_reach_the_product_from_the_command_line(attributes):
    words = ("--probe-energy-eV", "632.8nm", "--detector-distance-m", "70mm", "--object-pixel-size-m", "5 nm")
    _, root, object_ = attributes(*words, "--object-center-x-m", "-2um", "--object-center-y-m", "-2e-6")
    assert root["photon_energy_eV"] == pytest.approx(1.9593, rel=1e-4)
    assert root["detector_object_distance_m"] == 0.07
    assert (object_["pixel_width_m"], object_["center_x_m"], object_["center_y_m"]) == (5e-9, -2e-6, -2e-6)


@pytest.mark.parametrize("as_json", [True, False])
def test_units_reach_the_product_from_a_metadata_file(attributes, tmp_path, as_json):
    values = {"probe-energy-eV": "8keV", "detector_pixel_size_m": "75um", "exposure_time_s": "100 ms"}
    lines = "\n".join(f'"{key}" = "{value}"' for key, value in values.items())
    (tmp_path / "meta").write_text(json.dumps(values) if as_json else lines, encoding="utf-8")
    _, root, _ = attributes("--metadata", "meta")
    assert (root["photon_energy_eV"], root["exposure_time_s"]) == (8000, 0.1)


def test_another_unit_in_a_metadata_file_is_one_line(run_command, save_scan, tmp_path):
    (tmp_path / "meta.toml").write_text('probe-energy-eV = "8kV"\n')
    result = run_command("ptychoproduct", "convert", save_scan(), "product.h5", "--metadata", "meta.toml")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "meta.toml" in result.stderr
    assert "'8kV' is not an energy, such as 8000 (eV) or 8keV" in result.stderr


@pytest.mark.parametrize(
    ("option", "typed", "advice"),
    [
        ("--probe-energy-eV", "8", "for 8 keV say --probe-energy-eV 8000"),
        ("--detector-distance-m", "2000", "for 2000 mm say --detector-distance-m 2"),
        ("--detector-pixel-size-m", "75", "for 75 um say --detector-pixel-size-m 7.5e-05"),
        ("--object-pixel-size-m", "50", "for 50 nm say --object-pixel-size-m 5e-08"),
    ],
)
def test_a_likely_other_unit_is_warned_of_and_what_is_advised_is_not(attributes, option, typed, advice):
    result, _, _ = attributes(option, typed)
    assert result.stderr.count(advice) == 1
    result, _, _ = attributes(option, advice.split()[-1])
    assert " say " not in result.stderr


@pytest.mark.parametrize("option", ["--probe-energy-eV", "--detector-distance-m", "--exposure-time-s"])
def test_what_cannot_be_negative_is_an_error_and_leaves_no_product(run_command, save_scan, tmp_path, option):
    result = run_command("ptychoproduct", "convert", save_scan(), "product.h5", option, "-1e-6")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "not negative" in result.stderr
    assert not (tmp_path / "product.h5").exists()


def test_distances_between_layers_cannot_be_negative(run_command, save_scan):
    source = save_scan(objectGuess=np.ones((3, 64, 64), np.complex64))
    result = run_command("ptychoproduct", "convert", source, "product.h5", "--object-layer-spacing-m", "-1e-6,2e-6")
    assert (result.returncode, "not negative" in result.stderr) == (2, True)


def test_the_object_is_put_under_the_scan_and_the_summary_says_so(attributes):
    result, _, object_ = attributes()
    assert (object_["center_x_m"], object_["center_y_m"]) == pytest.approx((31.5 * 5e-8, 31.5 * 5e-8))
    assert "object centre" in result.stdout
    assert "corner" in result.stdout
    assert "outside the object" not in result.stderr


def test_the_program_of_the_reference_keeps_zero_and_the_warning(attributes):
    result, _, object_ = attributes(program="convert_to_ptychodus_product")
    assert (object_["center_x_m"], object_["center_y_m"]) == (0, 0)
    assert "10 of 12 positions outside the object" in result.stderr
    result, _, object_ = attributes("--object-center", "auto", program="convert_to_ptychodus_product")
    assert object_["center_x_m"] == pytest.approx(31.5 * 5e-8)
    assert "outside the object" not in result.stderr


def test_positions_about_the_middle_keep_zero(attributes, make_scan):
    scan = make_scan()
    moved = {key: scan[key] - 31.5 for key in ("xcoords", "ycoords")}
    result, _, object_ = attributes(**moved)
    assert (object_["center_x_m"], object_["center_y_m"]) == (0, 0)
    assert "outside the object" not in result.stderr


def test_positions_that_fit_neither_way_are_warned_of(attributes, make_scan):
    result, _, object_ = attributes(xcoords=make_scan()["xcoords"] + 1000)
    assert (object_["center_x_m"], object_["center_y_m"]) == (0, 0)
    assert "12 of 12 positions outside the object; check pixel size" in result.stderr
