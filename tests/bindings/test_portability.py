"""The C sources keep to C11, so that any compiler builds them: Microsoft's as well, which nobody may have here."""

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "bindings" / "ptychoproduct_native"
SOURCES = sorted(FOLDER.glob("*.c"))
STRICT = ("-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2", "-fsyntax-only")


def check(compiler, *words):
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    result = subprocess.run([compiler, *STRICT, *words], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("compiler", ["gcc", "clang", "x86_64-w64-mingw32-gcc"])
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_a_source_is_strict_c11(compiler, source):
    check(compiler, source)


@pytest.mark.parametrize("compiler", ["gcc", "clang", "x86_64-w64-mingw32-gcc"])
@pytest.mark.parametrize("header", sorted(FOLDER.glob("*.h")), ids=lambda path: path.name)
def test_a_header_stands_on_its_own(compiler, header, tmp_path):
    (tmp_path / "source.c").write_text(f'#include "{header.name}"\nint pp_no_empty_unit;\n')
    check(compiler, f"-I{FOLDER}", tmp_path / "source.c")
