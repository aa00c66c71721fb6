import importlib.util
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from ptychoproduct.benchmark.machine import Machine
from ptychoproduct_cli.commands.bench import _not_idle

TINY = ("--size", 16, "--megabytes", "0.05", "--rounds", 1, "--peers", "cp", "--folder", ".")
NEEDS_MATPLOTLIB = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="draws")
WITHOUT_MATPLOTLIB = (
    "import sys; sys.modules['matplotlib'] = None; from ptychoproduct_cli.main import main; "
    "sys.argv = ['ptychoproduct', 'bench', '--plot', 'throughput.png', '--json']; main()"
)


@pytest.fixture
def bench(run_command):
    """A function that measures tiny scans."""
    return lambda *words, **changes: run_command("ptychoproduct", "bench", *TINY, *words, **changes)


def test_json_describes_the_machine_and_every_time(bench):
    report = json.loads(bench("--json", "--megabytes", "0.05,0.1").stdout)
    assert report["machine"]["cores"] >= 1
    assert [[timing["tool"] for timing in result["timings"]] for result in report["results"]] == [
        ["ptychoproduct", "cp"],
        ["ptychoproduct", "cp"],
    ]
    assert all(len(timing["seconds"]) == 1 for result in report["results"] for timing in result["timings"])


def test_the_table_has_a_row_for_each_size(run_command):
    result = run_command("ptychoproduct", "bench", *TINY, "--megabytes", "2,3")
    rows = [line.split()[0] for line in result.stdout.splitlines() if line.strip()]
    assert ("2" in rows, "3" in rows) == (True, True)


@pytest.mark.slow
def test_tables_of_all_tools_fit_80_columns(bench):
    names = "h5py,PtychoPINN,zarr,tensorstore,np.load,cp"
    result = bench("--peers", names, "--threads", "1,2", env=os.environ | {"COLUMNS": "80"})
    lines = [line for line in result.stdout.splitlines() if not line.startswith(("folder", "versions"))]
    assert max(map(len, lines)) <= 80
    assert "speed-up" in result.stdout


def test_quiet_prints_nothing(bench):
    result = bench("--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_nothing_is_left_in_the_folder(bench, tmp_path):
    bench()
    assert list(tmp_path.iterdir()) == []


def test_a_tool_that_cannot_take_part_is_named(bench):
    assert "cp: cannot be measured with --action batch" in bench("--action", "batch").stdout


@NEEDS_MATPLOTLIB
def test_a_plot_is_a_png(bench, tmp_path):
    bench("--plot", "throughput.png")
    assert (tmp_path / "throughput.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@NEEDS_MATPLOTLIB
@pytest.mark.slow
def test_a_plot_with_threads_has_a_second_panel(bench, tmp_path):
    widths = []
    for words in ((), ("--threads", "1,2")):
        bench("--plot", "throughput.png", *words)
        widths.append(int.from_bytes((tmp_path / "throughput.png").read_bytes()[16:20]))  # in the header of a PNG
    assert widths[1] == 2 * widths[0]


def test_a_plot_without_matplotlib_says_how_to_install_it_before_anything_is_measured(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_MATPLOTLIB], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "pip install matplotlib" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "results" not in json.loads(result.stdout)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--plot", "picture.doc"), ".png"),
        (("--folder", "missing"), "there is no folder missing"),
        (("--peers", "hdf4"), "tensorstore"),
        (("--compression", "zip"), "gzip"),
        (("--threads", "0"), "at least 1"),
        (("--threads", "two"), "--threads"),
    ],
)
def test_what_is_not_understood_is_an_error_of_usage(bench, words, expected):
    result = bench(*words)
    assert result.returncode == 2
    assert expected in result.stderr.splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are pseudo terminals here")
def test_a_terminal_sees_what_is_being_measured(tmp_path):
    terminal, end = pty.openpty()
    command = [Path(sys.executable).with_name("ptychoproduct"), "bench", *map(str, TINY)]
    subprocess.run(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=end, check=True, env=os.environ | {"TERM": "xterm"}
    )
    os.close(end)
    assert b"round 1 of 1" in os.read(terminal, 100_000)


@pytest.mark.parametrize(("load", "told"), [(None, False), (0.1, False), (1.9, True)])
def test_a_machine_that_is_not_idle_is_told(load, told):
    machine = Machine("Linux", "a CPU", 2, load, 10**9, "/tmp", "ext4", {})
    assert bool(_not_idle(machine)) is told
