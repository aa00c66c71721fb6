"""Build of the Cython extensions and the man pages; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from build_manpages import build_manpages, get_build_py_cmd, get_install_cmd
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

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
    Extension("ptychoproduct_native.counts", [f"{NATIVE}/counts.pyx", f"{NATIVE}/roots.c"]),
]


class BuildExtensions(build_ext):
    """Floating-point loops as vectors, with the results of IEEE 754; MSVC does so by itself."""

    def build_extensions(self):
        """Build, with the flags of GCC and Clang where it is one of them."""
        if self.compiler.compiler_type != "msvc":
            for extension in self.extensions:
                # No errno and no traps, which would keep square roots and comparisons out of vectors.
                extension.extra_compile_args += ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-O3"]
        super().build_extensions()


setup(
    ext_modules=cythonize(extensions, include_path=["bindings"], build_dir="build/cython"),
    cmdclass={
        "build_ext": BuildExtensions,
        "build_manpages": build_manpages,
        "build_py": get_build_py_cmd(),
        "install": get_install_cmd(),
    },
)
