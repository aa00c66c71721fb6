"""``ptychoproduct inspect``, on terminals of every kind."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from ptychoproduct import ExportOptions, export_product_from_npz

WITHOUT_MATPLOTLIB = (
    "import sys; sys.modules['matplotlib'] = None; from ptychoproduct_cli.main import main; "
    "sys.argv = ['ptychoproduct', 'inspect', sys.argv[1], '--plot', 'picture.png']; main()"
)


@pytest.fixture
def product(save_scan, tmp_path, centered_meta):
    options = ExportOptions("bitshuffle-zstd:1,block=64KiB")
    export_product_from_npz(save_scan(), tmp_path / "product.h5", centered_meta, options=options)
    return tmp_path / "product.h5"


def in_terminal(product, **environment):
    """Run the command in a terminal, and return what it wrote there."""
    terminal, end = pty.openpty()
    command = [Path(sys.executable).with_name("ptychoproduct"), "inspect", product]
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
    process = subprocess.Popen(command, stdout=end, env=inherited | {"COLUMNS": "80"} | environment)
    os.close(end)
    output = b""
    try:
        while part := os.read(terminal, 65536):
            output += part
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(terminal)
    assert process.wait() == 0
    return output.decode()


def test_a_product_is_told_in_25_lines_at_most(run_command, product):
    lines = run_command("ptychoproduct", "inspect", product).stdout.splitlines()
    rows = dict(re.split("  +", line, maxsplit=1) for line in lines)
    assert len(lines) <= 25
    assert rows["frames"] == "12 of 16 x 16, float32"
    assert rows["codec"].startswith("bitshuffle-zstd:1,block=64KiB, chunks of ")
    assert rows["object"].startswith("64 x 64, complex64; 3.2 x 3.2 µm; pixels of 50 nm")
    assert {rows[name] for name in ("energy", "distance", "detector pixel")} == {"not given"}


def test_where_a_product_comes_from_is_told(run_command, product):
    output = run_command("ptychoproduct", "inspect", product).stdout
    assert re.search(r"made by +ptychoproduct \S+; compression bitshuffle-zstd:1,block=64KiB\n", output)
    assert re.search(r"made from +scan.npz, \d+\.\d kB, SHA-256 of the first MiB [0-9a-f]{16}\.\.\.\n", output)


def test_a_value_of_an_array_is_shown(run_command, product):
    output = run_command("ptychoproduct", "inspect", product, "--tree").stdout
    assert "[3] str: probe_position_x_m, ., ." in output
    assert re.search(r"row_crc32 +\[12\] uint32: \d+, \d+", output)


def test_the_tree_names_units_types_codec_and_ratio(run_command, product):
    output = run_command("ptychoproduct", "inspect", product, "--tree").stdout
    for words in ("pixel_width_m   5e-08 m", "[12, 16, 16] float32", "bitshuffle-zstd:1,block=64KiB", "ratio "):
        assert words in output


@pytest.mark.parametrize("words", [(), ("--tree",)])
def test_a_file_gets_no_colours_no_pictures_and_whole_lines(run_command, product, words):
    narrow = os.environ | {"COLUMNS": "20"}
    output = run_command("ptychoproduct", "inspect", product, *words, env=narrow).stdout
    assert not {"\x1b", "▀", "█"} & set(output)
    assert any(len(line) > 40 for line in output.splitlines())


def test_a_terminal_of_80_columns_is_not_left(product):
    lines = re.sub(r"\x1b\[[0-9;]*m", "", in_terminal(product, TERM="xterm-256color")).splitlines()
    assert max(map(len, lines)) <= 80


def test_a_terminal_gets_pictures_in_colours(product):
    output = in_terminal(product, TERM="xterm-256color", COLORTERM="truecolor")
    assert "object phase" in output
    assert "mean of 12 frames" in output
    assert "\x1b[38;2;" in output
    assert "▀" in output


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1", "TERM": "xterm-256color"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours_gets_pictures_in_shades(product, environment):
    output = in_terminal(product, **environment)
    assert "▒" in output
    assert "▀" not in output
    assert "\x1b[3" not in output


def test_text_from_the_file_does_not_steer_the_terminal(run_command, product):
    with h5py.File(product, "r+") as file:
        file.attrs["evil"] = "\x1b]0;title\x07[bold]x[/bold]"
        file.attrs["name"] = "\x1b]0;title\x07\nname"
    output = run_command("ptychoproduct", "inspect", product, "--tree").stdout
    assert "\x1b" not in output
    assert "[bold]x[/bold]" in output
    lines = run_command("ptychoproduct", "inspect", product).stdout.splitlines()
    assert any(line.split() == ["name", "]0;title", "name"] for line in lines)


def test_json_has_the_whole_tree(run_command, product):
    result = json.loads(run_command("ptychoproduct", "inspect", product, "--json").stdout)
    assert result["problem"] is None
    assert {member["path"] for member in result["root"]["members"]} >= {"/probe", "/object", "/raw_data", "/costs"}


def test_a_file_that_is_no_product_is_listed_and_exits_with_2(run_command, tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["values"] = [1.0, 2.0]
    result = run_command("ptychoproduct", "inspect", "file.h5")
    assert (result.returncode, "values" in result.stdout, len(result.stderr.splitlines())) == (2, True, 1)


def test_a_plot_is_drawn(run_command, product, tmp_path):
    pytest.importorskip("matplotlib")
    assert run_command("ptychoproduct", "inspect", product, "--plot", "a.png", "--frame", 3, "--quiet").returncode == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_without_matplotlib_one_line_says_how_to_get_it(product, tmp_path):
    command = [sys.executable, "-c", WITHOUT_MATPLOTLIB, product]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.endswith("pip install matplotlib\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--plot", "a.doc"), ".png, .pdf, .svg"),
        (("--frame", "3"), "--plot"),
        (("--plot", "a.png", "--frame", "12"), "0 to 11"),
        (("--plot", "product.h5"), ".png"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_leaves_nothing(run_command, product, tmp_path, words, told):
    before = {path.name for path in tmp_path.iterdir()}
    result = run_command("ptychoproduct", "inspect", product, *words)
    assert (result.returncode, len(result.stderr.splitlines()), told in result.stderr) == (2, 1, True)
    assert {path.name for path in tmp_path.iterdir()} == before
