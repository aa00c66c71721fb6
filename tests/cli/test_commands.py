import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychoproduct import open_product
from ptychoproduct_cli.main import COMMANDS

CENTER = ("--object-center-x-m", 1.575e-6, "--object-center-y-m", 1.575e-6)


def convert(run_command, source, *words):
    return run_command("ptychoproduct", "convert", source, "product.h5", *CENTER, *words)


def test_converting_prints_a_summary(run_command, save_scan):
    assert "12 of 16 x 16, float32" in convert(run_command, save_scan()).stdout


def test_converting_writes_the_product(run_command, save_scan, tmp_path):
    convert(run_command, save_scan())
    with open_product(tmp_path / "product.h5") as product:
        assert product.frames.shape == (12, 16, 16)


def test_quiet_prints_nothing(run_command, save_scan):
    result = convert(run_command, save_scan(scan_index=np.arange(12) // 2), "--quiet")
    assert (result.stdout, result.stderr) == ("", "")


def test_json_is_one_object_and_nothing_else(run_command, save_scan):
    result = convert(run_command, save_scan(scan_index=np.zeros(12, int)), "--json")
    assert json.loads(result.stdout)["frames"] == 12


def test_warnings_before_an_error_are_not_lost(run_command, save_scan):
    path = save_scan()
    data = bytearray(path.read_bytes())
    with np.load(path) as scan:
        data[data.index(scan["diff3d"].tobytes()) + 50] ^= 1  # the checksum at the end of the frames is wrong then
    path.write_bytes(data)
    words = ("ptychoproduct", "convert", "scan.npz", "out.h5", "--probe-energy-eV", 8)
    result = run_command(*words, "--json")
    found = json.loads(result.stdout)
    warnings, error = found["warnings"], f"ptychoproduct convert: error: {found['error']}"
    assert (result.returncode, result.stderr.splitlines()) == (2, [*(f"warning: {text}" for text in warnings), error])
    assert any("8 eV" in text for text in warnings)
    assert "diff3d" in found["error"]
    assert run_command(*words, "--quiet").stderr.splitlines() == [error]


@pytest.mark.parametrize(
    "words", [("repack", "scan.h5", "b.h5", "--compression", "lz4"), ("inspect", "scan.h5"), ("validate", "scan.h5")]
)
def test_json_has_a_list_of_warnings_for_every_command(run_command, save_scan, words):
    save_scan()
    assert run_command("ptychoproduct", "convert", "scan.npz", "scan.h5").returncode == 0
    assert json.loads(run_command("ptychoproduct", *words, "--json").stdout)["warnings"] == []


def test_json_holds_the_warnings(run_command, save_scan):
    result = convert(run_command, save_scan(scan_index=np.arange(12) // 2), "--json")
    assert "scan_index" in json.loads(result.stdout)["warnings"][0]


def test_json_of_a_failure_is_one_object_too(run_command):
    result = run_command("ptychoproduct", "convert", "missing.npz", "product.h5", "--json")
    assert json.loads(result.stdout) == {"error": "missing.npz: no such file", "warnings": []}


def test_the_normal_scan_index_of_ptychopinn_is_a_line_of_the_summary(run_command, save_scan):
    result = convert(run_command, save_scan(scan_index=np.zeros(12, int)))
    (line,) = [line for line in result.stdout.splitlines() if "position numbers" in line]
    assert line.rstrip().endswith("0 to 11 (scan_index is the same for all)")
    assert result.stderr == ""


def test_a_warning_is_one_line(run_command, save_scan):
    result = convert(run_command, save_scan(scan_index=np.arange(12) // 2))
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["warning"]


def test_keys_of_an_npz_file_are_named_and_left_out(run_command, save_scan, make_scan, tmp_path):
    frames = make_scan()["diff3d"]
    pickled = np.array([{}])
    source = save_scan(diff3d=None, data=frames[..., None], Y=pickled, notes=pickled, norm_Y_I=np.array(None))
    words = ("--frames-key", "data", "--drop", "Y", "--drop", "notes")
    result = convert(run_command, source, *words)
    assert result.returncode == 0
    notes = (
        "None in the file, so taken as missing: norm_Y_I",
        "data: shape (12, 16, 16, 1) is taken as (12, 16, 16)",
        "left out: Y, notes",
    )
    assert [note for note in notes if note not in result.stdout] == []
    with h5py.File(tmp_path / "product.h5") as file:
        assert np.array_equal(file["raw_data/diffraction"], frames)
    assert sorted(json.loads(convert(run_command, source, *words, "--json").stdout)["notes"]) == sorted(notes)
    words = ("ptychoproduct", "validate", "product.h5", "--source", source, *words)
    assert run_command(*words).returncode == 0
    assert "no member 'none' to leave out" in run_command(*words, "--drop", "none").stderr
    result = run_command("ptychoproduct", "validate", "product.h5", "--drop", "Y")
    assert "--drop: describes the scan to compare with" in result.stderr


def test_no_clobber_keeps_what_is_there(run_command, save_scan, tmp_path):
    (tmp_path / "product.h5").write_text("precious")
    result = convert(run_command, save_scan(), "--no-clobber")
    assert (result.returncode, (tmp_path / "product.h5").read_text()) == (2, "precious")


def test_the_executable_of_the_reference_converts(run_command, save_scan, tmp_path):
    words = (
        *("--input-npz", save_scan(), "--output-product", "outputs/ptychodus_products/run1084_product.h5"),
        *("--name", "Run1084", "--comments", "Run1084 reconstruction export", "--detector-distance-m", "0.0"),
        *("--probe-energy-eV", "8000.0", "--exposure-time-s", "0.1", "--object-pixel-size-m", "5e-8"),
        *("--probe-pixel-size-m", "1.25e-7", "--object-center-x-m", "0.0", "--object-center-y-m", "0.0"),
        "--include-diffraction",
    )
    assert run_command("convert_to_ptychodus_product", *words).returncode == 0
    with h5py.File(tmp_path / "outputs/ptychodus_products/run1084_product.h5") as file:
        found = (file.attrs["name"], len(file["probe_position_indexes"]), file["raw_data/diffraction"].shape)
    assert found == ("Run1084", 12, (12, 16, 16))


@pytest.mark.parametrize(
    ("flag", "attribute"),
    [
        ("--probe-photon-count", "probe_photon_count"),
        ("--mass-attenuation-m2-kg", "mass_attenuation_m2_per_kg"),
        ("--tomography-angle-deg", "tomography_angle_deg"),
        ("--detector-distance-m", "detector_object_distance_m"),
        ("--probe-energy-eV", "photon_energy_eV"),
        ("--exposure-time-s", "exposure_time_s"),
    ],
)
def test_a_flag_becomes_its_attribute(run_command, save_scan, tmp_path, flag, attribute):
    convert(run_command, save_scan(), flag, "12.5")
    with h5py.File(tmp_path / "product.h5") as file:
        assert file.attrs[attribute] == 12.5


def test_layer_spacings_are_given_with_commas(run_command, save_scan, tmp_path):
    layers = np.ones((3, 64, 64), np.complex64)
    convert(run_command, save_scan(objectGuess=layers), "--object-layer-spacing-m", "1e-6,2e-6")
    with open_product(tmp_path / "product.h5") as product:
        assert product.object_layer_spacing_m.tolist() == [1e-6, 2e-6]


def test_the_compression_is_the_one_asked_for(run_command, save_scan, tmp_path):
    convert(run_command, save_scan(), "--compression", "shuffle+gzip:7")
    with h5py.File(tmp_path / "product.h5") as file:
        frames = file["raw_data/diffraction"]
        assert (frames.compression, frames.compression_opts, frames.shuffle) == ("gzip", 7, True)


def test_the_executable_of_the_reference_imports(run_command, save_scan, tmp_path):
    source = save_scan()
    convert(run_command, source)
    run_command("import_ptychodus_product", "--input-product", "product.h5", "--output-npz", "back.npz")
    with np.load(source) as before, np.load(tmp_path / "back.npz") as after:
        assert after["diff3d"].tobytes() == before["diff3d"].tobytes()


def test_frames_can_be_left_out_of_an_import(run_command, save_scan, tmp_path):
    convert(run_command, save_scan())
    run_command("ptychoproduct", "import", "product.h5", "back.npz", "--no-diffraction")
    with np.load(tmp_path / "back.npz") as scan:
        assert "diff3d" not in scan


def test_an_import_can_be_deflated(run_command, save_scan, tmp_path):
    convert(run_command, save_scan())
    for name, words in (("stored.npz", ()), ("deflated.npz", ("--compress",))):
        run_command("ptychoproduct", "import", "product.h5", name, *words)
    assert (tmp_path / "deflated.npz").stat().st_size < (tmp_path / "stored.npz").stat().st_size


def test_frames_come_back_in_their_own_axis_order(run_command, save_scan, tmp_path):
    frames = np.arange(14 * 12 * 10, dtype=np.float32).reshape(14, 12, 10)  # H, N, W
    convert(run_command, save_scan(diff3d=frames))
    run_command("ptychoproduct", "import", "product.h5", "back.npz", "--original-axis-order")
    with np.load(tmp_path / "back.npz") as scan:
        assert np.array_equal(scan["diff3d"], frames)


def test_memory_for_reordering_can_be_less_than_the_scan(run_command, save_scan, tmp_path):
    frames = np.arange(14 * 12 * 10, dtype=np.float32).reshape(14, 12, 10)  # H, N, W
    convert(run_command, save_scan(diff3d=frames), "--memory", "2KiB")
    with open_product(tmp_path / "product.h5") as product:
        assert np.array_equal(product.frames[:], frames.transpose(1, 0, 2))


@pytest.mark.parametrize("size", ["much", "0", "-1", "1TX"])
def test_memory_that_is_no_size_is_told(run_command, save_scan, size):
    result = convert(run_command, save_scan(), f"--memory={size}")
    assert (result.returncode, "memory" in result.stderr) == (2, True)


def test_validating_a_valid_product_exits_with_0(run_command, save_scan):
    source = save_scan()
    convert(run_command, source)
    assert run_command("ptychoproduct", "validate", "product.h5", "--deep", "--source-npz", source).returncode == 0


def test_validating_tells_every_problem_and_exits_with_2(run_command, save_scan, tmp_path):
    convert(run_command, save_scan())
    with h5py.File(tmp_path / "product.h5", "r+") as file:
        del file.attrs["name"], file["probe_position_x_m"]
    result = run_command("ptychoproduct", "validate", "product.h5")
    assert (result.returncode, result.stdout.count("is missing; a product needs")) == (2, 2)


def test_validating_what_is_not_there_exits_with_1(run_command):
    assert run_command("ptychoproduct", "validate", "missing.h5").returncode == 1


def test_validating_prints_json(run_command, save_scan):
    convert(run_command, save_scan())
    assert json.loads(run_command("ptychoproduct", "validate", "product.h5", "--json").stdout)["valid"] is True


def test_simulating_ends_with_the_command_that_converts(run_command):
    result = run_command("ptychoproduct", "simulate", "sim.npz", "--frames", 20, "--size", 32)
    assert result.stdout.splitlines()[-1].startswith("ptychoproduct convert sim.npz sim.h5 ")


def test_that_command_puts_the_scan_on_the_object(run_command):
    simulated = run_command("ptychoproduct", "simulate", "sim.npz", "--frames", 20, "--size", 32, "--json")
    command = json.loads(simulated.stdout)["convert"]
    assert "outside the object" not in run_command(*command).stderr


def test_without_a_command_all_are_listed_each_in_a_line(run_command):
    result = run_command("ptychoproduct", env=os.environ | {"COLUMNS": "80"})
    lines = [" ".join(line.split()) for line in result.stderr.splitlines()]
    assert result.returncode == 2
    assert [name for name, command in COMMANDS.items() if f"{name} {command.summary}" not in lines] == []


def test_help_of_a_command_is_a_command_too(run_command):
    assert run_command("ptychoproduct", "help", "repack").stdout == run_command("ptychoproduct", "repack", "-h").stdout


@pytest.mark.parametrize("words", [("ptychoproduct", "inspect", "-V"), ("convert_to_ptychodus_product", "--version")])
def test_every_command_tells_the_version(run_command, words):
    assert run_command(*words).stdout.startswith("ptychoproduct 0.")


def test_a_mistyped_option_is_told_before_anything_that_is_missing(run_command):
    result = run_command("ptychoproduct", "convert", "--probe-enrgy-eV", "8000", "scan.npz")
    assert "there is no option --probe-enrgy-eV; did you mean --probe-energy-eV?" in result.stderr
    assert result.stderr.startswith("usage: ptychoproduct convert")


def test_a_pipe_gets_a_line_for_each_entry(run_command, save_scan):
    long = save_scan("a_name_that_is_too_long_for_any_terminal_of_eighty_columns_that_people_use_today.npz")
    output = convert(run_command, long).stdout
    assert all(line.partition("  ")[0].strip() and line == line.rstrip() for line in output.splitlines())


def test_the_version_is_told(run_command):
    assert run_command("ptychoproduct", "--version").stdout.startswith("ptychoproduct 0.")


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are pseudo terminals here")
def test_a_terminal_sees_progress_and_a_pipe_does_not(save_scan, tmp_path):
    source = save_scan()
    terminal, end = pty.openpty()
    command = [Path(sys.executable).with_name("ptychoproduct"), "convert", source, tmp_path / "product.h5"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=end, check=True, env=os.environ | {"TERM": "xterm"})
    os.close(end)
    assert b"convert" in os.read(terminal, 10_000)


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are pseudo terminals here")
def test_no_color_is_respected(save_scan, tmp_path):
    source = save_scan()
    terminal, end = pty.openpty()
    command = [Path(sys.executable).with_name("ptychoproduct"), "convert", source, tmp_path / "product.h5"]
    environment = os.environ | {"TERM": "xterm-256color", "NO_COLOR": "1"}
    subprocess.run(command, stdout=end, stderr=subprocess.DEVNULL, check=True, env=environment)
    os.close(end)
    assert b"\x1b[3" not in os.read(terminal, 10_000)


def test_repacking_prints_sizes_and_verifies(run_command, save_scan, tmp_path):
    convert(run_command, save_scan())
    words = ("--compression", "zstd:9", "--chunk-shape", "4,8,8", "--verify")
    result = run_command("ptychoproduct", "repack", "product.h5", "archive.h5", *words)
    assert result.returncode == 0
    assert "read back from the disk" in result.stdout
    with h5py.File(tmp_path / "archive.h5") as file:
        assert file["raw_data/diffraction"].chunks == (4, 8, 8)


def test_repacking_prints_json(run_command, save_scan, tmp_path):
    convert(run_command, save_scan())
    result = run_command("ptychoproduct", "repack", "product.h5", "plain.h5", "--compression", "none", "--json")
    told = json.loads(result.stdout)
    assert (told["ratio"], told["file_bytes"]) == (1.0, (tmp_path / "plain.h5").stat().st_size)


def test_digests_and_reading_back_are_asked_for_by_flags(run_command, save_scan, tmp_path):
    result = convert(run_command, save_scan(), "--digest", "--verify")
    assert "verified" in result.stdout
    with h5py.File(tmp_path / "product.h5") as file:
        assert len(file["raw_data/diffraction"].attrs["content_sha256"]) == 64


def test_frames_stored_as_counts_come_back(run_command, save_scan, make_scan, tmp_path):
    stored = convert(run_command, save_scan(), "--store-counts")
    assert "exact counts, uint8 (sqrt:float64)" in stored.stdout
    with h5py.File(tmp_path / "product.h5") as file:
        assert file["raw_data/diffraction"].dtype == np.uint8
    run_command("ptychoproduct", "import", "product.h5", "amplitudes.npz")
    run_command("ptychoproduct", "import", "product.h5", "counts.npz", "--counts")
    amplitudes = make_scan()["diff3d"]
    assert np.load(tmp_path / "amplitudes.npz")["diff3d"].tobytes() == amplitudes.tobytes()
    np.testing.assert_array_equal(np.load(tmp_path / "counts.npz")["diff3d"], np.rint(amplitudes**2))


def test_json_says_how_counts_are_stored(run_command, save_scan):
    recipe = json.loads(convert(run_command, save_scan(), "--store-counts", "--json").stdout)["recipe"]
    assert recipe == {
        "amplitude_dtype": "float32",
        "operation_order": "sqrt:float64",
        "amplitude_scale": 1.0,
        "count_dtype": "uint8",
        "quantity": "counts",
    }


def test_a_pixel_that_is_not_exact_is_one_line_and_leaves_no_product(run_command, save_scan, make_scan, tmp_path):
    frames = make_scan()["diff3d"]
    frames[3, 2, 1] = np.nextafter(frames[3, 2, 1], np.float32(9))
    result = convert(run_command, save_scan(diff3d=frames), "--store-counts")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "in frame 3, pixel row 2, column 1 is not the square root" in result.stderr
    assert not (tmp_path / "product.h5").exists()


DROPS_A_SIGNAL = """\
import os, signal, weakref
from ptychoproduct_cli.command import Command
from ptychoproduct_cli.options import add_output_options
from ptychoproduct_cli.progress import progress_bar
from ptychoproduct_cli.running import run as run_parser

class Thing:
    pass

def run(arguments):
    def interrupt(reference):
        os.kill(os.getpid(), signal.SIGINT)
        len("here Python answers the signal, and drops what it raises")

    thing = Thing()
    reference = weakref.ref(thing, interrupt)
    with progress_bar("work", lambda: 1, arguments) as progress:
        del thing
        progress(1)

run_parser(Command("work", "", "", add_output_options, run).parser())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills where POSIX sends signals")
def test_a_signal_that_python_drops_is_answered_in_one_line_all_the_same():
    result = subprocess.run([sys.executable, "-c", DROPS_A_SIGNAL], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (130, "work: error: interrupted; nothing was left behind\n")
