"""The package's front door."""

import subprocess
import sys

import pytest

import ptychoproduct


@pytest.mark.parametrize("name", ptychoproduct.__all__)
def test_every_public_name_leads_somewhere(name):
    assert getattr(ptychoproduct, name).__module__.startswith("ptychoproduct.")


def test_importing_the_package_imports_nothing_that_is_not_asked_for():
    code = "import sys, ptychoproduct; print({'numpy', 'h5py', 'hdf5plugin'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError):
        _ = ptychoproduct.no_such_name


def test_the_package_is_run_as_the_command():
    words = [sys.executable, "-m", "ptychoproduct", "--version"]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert result.stdout.startswith(f"ptychoproduct {ptychoproduct.__version__}\n")
