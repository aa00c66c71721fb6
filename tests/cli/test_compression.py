"""The commands about compression, as a user calls them."""

import json

import numpy as np
import pytest


def test_codecs_lists_profiles_and_codecs(run_command):
    result = run_command("ptychoproduct", "codecs")
    assert result.returncode == 0
    for word in ("balanced", "archive", "bitshuffle-zstd", "blosc2-zstd", "32008", "any HDF5"):
        assert word in result.stdout
    assert sum(line.startswith("bitshuffle-zstd ") for line in result.stdout.splitlines()) == 1  # a line each in a pipe


def test_codecs_as_json_tell_filter_and_needs(run_command):
    listed = json.loads(run_command("ptychoproduct", "codecs", "--json").stdout)
    bzip2 = next(info for info in listed["codecs"] if info["name"] == "bzip2")
    assert (bzip2["filter_id"], bzip2["levels"]) == (307, "1-9")
    assert "hdf5plugin" in bzip2["needs"]
    assert set(listed["profiles"]) >= {"fast", "balanced", "archive", "portable", "auto"}


def test_convert_takes_a_profile_and_tells_its_codec(run_command, save_scan):
    save_scan()
    result = run_command("ptychoproduct", "convert", "scan.npz", "a.h5", "--compression", "archive", "--json")
    summary = json.loads(result.stdout)
    assert summary["compression"] == "bzip2:9+fletcher32"
    assert summary["choice"] is None


def test_convert_tells_what_was_measured(run_command, save_scan):
    save_scan()
    words = ("ptychoproduct", "convert", "scan.npz", "a.h5", "--compression", "auto:speed")
    shown = run_command(*words).stdout
    assert "chosen" in shown
    assert "tried" in shown
    choice = json.loads(run_command(*words, "--json").stdout)["choice"]
    assert choice["trials"][0]["codec"] == choice["codec"]


@pytest.mark.parametrize(
    ("text", "nearest"),
    [("achive", "archive"), ("zstd:99", "zstd:22"), ("bitshufle-lz4", "bitshuffle-lz4,block=64KiB")],
)
def test_convert_names_the_nearest_spelling(run_command, save_scan, text, nearest):
    save_scan()
    result = run_command("ptychoproduct", "convert", "scan.npz", "a.h5", "--compression", text)
    assert result.returncode == 2
    assert f"perhaps {nearest} is meant" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_last_line_of_tune_converts_the_scan(run_command, save_scan, tmp_path):
    save_scan()
    shown = run_command("ptychoproduct", "tune", "scan.npz", "--objective", "ratio", "--threads", 1)
    assert shown.returncode == 0, shown.stderr
    words = shown.stdout.splitlines()[-1].split()
    assert words[:4] == ["ptychoproduct", "convert", "scan.npz", "scan.h5"]
    assert run_command(*words).returncode == 0
    assert (tmp_path / "scan.h5").exists()
    assert "--store-counts" in shown.stdout


def test_tune_takes_frames_with_companions(run_command, make_scan, tmp_path):
    scan = make_scan()
    np.save(tmp_path / "frames.npy", scan["diff3d"])
    np.savez(tmp_path / "rest.npz", **{key: scan[key] for key in ("xcoords", "ycoords", "probeGuess")})
    result = run_command("ptychoproduct", "tune", "frames.npy", "--positions", "rest.npz", "--json")
    report = json.loads(result.stdout)
    assert report["frames"] == 12
    assert report["convert"][-2:] == ["--positions", "rest.npz"]
    assert report["trials"][report["best"]]["codec"] in report["convert"]
    assert run_command(*report["convert"]).returncode == 0


def test_tune_draws_a_picture(run_command, save_scan, tmp_path):
    pytest.importorskip("matplotlib")
    save_scan()
    result = run_command("ptychoproduct", "tune", "scan.npz", "--plot", "tune.png", "--quiet")
    assert (result.returncode, result.stdout) == (0, "")
    assert (tmp_path / "tune.png").read_bytes().startswith(b"\x89PNG")


def test_tune_without_frames_is_one_line(run_command, save_scan):
    save_scan(diff3d=None)
    result = run_command("ptychoproduct", "tune", "scan.npz")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "error" in result.stderr.splitlines()[-1]
