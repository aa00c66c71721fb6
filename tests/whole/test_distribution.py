"""What is given to others: a source distribution that builds, and a wheel with all that a user needs."""

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("Cython", "build_manpages", "setuptools")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(importlib.util.find_spec, TOOLS)), reason=f"builds with {', '.join(TOOLS)}"),
]


def build(what, folder):
    """Call the build backend as pip does, in a process of its own; return the file it made."""
    code = f"from setuptools import build_meta; print(build_meta.build_{what}({str(folder / 'dist')!r}))"
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return folder / "dist" / result.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """Made of a copy without anything built."""
    folder = tmp_path_factory.mktemp("sdist") / "copy"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "build", "man", "outputs", "*.so", "*.egg-info", "__pycache__", ".*_cache"
    )
    shutil.copytree(ROOT, folder, ignore=ignored)
    return build("sdist", folder)


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """Made of the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return build("wheel", next(folder.iterdir()))


def test_a_source_distribution_holds_everything_that_is_built_tested_and_described(sdist):
    with tarfile.open(sdist) as archive:
        names = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    folders = ("bindings", "core", "cli", "docs", "specs", "tests", "benchmarks")
    suffixes = (".py", ".pyi", ".pyx", ".pxd", ".c", ".h", ".md", ".svg", ".ipynb", ".typed")
    sources = {
        path.relative_to(ROOT)
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes or path.name == "py.typed"
    }
    assert sources <= names


def test_a_wheel_of_it_has_man_pages_extensions_and_no_sources_of_them(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    pages = {Path(name).name for name in names if "/data/share/man/man1/" in name}
    assert {"ptychoproduct.1", "ptychoproduct-convert.1", "convert_to_ptychodus_product.1"} <= pages
    extensions = {Path(name).name.partition(".")[0] for name in names if name.endswith((".so", ".pyd"))}
    assert extensions == {path.stem for path in ROOT.glob("bindings/*/*.pyx")}
    assert not [name for name in names if name.endswith((".c", ".pyx"))]
