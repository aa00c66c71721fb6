"""A short form of the benchmark on simulated cores: that it does what it counts, not how fast."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "simulated_cores.py"
MIB = 1024**2

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets the cores that Linux shows"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
]


@pytest.mark.parametrize("stored", [(), ("--keep-all",)])
def test_each_job_codes_all_chunks_on_all_threads(tmp_path, stored):
    words = ["--threads", "1", "3", "--chunks-per-thread", "2", "--speeds", "1", "--rounds", "1", "--json", *stored]
    done = subprocess.run([sys.executable, SCRIPT, *words, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr  # it compares all frames
    found = json.loads(done.stdout)
    coded = {(row["job"], row["threads"]): row["coded_bytes"] for row in found["rows"]}
    for threads in (1, 3):
        chunks = 2 * threads
        assert coded["read", threads] == coded["import", threads] == chunks * MIB
        assert coded["batches", threads] == 10 * chunks * MIB
        assert coded["repack", threads] == 2 * chunks * MIB
        assert chunks * MIB <= coded["convert", threads] < (chunks + 1) * MIB  # small arrays are compressed, too
    assert all(0 < row["efficiency"] <= 1 for row in found["rows"])  # nobody sleeps less than was asked for
    assert {row["job"] for row in found["limits"]} == {"convert", "read", "batches", "import", "repack"}
    assert list(tmp_path.iterdir()) == []


def test_other_frames_end_it(tmp_path):
    spec = importlib.util.spec_from_file_location("simulated_cores", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script  # dataclasses look there
    spec.loader.exec_module(script)
    files = script.Files(tmp_path, 2, (script.CODEC, script.OTHER_CODEC))
    frames = np.load(files.scan)["diff3d"]
    files.check(frames, "read")
    frames[9, 0, 0] += 1
    with pytest.raises(SystemExit, match="read: other frames in chunk 1"):
        files.check(frames, "read")
