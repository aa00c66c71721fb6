"""A read-only file is replaced only where that is asked for."""

import stat

import pytest


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["convert", "scan.npz", "out.h5"], "out.h5"),
        (["convert", "scan.npz", "--standard-layout", ".", "--detector-pixel-size-m", "1e-5"], "diffraction.h5"),
        (["import", "scan.h5", "out.npz"], "out.npz"),
        (["repack", "scan.h5", "out.h5", "--compression", "zstd:1"], "out.h5"),
        (["simulate", "out.npz", "--frames", "4", "--size", "16"], "out.npz"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_read_only_output_stays_unless_force_is_given(save_scan, run_command, tmp_path, words, name):
    run_command("ptychoproduct", "convert", save_scan(), "scan.h5", "--quiet")
    (tmp_path / name).write_text("mine")
    (tmp_path / name).chmod(0o444)
    refused = run_command("ptychoproduct", *words)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].endswith(f"{name}: exists and is read-only; --force replaces it")
    assert (tmp_path / name).read_text() == "mine"
    assert run_command("ptychoproduct", *words, "--force").returncode == 0
    assert (tmp_path / name).stat().st_size > 100
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o444
