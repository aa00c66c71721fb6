"""Build of the Cython extensions and the man pages; everything else is in pyproject.toml."""

import os
import sys
from pathlib import Path

import build_manpages
from argparse_manpage.manpage import Manpage
from argparse_manpage.tooling import get_parser, write_to_filename
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel

NATIVE = "bindings/ptychoproduct_native"
THREADS = f"{NATIVE}/background_thread.h"

# Man pages are made from the argument parsers, which import nothing beyond the standard library.
sys.path.insert(0, str(Path(__file__).parent / "cli"))
# roff fills lines: one that argparse has broken may begin with a dot, which means something else there.
os.environ["COLUMNS"] = "10000"

extensions = [
    Extension("ptychoproduct_native.buffers", [f"{NATIVE}/buffers.pyx"]),
    Extension("ptychoproduct_native.output_file", [f"{NATIVE}/output_file.pyx"]),
    Extension("ptychoproduct_native.ending", [f"{NATIVE}/ending.pyx"], depends=[f"{NATIVE}/ending.h", THREADS]),
    Extension("ptychoproduct_native.watchdog", [f"{NATIVE}/watchdog.pyx"], depends=[f"{NATIVE}/watchdog.h", THREADS]),
    Extension("ptychoproduct_native.segments", [f"{NATIVE}/segments.pyx"]),
    Extension("ptychoproduct_native.checksums", [f"{NATIVE}/checksums.pyx", f"{NATIVE}/kernels.c"]),
    Extension("ptychoproduct_native.compressors", [f"{NATIVE}/compressors.pyx"]),
    Extension("ptychoproduct_native.zstandard", [f"{NATIVE}/zstandard.pyx"]),
    Extension("ptychoproduct_native.bitshuffled", [f"{NATIVE}/bitshuffled.pyx", f"{NATIVE}/bitshuffle.c"]),
    Extension("ptychoproduct_native.szip", [f"{NATIVE}/szip.pyx", f"{NATIVE}/kernels.c"]),
    Extension("ptychoproduct_native.filters", [f"{NATIVE}/filters.pyx", f"{NATIVE}/encoded.c", f"{NATIVE}/kernels.c"]),
    Extension("ptychoproduct_native.pipeline", [f"{NATIVE}/pipeline.pyx"]),
    Extension("ptychoproduct_native.gather", [f"{NATIVE}/gather.pyx", f"{NATIVE}/kernels.c"]),
    Extension("ptychoproduct_native.counts", [f"{NATIVE}/counts.pyx", f"{NATIVE}/roots.c"]),
]


class BuildManPages(build_manpages.build_manpages):
    """Man pages with what a parser cannot say in its own words: a name for apropos, examples, exit codes."""

    def run(self):
        """Write the pages that pyproject.toml lists."""
        for path, data in self.manpages_data.items():
            parser = get_parser(data["import_type"], data["import_from"], data["objname"], data["objtype"])
            command = parser.get_default("command")
            parser.epilog = None
            page = Manpage(parser, _data=data)
            page.prog = Path(path).stem
            page.manual = "ptychoproduct"
            page.description = command.summary if command else parser.description
            if command:
                page.add_section("EXAMPLES", "=", verbatim("\n\n".join(command.examples)))
                codes = (f".TP\n.B {code}\n{meaning}" for code, meaning in command.exit_codes.items())
                page.add_section("EXIT STATUS", "=", "\n".join(codes).replace("-", r"\-"))
            write_to_filename(str(page), path)


def verbatim(text):
    """Return text that roff leaves as it is."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return f".nf\n{escaped}\n.fi"


class EditableWheel(editable_wheel):
    """An editable install with man pages, too."""

    def run(self):
        """Build the pages, and have them installed where `man` looks."""
        self.run_command("build_manpages")
        self.distribution.data_files = [("share/man/man1", sorted(map(str, Path("man").glob("*.1"))))]
        self.distribution.has_data = self.distribution.has_data_files  # what setuptools asks for, and lacks
        super().run()


class BuildExtensions(build_ext):
    """Floating-point loops as vectors, with the results of IEEE 754; MSVC does so by itself."""

    # No errno and no traps, which would keep square roots and comparisons out of vectors.
    unix_flags = ("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-O3")
    msvc_flags = ("/std:c11",)  # which it knows only when asked for it

    def build_extensions(self):
        """Build with the flags of the compiler that is there, on all cores."""
        self.parallel = self.parallel or os.cpu_count()
        flags = self.msvc_flags if self.compiler.compiler_type == "msvc" else self.unix_flags
        for extension in self.extensions:
            extension.extra_compile_args = [*flags]
        super().build_extensions()


setup(
    ext_modules=cythonize(extensions, include_path=["bindings"], build_dir="build/cython"),
    cmdclass={
        "build_ext": BuildExtensions,
        "build_manpages": BuildManPages,
        "editable_wheel": EditableWheel,
        "build_py": build_manpages.get_build_py_cmd(),
        "install": build_manpages.get_install_cmd(),
    },
)
