import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from ptychoproduct_cli import main
from ptychoproduct_cli.commands import convert, import_

REFERENCE_OPTIONS = {
    "--name": "scan",
    "--comments": "",
    "--detector-distance-m": 0.0,
    "--probe-energy-eV": 0.0,
    "--exposure-time-s": 0.0,
    "--object-pixel-size-m": 5e-8,
    "--probe-pixel-size-m": 1.25e-7,
    "--object-center-x-m": 0.0,
    "--object-center-y-m": 0.0,
}
PARSERS = {
    "ptychoproduct": main.build_parser,
    **{command.prog: command.parser for command in main.COMMANDS.values()},
    "convert_to_ptychodus_product": convert.build_parser,
    "import_ptychodus_product": import_.build_parser,
}
MODULES = sorted(path.stem for path in Path(main.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize(("option", "value"), REFERENCE_OPTIONS.items())
def test_an_option_of_the_reference_is_there(option, value):
    words = ["--input-npz", "a.npz", "--output-product", "b.h5", option, str(value)]
    assert getattr(convert.build_parser().parse_args(words), option.strip("-").replace("-", "_")) == value


def test_diffraction_is_included_unless_it_is_excluded():
    words = ["--input-npz", "a.npz", "--output-product", "b.h5", "--no-include-diffraction"]
    assert convert.build_parser().parse_args(words).include_diffraction is False
    assert convert.build_parser().parse_args(words[:-1]).include_diffraction is True


@pytest.mark.parametrize("option", ["--input-npz", "--output-product"])
def test_paths_of_the_reference_are_required(option, capsys):
    words = {"--input-npz": "a.npz", "--output-product": "b.h5"}
    del words[option]
    with pytest.raises(SystemExit):
        convert.build_parser().parse_args([word for pair in words.items() for word in pair])
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("prog", PARSERS)
def test_help_is_no_wider_than_80_columns(prog, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, PARSERS[prog]().format_help().splitlines())) <= 80


@pytest.mark.parametrize("prog", PARSERS)
def test_a_parser_is_called_by_its_name(prog):
    assert PARSERS[prog]().prog == prog


@pytest.mark.parametrize("module", MODULES)
def test_a_parser_needs_no_package_that_does_the_work(module):
    importlib.import_module(f"ptychoproduct_cli.{module}")
    heavy = {"numpy", "h5py", "rich", "shtab", "ptychoproduct"}
    code = f"import sys, ptychoproduct_cli.{module}; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
