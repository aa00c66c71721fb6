"""Every command and every Python example of the README and of docs/ is run, page by page, on small scans."""

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptychoproduct import ExportOptions, ScanParameters, export_product_from_npz, simulate_scan
from ptychoproduct_cli import main
from ptychoproduct_cli.commands import convert, import_

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("ptychoproduct ", "convert_to_ptychodus_product ", "import_ptychodus_product ")
BLOCK = re.compile(r"^```(?P<language>sh|python)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
# Measuring takes as long as it is told to; what completes is tested elsewhere; a page has a product in shards to merge.
EXAMPLES = {
    command.prog: command.examples
    for command in (*main.COMMANDS.values(), convert.EXECUTABLE, import_.EXECUTABLE)
    if command.prog.removeprefix("ptychoproduct ") not in ("bench", "tune", "completion", "merge")
}
# Of frames in a file without an object and without numbers, and of formats that hold less: what some pages are about.
TOLD = re.compile("has no (objectGuess|scan_index);|the columns have no names;|does not hold ")
# What the examples take for given: a scan in memory, a detector that is still running, and PyTorch, in whose place is
# what hands a dataset to other processes as its loader does.
GIVEN = """\
import importlib.util, pickle, sys, types, warnings
import numpy as np
from ptychoproduct import ProductWarning, import_product_to_rawdata
warnings.simplefilter("ignore", ProductWarning)
raw = import_product_to_rawdata("product.h5")
probe = raw.probeGuess
detector = [(raw.diff3d[i : i + 10], raw.xcoords[i : i + 10], raw.ycoords[i : i + 10]) for i in range(0, 100, 10)]
if importlib.util.find_spec("torch") is None:
    def loader(dataset, batch_size, shuffle, num_workers):
        dataset = pickle.loads(pickle.dumps(dataset))
        order = np.random.permutation(len(dataset))
        for i in range(0, len(order), batch_size):
            yield tuple(map(np.stack, zip(*dataset.__getitems__(order[i : i + batch_size].tolist()))))
    for name in ("torch", "torch.utils", "torch.utils.data"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torch.utils.data"].DataLoader = loader
"""


def blocks(page):
    """Give the examples of a page, with the number of their first line."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        yield text.count("\n", 0, match.start()) + 2, match["language"], match["code"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Files of the names that the pages use: the same scan in several shapes."""
    folder = tmp_path_factory.mktemp("inputs")
    meta = simulate_scan(folder / "scan.npz", ScanParameters(frames=120, size_px=32))
    for name in ("scan.h5", "product.h5"):
        export_product_from_npz(
            folder / "scan.npz", folder / name, meta, options=ExportOptions(position_index="sequence")
        )
    with np.load(folder / "scan.npz") as scan:
        np.save(folder / "frames.npy", scan["diff3d"])
        np.save(folder / "probe.npy", scan["probeGuess"])
        positions = np.stack((scan["xcoords"], scan["ycoords"]), axis=1)
        np.savetxt(folder / "positions.csv", positions, delimiter=",", header="x,y", comments="")
        motors = np.stack((np.arange(len(positions)), scan["ycoords"], scan["xcoords"]), axis=1)
        np.savetxt(folder / "motors.txt", motors)
        grid = scan["diff3d"].reshape(10, 12, 32, 32)
        np.savez(folder / "stem.npz", data=grid, position=positions, notes=np.array({"a": 1}))
        with h5py.File(folder / "diffraction.h5", "w") as file:
            file.create_dataset("patterns", data=scan["diff3d"], chunks=(1, 32, 32))
    return folder


@pytest.fixture
def folder(inputs, tmp_path):
    for path in inputs.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def run(language, code, folder):
    """Run an example as its reader would, and return what it said if it failed, or warned of anything."""
    programs = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", code] if language == "sh" else [sys.executable, "-c", GIVEN + code]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    warned = [line for line in result.stderr.splitlines() if "warning: " in line and not TOLD.search(line)]
    return None if result.returncode == 0 and not warned else result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page))], ids=lambda page: page.name)
def test_every_example_of_a_page_works(page, folder):
    for line, language, code in blocks(page):
        failure = run(language, code, folder)
        assert failure is None, f"{page.name}:{line}: {failure}"


@pytest.mark.slow
@pytest.mark.parametrize("prog", EXAMPLES)
def test_every_example_of_a_commands_help_works(prog, folder):
    for example in EXAMPLES[prog]:
        assert run("sh", example, folder) is None, example


@pytest.mark.slow
def test_an_example_that_fails_is_noticed(folder):
    assert "no such file" in run("sh", "ptychoproduct inspect missing.h5\nptychoproduct --version\n", folder)
    assert "NameError" in run("python", "undefined\n", folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_stands_where_it_is_not_run(page):
    rest = BLOCK.sub("", page.read_text(encoding="utf-8"))
    assert not [line for line in rest.splitlines() if line.startswith("    ") and line.strip().startswith(PROGRAMS)]


def test_every_job_is_done_in_three_commands_at_most():
    jobs = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8").split("\n## ")[1:]
    commands = [
        sum(
            len(match["code"].replace("\\\n", "").splitlines())
            for match in BLOCK.finditer(job)
            if match["language"] == "sh"
        )
        for job in jobs
    ]
    assert max(commands) <= 3
    assert all("```" in job for job in jobs)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_page_can_be_reached_from_the_readme():
    text = PAGES[0].read_text(encoding="utf-8")
    assert all(f"docs/{page.name}" in text for page in PAGES[1:])
