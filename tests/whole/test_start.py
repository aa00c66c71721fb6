"""What a command imports: a small conversion is mostly its start, and pays for nothing that its scan does not need."""

import subprocess
import sys

import numpy as np
import pytest

BASE = "numpy, h5py, hdf5plugin"
# Each of them takes 2 ms to import or more, alone or with what it imports in turn.
NOT_FOR_A_PLAIN_SCAN = {
    *("rich", "email", "importlib.metadata", "numpy.ma", "numpy.char", "tomllib", "csv"),
    *("ptychoproduct.scan.companions", "ptychoproduct.scan.image_scan", "ptychoproduct.streaming.image_files"),
    *("ptychoproduct.scan.frame_scan", "ptychoproduct.scan.position_tables", "ptychoproduct.scan.source_metadata"),
    *("ptychoproduct.hdf5.folder_links", "ptychoproduct.streaming.recoding", "ptychoproduct.tuning.auto"),
    *("ptychoproduct.product.patterns_file", "ptychoproduct.validation.checks", "ptychoproduct.convert.repack"),
    *(
        "ptychoproduct_cli.commands.import_",
        "ptychoproduct_cli.commands.bench",
        "ptychoproduct_cli.commands.completion",
    ),
}


def modules_after(code, *arguments):
    """Return the modules that a new process has imported when it has run some code."""
    code = f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code\n"
    command = [sys.executable, "-c", f"{code}print('modules', *sys.modules)", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("quantity", ["amplitude", "counts"])
def test_a_conversion_imports_nothing_for_other_kinds_of_scans_and_results(save_scan, make_scan, compress, quantity):
    frames = make_scan()["diff3d"]
    scan = save_scan(compress=compress, diff3d=frames if quantity == "amplitude" else np.rint(frames**2).astype("u2"))
    words = "convert", scan, scan.with_suffix(".h5")
    found = modules_after("from ptychoproduct_cli.main import main; main()", *words)
    assert "ptychoproduct.product.writer" in found
    assert found & NOT_FOR_A_PLAIN_SCAN - modules_after(f"import {BASE}") == set()


@pytest.mark.parametrize("words", [["convert", "--help"], ["help", "inspect"]])
def test_the_help_of_a_command_imports_no_other_command(words):
    found = modules_after("from ptychoproduct_cli.main import main; main()", *words)
    commands = [name for name in found if name.startswith("ptychoproduct_cli.commands.")]
    assert commands == [f"ptychoproduct_cli.commands.{(set(words) - {'help', '--help'}).pop()}"]
