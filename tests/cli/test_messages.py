"""What errors and counts say on the command line: flags, the other direction, singular and plural."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychoproduct import OptionError, ProductError
from ptychoproduct.errors import counted
from ptychoproduct_cli import main, running
from ptychoproduct_cli.commands import convert


@pytest.fixture
def failing(capsys, monkeypatch):
    """A function that runs a command that fails with an error, and gives exit code, standard error and output."""
    monkeypatch.setattr(running, "answer_signals", lambda: None)

    def run(command, error, *words):
        def fail(_):
            raise error

        code = running._run_to_exit_code(replace(command, run=fail), command.parser().parse_args(words))
        printed = capsys.readouterr()
        return code, printed.err.strip(), printed.out.strip()

    return run


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("chunk_shape", "--chunk-shape"),
        ("store_counts", "--store-counts"),
        ("positions_in", "--positions-in"),
        ("memory_bytes", "--memory"),
        ("probe_energy_eV", "--probe-energy-eV"),
        ("object_pixel_width_m", "--object-pixel-size-m"),
        ("scan", "scan"),  # has no flag
        ("scan_index", "scan_index"),  # is not an option
    ],
)
@pytest.mark.parametrize("file", ["", "scan.npz"])
def test_an_error_names_the_flag_of_an_option(failing, option, name, file):
    error = OptionError(option, found="1", expected="2", file=file)
    code, printed, _ = failing(convert.COMMAND, error, "scan.npz", "scan.h5")
    start = "ptychoproduct convert: error: "
    assert (code, printed) == (2, f"{start}{file}{': ' if file else ''}{name}: found 1, expected 2")


def test_an_option_in_a_metadata_file_keeps_its_name_there(failing):
    error = OptionError("name", "is not text", file="meta.toml")
    printed = failing(convert.COMMAND, error, "scan.npz", "scan.h5", "--metadata", "meta.toml")[1]
    assert printed.endswith("meta.toml: name: is not text")


def test_a_command_without_such_an_option_names_it_as_python_does(failing):
    assert failing(main.COMMANDS["inspect"], OptionError("chunk_shape", "is odd"), "a.h5")[1].endswith(
        "error: chunk_shape: is odd"
    )


def test_an_error_about_a_file_stays_as_it_is(failing):
    error = ProductError("scan.h5", "is odd", key="name")
    assert failing(convert.COMMAND, error, "scan.npz", "scan.h5")[1].endswith("scan.h5: name: is odd")


def test_an_error_of_the_system_is_told_in_its_words(failing):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # without a file's name, as of a descriptor
    code, printed, _ = failing(convert.COMMAND, full, "scan.npz", "scan.h5")
    assert (code, printed) == (2, f"ptychoproduct convert: error: the system: {os.strerror(errno.ENOSPC)}")


def test_an_error_of_hdf5_is_one_line(failing, tmp_path):
    (tmp_path / "file.h5").write_text("text")
    with pytest.raises(OSError, match="signature") as caught:
        h5py.File(tmp_path / "file.h5")
    code, printed, _ = failing(convert.COMMAND, caught.value, "scan.npz", "scan.h5")
    assert (code, len(printed.splitlines())) == (2, 1)
    assert "a file is damaged or not readable: " in printed


def test_json_of_an_error_has_the_same_text(failing):
    error = OptionError("chunk_shape", "is odd")
    _, line, out = failing(convert.COMMAND, error, "scan.npz", "scan.h5", "--json")
    assert line == f"ptychoproduct convert: error: {json.loads(out)['error']}"


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (("--chunk-shape", "0,1,1"), "--chunk-shape: "),
        (("--threads", "0"), "--threads: "),
        (("--memory", "much"), "--memory: 'much' is not a size"),
        (("--object-pixel-size-m", "-1"), "--object-pixel-size-m: "),
        (("--compression", "zip"), "--compression: "),
        (("--diffraction-output", "d.h5", "--diffraction-compression", "zip"), "--diffraction-compression: "),
    ],
)
def test_a_wrong_value_is_named_by_its_flag(run_command, save_scan, words, start):
    result = run_command("ptychoproduct", "convert", save_scan(), "product.h5", *words)
    assert result.returncode == 2
    assert result.stderr.startswith(f"ptychoproduct convert: error: {start}")


@pytest.mark.parametrize("output", ["scan.h5", "back.npz"])
def test_importing_a_scan_names_the_command_that_converts_it(run_command, save_scan, tmp_path, output):
    save_scan("a scan.npz")
    result = run_command("ptychoproduct", "import", "a scan.npz", output, "--json")
    product = Path(output).with_suffix(".h5")
    expected = (
        "a scan.npz: this is an NPZ scan, not a product; to make a product of it: "
        f"ptychoproduct convert 'a scan.npz' {product}"
    )
    assert (result.returncode, json.loads(result.stdout)) == (2, {"error": expected, "warnings": []})
    assert [path.name for path in tmp_path.iterdir()] == ["a scan.npz"]


def test_importing_frames_names_the_command_that_converts_them(run_command, tmp_path):
    np.save(tmp_path / "frames.npy", np.zeros((2, 4, 4)))
    result = run_command("ptychoproduct", "import", "frames.npy", "scan.npz")
    assert "this is an NPY scan, not a product" in result.stderr


@pytest.mark.parametrize("words", [("ptychoproduct", "import"), ("import_ptychodus_product", "--input-product")])
def test_importing_a_scan_that_is_not_there_says_so(run_command, words):
    option = ("--output-npz",) * (len(words) == 2 and words[1].startswith("--"))
    assert "missing.npz: no such file" in run_command(*words, "missing.npz", *option, "back.npz").stderr


def test_converting_a_product_to_a_scan_names_import(run_command, tmp_path):
    with h5py.File(tmp_path / "product.h5", "w") as file:
        file["raw_data/diffraction"] = np.zeros((2, 4, 4))
    result = run_command("ptychoproduct", "convert", "product.h5", "out.npz")
    expected = "to make an NPZ scan of a product: ptychoproduct import product.h5 out.npz\n"
    assert (result.returncode, result.stderr.endswith(expected), "*.h5" in result.stderr) == (2, True, True)
    assert not (tmp_path / "out.npz").exists()


def test_a_scan_is_not_to_be_imported_to_another(run_command, save_scan):
    result = run_command("ptychoproduct", "convert", save_scan(), "out.npz")
    assert (result.returncode, "ptychoproduct import" in result.stderr) == (2, False)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 warnings"), (1, "1 warning"), (2, "2 warnings"), (1000, "1,000 warnings")]
)
def test_a_number_of_things_is_singular_or_plural(number, text):
    assert counted(number, "warning") == text


def test_validating_counts_errors_and_warnings(run_command, save_scan, tmp_path):
    run_command("ptychoproduct", "convert", save_scan(), "product.h5", "--object-center", "zero")
    assert ", 0 errors, 1 warning\n" in run_command("ptychoproduct", "validate", "product.h5").stdout
    with h5py.File(tmp_path / "product.h5", "r+") as file:
        del file.attrs["name"], file.attrs["metadata_sha256"]
    assert ", 1 error, 1 warning\n" in run_command("ptychoproduct", "validate", "product.h5").stdout


def test_one_thread_is_not_threads(run_command, save_scan):
    words = ("ptychoproduct", "tune", save_scan(), "--seconds", 0.1, "--threads", 1)
    assert run_command(*words).stdout.splitlines()[0].rstrip().endswith("; 1 thread")
