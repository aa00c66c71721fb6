"""The Slurm script of docs/clusters.md works, with processes on this machine in place of Slurm's jobs."""

import re
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
STAND_IN = """\
from distributed import LocalCluster

class SLURMCluster(LocalCluster):
    def __init__(self, cores, processes, memory, walltime):
        super().__init__(n_workers=0, threads_per_worker=1, dashboard_address="localhost:0")

    def scale(self, jobs):
        super().scale(min(jobs, 2))
"""


@pytest.mark.slow
def test_the_script_for_slurm(run_command, save_scan, tmp_path):
    pytest.importorskip("distributed")
    for number in range(3):
        save_scan(f"scan{number}.npz")
    (script,) = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    programs = str(Path(sys.executable).parent)
    (tmp_path / "night.py").write_text(script.replace('"ptychoproduct"', f'"{programs}/ptychoproduct"'))
    (tmp_path / "dask_jobqueue.py").write_text(STAND_IN)
    process = run_command("python", "night.py")
    assert process.returncode == 0, process.stderr
    assert "3 done" in process.stdout
    assert len(list((tmp_path / "products").glob("*.h5"))) == 3
