"""What a command line says of itself: help, versions, near misses, man pages."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import h5py
import hdf5plugin
import pytest

from ptychoproduct_cli import main
from ptychoproduct_cli.commands import completion, convert, import_

ROOT = Path(__file__).parents[2]
COMMANDS = {command.prog: command for command in (*main.COMMANDS.values(), convert.EXECUTABLE, import_.EXECUTABLE)}
PAGES = {prog.replace(" ", "-") for prog in COMMANDS} | {"ptychoproduct"}


def test_versions_are_told(run_command):
    output = run_command("ptychoproduct", "--version").stdout
    for words in (f"h5py {h5py.__version__}", f"HDF5 {h5py.version.hdf5_version}", f"hdf5plugin {hdf5plugin.version}"):
        assert words in output


@pytest.mark.parametrize(("typed", "meant"), [("covert", "convert"), ("imprt", "import"), ("inspekt", "inspect")])
def test_a_mistyped_command_is_told_the_nearest_one(run_command, typed, meant):
    result = run_command("ptychoproduct", typed, "scan.npz")
    assert (result.returncode, f"did you mean '{meant}'?" in result.stderr) == (2, True)


def test_a_word_that_is_like_no_command_is_told_all_of_them(run_command):
    result = run_command("ptychoproduct", "zzz")
    assert (result.returncode, all(name in result.stderr for name in main.COMMANDS)) == (2, True)


@pytest.mark.parametrize("prog", COMMANDS)
def test_the_help_of_a_command_has_examples_and_all_its_exit_codes(prog):
    text = COMMANDS[prog].parser().format_help()
    assert f"examples:\n  {COMMANDS[prog].examples[0].splitlines()[0]}" in text
    table = text[text.index("exit codes:") :]
    assert [int(line[2:6]) for line in table.splitlines()[1:] if line[2:3].isdigit()] == list(COMMANDS[prog].exit_codes)


@pytest.mark.parametrize("prog", [prog for prog in COMMANDS if prog not in ("ptychoproduct completion",)])
def test_the_examples_of_a_command_are_understood(prog):
    for example in COMMANDS[prog].examples:
        words = example.replace("\\\n", " ").split()[len(prog.split()) :]
        COMMANDS[prog].parser().parse_args(words)


def test_every_program_has_a_completion():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(completion.PROGRAMS) == set(scripts)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Build the man pages in a copy of what they are made from."""
    pytest.importorskip("build_manpages")
    folder = tmp_path_factory.mktemp("pages")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("bindings", "cli", "core"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
    for source in ROOT.glob("bindings/*/*.c"):
        shutil.copy(source, folder / source.relative_to(ROOT))
    command = [sys.executable, "setup.py", "-q", "build_manpages"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return {path.stem: path for path in (folder / "man").glob("*.1")}


@pytest.mark.slow
def test_every_command_has_a_man_page(pages):
    assert set(pages) == PAGES


@pytest.mark.slow
def test_a_man_page_has_a_name_for_apropos_examples_and_exit_codes(pages):
    text = pages["ptychoproduct-convert"].read_text()
    assert ".SH NAME\nptychoproduct\\-convert \\- convert a scan" in text
    assert ".SH EXAMPLES\n.nf\nptychoproduct convert scan.npz scan.h5" in text
    assert ".SH EXIT STATUS\n.TP\n.B 0\ndone\n.TP\n.B 2\n" in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_groff_has_nothing_to_complain_of(pages):
    for page in pages.values():
        result = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (0, "")
