"""Many inputs in one command."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - h5py reads with it
import numpy as np
import pytest

from ptychoproduct.validation.comparison import require_same_content

NAMES = ("a", "b", "c")


@pytest.fixture
def scans(save_scan):
    return [save_scan(f"{name}.npz", xcoords_start=None, ycoords_start=None) for name in NAMES]


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\3\4 no archive")
    return path


def converted(run_command, *words, **others):
    return run_command("ptychoproduct", "convert", *words, "--output-dir", "out", **others)


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def json_lines(process):
    return [json.loads(line) for line in process.stdout.splitlines()]


def test_all_are_converted_as_one_by_one(run_command, scans, tmp_path):
    many = converted(run_command, *scans, "--object-pixel-size-m", "2e-8")
    assert many.returncode == 0, many.stderr
    assert many.stdout.startswith("3 done; ")
    assert left(tmp_path / "out") == ["a.h5", "b.h5", "c.h5", "ptychoproduct-batch.jsonl"]
    run_command("ptychoproduct", "convert", scans[1], "alone.h5", "--object-pixel-size-m", "2e-8")
    assert (tmp_path / "out" / "b.h5").read_bytes() == (tmp_path / "alone.h5").read_bytes()


def test_words_may_stand_before_and_behind_options(run_command, scans, tmp_path):
    words = ["convert", "--output-dir", "out", scans[0], "--threads", "1", scans[1], "--quiet", scans[2]]
    assert run_command("ptychoproduct", *words).returncode == 0
    assert len(left(tmp_path / "out")) == 4
    listed = run_command("ptychoproduct", "convert", "--list", "-", "--output-dir", "again", input="*.npz\n")
    assert listed.returncode == 0, listed.stderr
    assert len(left(tmp_path / "again")) == 4


def test_one_that_fails_does_not_stop_the_others(run_command, scans, broken, tmp_path):
    process = converted(run_command, scans[0], broken, "missing.npz", scans[1], "--json")
    assert process.returncode == 2
    assert left(tmp_path / "out") == ["a.h5", "b.h5", "ptychoproduct-batch.jsonl"]
    *lines, last = json_lines(process)
    assert [line["status"] for line in lines] == ["done", "failed", "failed", "done"]
    assert [line["frames"] for line in lines if line["status"] == "done"] == [12, 12]
    counts = {key: last["summary"][key] for key in ("done", "failed", "skipped", "not_started")}
    assert counts == {"done": 2, "failed": 2, "skipped": 0, "not_started": 0}
    failures = process.stderr.splitlines()[-3:]
    assert failures[0] == "2 of 4 failed:"
    assert [line.split()[0] for line in failures[1:]] == ["broken.npz", "missing.npz"]
    stopped = converted(run_command, scans[0], broken, scans[1], "--fail-fast", "--json")
    assert (stopped.returncode, json_lines(stopped)[-1]["summary"]["not_started"]) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["here", "local:2"])
def test_five_broken_ones_of_two_hundred(run_command, save_scan, tmp_path, where):
    first = save_scan("000.npz", xcoords_start=None, ycoords_start=None).read_bytes()
    names = [f"{number:03}" for number in range(200)]
    for name in names:
        (tmp_path / f"{name}.npz").write_bytes(first)
    flipped = bytearray(first)
    flipped[first.index(np.load(tmp_path / "000.npz")["diff3d"].tobytes())] ^= 1
    (tmp_path / "041.npz").write_bytes(flipped)
    (tmp_path / "077.npz").write_bytes(first[: len(first) // 2])
    (tmp_path / "130.npz").write_bytes(b"")
    np.savez(tmp_path / "131.npz", diff3d=np.zeros((12, 16, 24), np.float32))
    (tmp_path / "199.npz").unlink()
    (tmp_path / "199.npz").symlink_to("nowhere.npz")
    (tmp_path / "list.txt").write_text("".join(f"{name}.npz\n" for name in names))
    if where != "here":
        pytest.importorskip("distributed")
    process = converted(run_command, "--list", "list.txt", *["--cluster", where] * (where != "here"), "--quiet")
    assert process.returncode == 2
    reasons = {"041": "CRC-32", "077": "archive", "130": "empty", "131": "xcoords", "199": "no such file"}
    made = [f"{name}.h5" for name in names if name not in reasons]
    assert left(tmp_path / "out") == [*made, "ptychoproduct-batch.jsonl"]
    first_line, *said = process.stderr.splitlines()
    assert first_line == "5 of 200 failed:"
    assert sorted(line.split()[0] for line in said) == [f"{name}.npz" for name in reasons]
    for line in said:
        assert reasons[line.split()[0][:3]] in line


def test_resume_makes_what_is_missing_changed_or_failed(run_command, scans, broken, save_scan, tmp_path):
    def second(*more):
        process = converted(run_command, *scans, broken, "--resume", "--json", *more)
        return {Path(line["source"]).stem: line["status"] for line in json_lines(process)[:-1]}

    assert second() == {"a": "done", "b": "done", "c": "done", "broken": "failed"}
    assert second("--threads", 1) == {"a": "skipped", "b": "skipped", "c": "skipped", "broken": "failed"}
    (tmp_path / "out" / "a.h5").unlink()
    save_scan("b.npz", comment=np.array("changed"))
    (tmp_path / "broken.npz").write_bytes(scans[0].read_bytes())
    assert second() == {"a": "done", "b": "done", "c": "skipped", "broken": "done"}
    with h5py.File(tmp_path / "out" / "b.h5") as product:
        assert "comment" in product["raw_data"]
    with h5py.File(tmp_path / "out" / "c.h5", "r+") as product:
        product.attrs["touched"] = 1
    assert second() == {"a": "skipped", "b": "skipped", "c": "done", "broken": "skipped"}
    assert set(second("--compression", "lz4").values()) == {"done"}


def test_each_scan_has_its_patterns_file(run_command, scans, tmp_path):
    words = [*scans, "--diffraction-output", "patterns", "--detector-pixel-size-m", "75e-6"]
    process = converted(run_command, *words)
    assert process.returncode == 0, process.stderr
    alone = ["--diffraction-output", "alone_patterns.h5", *words[-2:], "--quiet"]
    run_command("ptychoproduct", "convert", scans[1], "alone.h5", *alone)
    assert left(tmp_path / "patterns") == ["a.h5", "b.h5", "c.h5"]
    with h5py.File(tmp_path / "patterns" / "b.h5") as one, h5py.File(tmp_path / "alone_patterns.h5") as other:
        require_same_content(one, other, "alone_patterns.h5")
    assert (tmp_path / "out" / "b.h5").read_bytes() == (tmp_path / "alone.h5").read_bytes()
    (tmp_path / "patterns" / "c.h5").unlink()
    again = json_lines(converted(run_command, *words, "--resume", "--json"))
    assert [line.get("status") for line in again[:-1]] == ["skipped", "skipped", "done"]


def test_dry_run_does_nothing(run_command, scans, tmp_path):
    process = converted(run_command, *scans, "--dry-run")
    assert process.stdout.splitlines() == [f"convert {scan} -> out/{scan.stem}.h5" for scan in scans]
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.npz", "deep/a.npz"], "a.npz and deep/a.npz would both become out/a.h5"),
        (["*.tif"], "there is no file"),
        (["a.npz", "--compression", "nonsense"], "nonsense"),
        (["a.npz", "--probe-energy-eV", "-1"], "probe-energy-eV"),
        (["a.npz", "--standard-layout", "d"], "is for one scan"),
        (["a.npz", "--diffraction-output", "d.h5"], "this is a folder"),
        (["a.npz", "--diffraction-output", "./out"], "and another one"),
        (["a.npz", "--memory", "lots"], "--memory"),
    ],
)
def test_what_cannot_be_started_ends_before_anything_is_done(run_command, tmp_path, words, message):
    process = converted(run_command, *words)
    assert process.returncode == 1
    assert message in process.stderr
    assert not (tmp_path / "out").exists()


def test_several_without_a_folder(run_command, scans):
    process = run_command("ptychoproduct", "convert", *scans)
    assert process.returncode == 2
    assert "one argument too many; for several inputs give --output-dir DIR" in process.stderr
    process = run_command("ptychoproduct", "convert", "--list", "list")
    assert "--list: needs a folder for the outputs; give --output-dir DIR" in process.stderr


def test_products_are_validated_imported_and_repacked(run_command, scans, tmp_path):
    converted(run_command, *scans)
    with h5py.File(tmp_path / "out" / "b.h5", "r+") as product:
        del product["probe"], product.attrs["metadata_sha256"]
    process = run_command("ptychoproduct", "validate", "out", "--deep", "--json")
    assert process.returncode == 2
    assert [line.get("valid") for line in json_lines(process)[:-1]] == [True, False, True]
    assert "b.h5" in process.stderr
    process = run_command("ptychoproduct", "import", "out/a.h5", "out/c.h5", "--output-dir", "back")
    assert process.returncode == 0, process.stderr
    with np.load(tmp_path / "back" / "a.npz") as again, np.load(scans[0]) as scan:
        assert np.array_equal(again["diff3d"], scan["diff3d"])
    process = run_command("ptychoproduct", "repack", "out/*.h5", "--output-dir", "new", "--compression", "lz4")
    assert process.returncode == 0, process.stderr
    with h5py.File(tmp_path / "new" / "c.h5") as new, h5py.File(tmp_path / "out" / "c.h5") as old:
        assert np.array_equal(new["raw_data/diffraction"][()], old["raw_data/diffraction"][()])


def test_ctrl_c_keeps_what_is_done(scans, tmp_path):
    simulate = [
        Path(sys.executable).with_name("ptychoproduct"),
        "simulate",
        "z.npz",
        "--frames",
        "4000",
        "--size",
        "128",
    ]
    subprocess.run(simulate, cwd=tmp_path, check=True, capture_output=True)
    words = [simulate[0], "convert", *scans, "z.npz", "--output-dir", "out", "--compression", "bzip2:9"]
    process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "out").glob(".*.part")) or len(list((tmp_path / "out").glob("*.h5"))) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert "interrupted" in process.communicate()[1]
    assert process.returncode == 130
    assert left(tmp_path / "out") == ["a.h5", "b.h5", "c.h5", "ptychoproduct-batch.jsonl"]
    assert len((tmp_path / "out" / "ptychoproduct-batch.jsonl").read_text().splitlines()) == 3


def test_a_batch_that_was_killed_goes_on(run_command, scans, save_scan, tmp_path):
    scans += [save_scan(f"{name}.npz") for name in "defgh"]
    words = ["convert", *scans, "--output-dir", "out", "--resume", "--quiet"]
    process = subprocess.Popen([Path(sys.executable).with_name("ptychoproduct"), *words], cwd=tmp_path)
    journal = tmp_path / "out" / "ptychoproduct-batch.jsonl"
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        time.sleep(0.001)
    process.kill()
    process.wait()
    before = [json.loads(line)["output"] for line in journal.read_text().splitlines() if line.endswith("}")]
    again = run_command("ptychoproduct", *words, "--json")
    made = [Path(line["output"]).name for line in json_lines(again)[:-1] if line["status"] == "done"]
    assert sorted([*before, *made]) == [f"{scan.stem}.h5" for scan in scans]
    assert left(tmp_path / "out") == [*(f"{scan.stem}.h5" for scan in scans), journal.name]
    kept = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.h5")}
    run_command("ptychoproduct", "convert", *scans, "--output-dir", "undisturbed", "--quiet")
    assert kept == {path.name: path.read_bytes() for path in (tmp_path / "undisturbed").glob("*.h5")}
