"""One scan on a cluster goes on where a run that was killed has ended, and the product is the same."""

import json

import numpy as np
import pytest

from ptychoproduct import ExportOptions, OptionError, ScanFiles, export_product_from_files
from ptychoproduct.batch import encoding
from ptychoproduct.batch.one_scan import export_on_cluster

pytestmark = pytest.mark.slow
FRAMES = 150
OPTIONS = ExportOptions(object_center="auto", chunk_frames=4)
BREAK_AT = 70 * 16 * 24 * 4  # bytes


@pytest.fixture
def scan(make_scan, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "RANGE_BYTES", 20_000)
    rng = np.random.default_rng(3)
    frames = np.sqrt(rng.poisson(3, (FRAMES, 16, 24))).astype(np.float32)
    x, y = rng.uniform(8, 56, (2, FRAMES))
    changes = {"xcoords_start": None, "ycoords_start": None, "scan_index": np.arange(FRAMES)}
    np.savez(tmp_path / "scan.npz", **make_scan(diff3d=frames, xcoords=x, ycoords=y, **changes))
    return tmp_path / "scan.npz"


class Broken(Exception):  # noqa: N818 - no fault
    """Stands for whatever ends a run."""


def broken_run(client, scan, **choices):
    """Convert until some of the frames are written, and then have an error; return how many were."""
    done = 0

    def progress(nbytes):
        nonlocal done
        done += nbytes
        if done > BREAK_AT:
            raise Broken

    with pytest.raises(Broken):
        export_on_cluster(client, ScanFiles(scan), scan.parent / "there.h5", progress=progress, **choices)


def hidden(folder):
    return [path for path in folder.iterdir() if path.name.startswith(".")]


def records(folder):
    (unfinished,) = hidden(folder)
    lines = (unfinished / "ranges.jsonl").read_text().splitlines()[2:]
    return [json.loads(line) for line in lines if line]


def counted_ranges(client, monkeypatch):
    """Note which ranges are handed out."""
    handed_out, submit = [], client.submit

    def noted(function, *arguments, **others):
        handed_out.append((arguments[1].start, arguments[1].stop))
        return submit(function, *arguments, **others)

    monkeypatch.setattr(client, "submit", noted)
    return handed_out


@pytest.mark.parametrize("options", [OPTIONS, ExportOptions(object_center="auto", chunk_shape=(4, 8, 7))])
def test_it_goes_on_and_the_product_is_the_same(client, scan, monkeypatch, options):
    folder = scan.parent
    export_product_from_files(ScanFiles(scan), folder / "here.h5", options=options)
    broken_run(client, scan, resume=True, options=options)
    assert not (folder / "there.h5").exists()
    done = [(record["first"], record["stop"]) for record in records(folder)]
    assert len(done) > 2
    handed_out = counted_ranges(client, monkeypatch)
    counted = []
    files = ScanFiles(scan)
    summary = export_on_cluster(
        client, files, folder / "there.h5", resume=True, options=options, progress=counted.append
    )
    assert sum(counted) == summary.frame_bytes
    assert not set(done) & set(handed_out)
    assert sorted(done + handed_out)[0][0] == 0
    assert (folder / "here.h5").read_bytes() == (folder / "there.h5").read_bytes()
    assert not hidden(folder)


def test_shards_that_are_done_stay(client, scan):
    folder = scan.parent
    choices = {"resume": True, "shards": 12, "options": OPTIONS}
    export_on_cluster(client, ScanFiles(scan), folder / "undisturbed.h5", **choices)
    broken_run(client, scan, **choices)
    (unfinished,) = hidden(folder)
    done = {f"{record['first'] // 12 + 1:04}.h5" for record in records(folder)}
    before = {path.name: path.stat().st_mtime_ns for path in (unfinished / "there.frames").glob("*.h5")}
    assert done
    export_on_cluster(client, ScanFiles(scan), folder / "there.h5", **choices)
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "there.frames").iterdir()}
    assert len(after) == 12
    assert {name: after[name] for name in done & before.keys()} == {name: before[name] for name in done & before.keys()}
    for path in (folder / "there.frames").iterdir():
        assert path.read_bytes() == (folder / "undisturbed.frames" / path.name).read_bytes()
    assert not hidden(folder)


@pytest.mark.parametrize("change", ["chunk", "line", "record", "options", "source", "empty"])
def test_what_does_not_fit_is_made_again(client, scan, change):
    folder, options = scan.parent, OPTIONS
    broken_run(client, scan, resume=True, options=options)
    (unfinished,) = hidden(folder)
    journal, part = unfinished / "ranges.jsonl", unfinished / "product.h5"
    if change == "chunk":
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
    elif change == "line":
        journal.write_bytes(journal.read_bytes()[:-30])
    elif change == "record":
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:3] + lines[4:]))
    elif change == "empty":
        part.write_bytes(b"")
    elif change == "options":
        options = ExportOptions(object_center="auto", chunk_frames=3)
    else:
        with np.load(scan) as archive:
            arrays = dict(archive)
        np.savez(scan, **{**arrays, "xcoords": arrays["xcoords"] + 1})
    export_product_from_files(ScanFiles(scan), folder / "here.h5", options=options)
    export_on_cluster(client, ScanFiles(scan), folder / "there.h5", resume=True, options=options)
    assert (folder / "here.h5").read_bytes() == (folder / "there.h5").read_bytes()
    assert not hidden(folder)


def test_nothing_is_left_without_resume(client, scan):
    for shards in (None, 5):
        broken_run(client, scan, options=OPTIONS, shards=shards)
        assert sorted(path.name for path in scan.parent.iterdir()) == ["scan.npz"]
        broken_run(client, scan, options=OPTIONS, shards=shards, resume=True)
        assert hidden(scan.parent)
        broken_run(client, scan, options=OPTIONS, shards=shards)
        assert sorted(path.name for path in scan.parent.iterdir()) == ["scan.npz"]


def test_a_deflated_scan_cannot_be_resumed(client, scan):
    with np.load(scan) as archive:
        np.savez_compressed(scan.with_name("deflated.npz"), **archive)
    with pytest.raises(OptionError, match="deflated"):
        export_on_cluster(client, ScanFiles(scan.with_name("deflated.npz")), scan.parent / "there.h5", resume=True)
    assert not hidden(scan.parent)
