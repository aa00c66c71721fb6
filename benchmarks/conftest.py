"""Which scans, codecs and tools the benchmarks go over; `README.md` says how to run them."""

import itertools

import pytest

from ptychoproduct.benchmark.benchmark import entry
from ptychoproduct.benchmark.cases import Case
from ptychoproduct.benchmark.tools import TOOLS
from ptychoproduct.compression.codecs import parse_codec
from ptychoproduct.system.process import available_threads

SIZES_PX = (64, 128, 256, 512, 1024)
FRAMES = (1_000, 10_000, 100_000)
CODECS = ("bitshuffle-zstd:1", "bitshuffle-lz4", "zstd:1")
# These know nothing of our codecs, so that one of them stands for all.
WITHOUT_CODEC = ("PtychoPINN", "np.load", "cp")


def pytest_addoption(parser):
    parser.addoption("--largest-mb", type=float, default=20.0, help="largest scan, in 10⁶ bytes (default: 20)")


def pytest_generate_tests(metafunc):
    if {"case", "codec", "tool"} <= set(metafunc.fixturenames):
        largest_bytes = metafunc.config.getoption("largest_mb") * 1e6
        metafunc.parametrize(("case", "codec", "tool"), list(combinations(largest_bytes)), ids=name)


def combinations(largest_bytes):
    """Give scans up to a size, and for each all codecs and tools."""
    cases = itertools.starmap(Case, itertools.product(FRAMES, SIZES_PX, ("amplitude", "counts"), (False, True)))
    for case in sorted(cases, key=lambda case: case.nbytes):
        if case.nbytes <= largest_bytes:
            for codec, tool in itertools.product(CODECS, TOOLS.values()):
                if codec == CODECS[0] or tool.name not in WITHOUT_CODEC:
                    yield case, codec, tool


def name(value):
    """Name a parameter in the tables."""
    if isinstance(value, Case):
        storage = "deflated" if value.deflated else "stored"
        return f"{value.frames}x{value.size_px}px-{value.quantity}-{storage}"
    return value if isinstance(value, str) else value.name


@pytest.fixture(scope="session")
def scan_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scans")


@pytest.fixture
def scan(case, scan_folder):
    """The NPZ file of a case; the one before it is removed."""
    path = scan_folder / f"{name(case)}.npz"
    if not path.exists():
        for other in scan_folder.iterdir():
            other.unlink()
        case.write(path)
    return path


@pytest.fixture
def settings(case, codec, tool):
    return entry(tool, case, parse_codec(codec), available_threads()).settings


@pytest.fixture
def time_it(benchmark, request, case, codec, tool):
    """A function that times another: three rounds, behind one that warms up. All tools on a scan are one table."""

    def time_it(function, setup=lambda: None):
        action = request.function.__name__.removeprefix("test_")
        benchmark.group = f"{action} {name(case)}, {codec}, {case.nbytes / 1e6:.0f} MB"
        benchmark.name = tool.name
        benchmark.pedantic(function, setup=setup, rounds=3, warmup_rounds=1)

    return time_it


@pytest.fixture(autouse=True)
def _skip_what_is_missing(request):
    if "tool" in request.fixturenames:
        missing = request.getfixturevalue("tool").missing()
        if missing:
            pytest.skip(f"not installed: pip install {missing}")
