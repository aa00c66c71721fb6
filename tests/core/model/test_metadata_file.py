"""Metadata by name: TOML and JSON files, and the command line's own names."""

import json

import pytest

from ptychoproduct import ExportMeta, OptionError, SourceError, named_metadata, read_metadata_file


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "metadata"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


TOML = """
name = "Größe"
"probe-energy-eV" = 8801.5
detector_distance_m = 2
object-pixel-size-m = 1.5e-8
far_field = false
object_layer_spacing_m = [1e-6, 2e-6]
"""
VALUES = {
    "name": "Größe",
    "probe-energy-eV": 8801.5,
    "detector_distance_m": 2,
    "object-pixel-size-m": 1.5e-8,
    "far_field": False,
    "object_layer_spacing_m": [1e-6, 2e-6],
}


@pytest.mark.parametrize(
    "text",
    [TOML, json.dumps(VALUES), "\n " + json.dumps(VALUES), "\ufeff" + TOML],
    ids=["TOML", "JSON", "space", "BOM"],
)
def test_a_file_of_either_kind_gives_the_metadata(write, text):
    found = read_metadata_file(write(text))
    assert ExportMeta(**found.fields) == ExportMeta(
        name="Größe",
        probe_energy_eV=8801.5,
        detector_distance_m=2,
        object_pixel_width_m=1.5e-8,
        object_pixel_height_m=1.5e-8,
        far_field=False,
    )
    assert found.object_layer_spacing_m == (1e-6, 2e-6)


def test_what_is_given_first_wins_and_the_rest_is_kept():
    file = named_metadata({"name": "file", "exposure_time_s": 2.0, "object_pixel_width_m": 1e-8}, "file")
    flags = named_metadata({"name": "flag", "object_pixel_size_m": 3e-8}, "flags")
    both = flags.over(file)
    assert both.fields == {
        "name": "flag",
        "exposure_time_s": 2.0,
        "object_pixel_width_m": 3e-8,
        "object_pixel_height_m": 3e-8,
    }
    assert flags.over(named_metadata({"object-layer-spacing-m": [1.0]}, "file")).object_layer_spacing_m == (1.0,)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"probe_energy_ev": 8000},
            "probe_energy_ev: there is no such name; perhaps probe_energy_eV is meant",
        ),
        ({"distance": 1}, "perhaps detector_distance_m"),
        ({"exposure_time_s": "1"}, "exposure_time_s: found '1', expected a number"),
        ({"exposure_time_s": True}, "exposure_time_s: found True, expected a number"),
        ({"name": 1}, "name: found 1, expected text"),
        ({"far_field": 1}, "far_field: found 1, expected true or false"),
        ({"object_layer_spacing_m": 1e-6}, "expected a list of numbers"),
        ({"object_layer_spacing_m": [True]}, "found True, expected a number"),
        (
            {"probe_pixel_size_m": 1e-8, "probe_pixel_width_m": 1e-8},
            "gives probe_pixel_width_m a second time",
        ),
        ({"exposure-time-s": 1, "exposure_time_s": 1}, "gives exposure_time_s a second time"),
        ({"sample": {"name": "x"}}, "sample: there is no such name"),
    ],
)
def test_what_is_not_understood_is_an_option_error(write, values, words):
    with pytest.raises(OptionError, match=words):
        read_metadata_file(write(json.dumps(values)))


@pytest.mark.parametrize(
    "text",
    [b"\xff\xfe", "name = ", "{", "[1, 2]", '{"a": ' * 5000, "name = 1\nname = 2", " " * 2**21],
    ids=["no text", "TOML", "JSON", "a list", "deep", "twice", "large"],
)
def test_what_is_no_metadata_is_a_source_error(write, text):
    with pytest.raises(SourceError):
        read_metadata_file(write(text))


def test_a_file_that_is_not_there_is_a_source_error(tmp_path):
    with pytest.raises(SourceError, match="No such file"):
        read_metadata_file(tmp_path / "none.toml")
