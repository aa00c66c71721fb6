"""The journal of a batch: what is done stays done, what has changed is done again."""

import hashlib
import json
import os

import pytest

from ptychoproduct.batch.jobs import Attempt, Job
from ptychoproduct.batch.journal import Journal


@pytest.fixture
def job(tmp_path):
    (tmp_path / "scan.npz").write_bytes(b"scan")
    (tmp_path / "positions.csv").write_bytes(b"1,2")
    (tmp_path / "scan.h5").write_bytes(b"product")
    (tmp_path / "patterns.h5").write_bytes(b"patterns")
    outputs = tmp_path / "scan.h5", (tmp_path / "patterns.h5",)
    return Job(tmp_path / "scan.npz", outputs[0], lambda: print, (tmp_path / "positions.csv",), outputs[1])


@pytest.fixture
def journal(tmp_path):
    def opened(command="convert", **options):
        return Journal(tmp_path / "journal.jsonl", command, options)

    return opened


def done(journal, job, error=None):
    journal.note_source(job)
    digests = tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in job.written)
    journal.add(job, Attempt(seconds=1.5, warnings=("w",), digests=digests), error)


def test_what_is_done_is_done_for_the_next_run_too(journal, job, tmp_path):
    done(journal(compression="fast"), job)
    assert journal(compression="fast").has_done(job)
    record = json.loads((tmp_path / "journal.jsonl").read_text())
    assert (record["command"], record["output"], record["source"]["bytes"]) == ("convert", "scan.h5", 4)
    assert (record["seconds"], record["warnings"], record["error"]) == (1.5, ["w"], None)


def test_what_is_not_noted_failed_or_was_done_otherwise_is_not_done(journal, job):
    assert not journal().has_done(job)
    done(journal(), job, "it is broken")
    assert not journal().has_done(job)
    done(journal(), job)
    assert journal().has_done(job)
    assert not journal(compression="fast").has_done(job)
    assert not journal("repack").has_done(job)


@pytest.mark.parametrize("name", ["scan.npz", "positions.csv", "scan.h5", "patterns.h5"])
@pytest.mark.parametrize("change", ["content", "time", "size", "gone"])
def test_a_file_that_has_changed_is_not_done(journal, job, tmp_path, name, change):
    done(journal(), job)
    path = tmp_path / name
    before = path.stat()
    if change == "gone":
        path.unlink()
    elif change == "time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))
    else:
        path.write_bytes(b"x" * (before.st_size + (change == "size")))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not journal().has_done(job)


@pytest.mark.parametrize("name", ["scan.h5", "patterns.h5"])
def test_a_byte_far_from_the_head_that_has_changed_is_noticed(journal, job, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(bytes(1_000_000))
    done(journal(), job)
    before = path.stat()
    path.write_bytes(bytes(900_000) + b"\1" + bytes(99_999))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not journal().has_done(job)


def test_a_source_that_changes_during_the_work_is_not_done(journal, job):
    opened = journal()
    opened.note_source(job)
    job.source.write_bytes(b"another")
    opened.add(job, Attempt(), None)
    assert not journal().has_done(job)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_the_journal_of_a_killed_run_is_read_and_continued(journal, job, tmp_path, cut):
    path = tmp_path / "journal.jsonl"
    done(journal(), job)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-cut])
    assert journal().has_done(job)
    done(journal(), job, "broken")
    assert not journal().has_done(job)
    assert json.loads(path.read_text().splitlines()[-1])["error"] == "broken"
