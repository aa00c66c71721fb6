"""Build of the Cython extensions and the man pages; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from build_manpages import build_manpages, get_build_py_cmd, get_install_cmd
from Cython.Build import cythonize
from setuptools import Extension, setup

NATIVE = "bindings/ptychoproduct_native"

# Man pages are made from the argument parsers, which import nothing beyond the standard library.
sys.path.insert(0, str(Path(__file__).parent / "cli"))

extensions = [
    Extension("ptychoproduct_native.buffers", [f"{NATIVE}/buffers.pyx"]),
    Extension("ptychoproduct_native.output_file", [f"{NATIVE}/output_file.pyx"]),
    Extension("ptychoproduct_native.segments", [f"{NATIVE}/segments.pyx"]),
    Extension(
        "ptychoproduct_native.pipeline", [f"{NATIVE}/pipeline.pyx", f"{NATIVE}/encoded.c", f"{NATIVE}/kernels.c"]
    ),
    Extension("ptychoproduct_native.gather", [f"{NATIVE}/gather.pyx", f"{NATIVE}/kernels.c"]),
]

setup(
    ext_modules=cythonize(extensions, include_path=["bindings"], build_dir="build/cython"),
    cmdclass={
        "build_manpages": build_manpages,
        "build_py": get_build_py_cmd(),
        "install": get_install_cmd(),
    },
)
