"""Batches on a cluster of two processes."""

import time
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from threading import Timer

import pytest

from ptychoproduct import ExportOptions, OptionError, ProductError, SourceError, export_product_from_npz
from ptychoproduct.batch import cluster
from ptychoproduct.batch.cluster import connected, one_scan_a_task
from ptychoproduct.batch.jobs import Job
from ptychoproduct.batch.run import run_batch
from ptychoproduct.system.part_files import held_part, new_name
from ptychoproduct.system.process import available_threads

pytestmark = pytest.mark.slow


AUTO = ExportOptions(object_center="auto")


def fine_work():
    """Return a function that is pickled by value, as workers cannot import this file."""

    def fine(progress):
        progress(0)
        return "fine"

    return fine


def prepared(work):
    return lambda: work


def jobs_of(tmp_path, works):
    return [Job(Path(name), tmp_path / f"{name}.h5", prepared(work)) for name, work in works.items()]


def test_scans_become_the_same_products_as_here(client, save_scan, tmp_path):
    works = {}
    for name in "abcde":
        scan = save_scan(f"{name}.npz")
        export_product_from_npz(scan, tmp_path / f"{name}_here.h5", options=AUTO)
        works[name] = partial(export_product_from_npz, scan, tmp_path / f"{name}.h5", options=AUTO)
    (tmp_path / "c.npz").write_bytes(b"no scan")
    outcomes = run_batch(jobs_of(tmp_path, works), partial(one_scan_a_task, client))
    statuses = {str(outcome.job.source): outcome.status for outcome in outcomes}
    assert statuses == {name: "failed" if name == "c" else "done" for name in "abcde"}
    error = next(outcome.attempt.error for outcome in outcomes if outcome.error)
    assert (type(error), error.file) == (SourceError, str(tmp_path / "c.npz"))  # as whole as it was on the worker
    for name in "abde":
        assert (tmp_path / f"{name}.h5").read_bytes() == (tmp_path / f"{name}_here.h5").read_bytes()


def test_a_scan_has_the_threads_of_its_worker_and_reports_progress(client, tmp_path):
    def threads(progress):
        from ptychoproduct.system.process import available_threads

        progress(7)
        return available_threads()

    counted = []
    for name in "ab":  # stand for what is written
        (tmp_path / f"{name}.h5").touch()
    outcomes = run_batch(
        jobs_of(tmp_path, dict.fromkeys("ab", threads)), partial(one_scan_a_task, client), progress=counted.append
    )
    given = set(client.nthreads().values())
    assert {outcome.attempt.summary for outcome in outcomes} == given == {max(1, available_threads() // 2)}
    for _ in range(100):
        if sum(counted) == 14:
            break
        time.sleep(0.05)
    assert sum(counted) <= 14


def test_closing_ends_what_is_running_and_leaves_nothing(client, make_scan, tmp_path):
    import numpy as np

    scan = tmp_path / "long.npz"
    frames = np.random.default_rng(0).random((4000, 64, 64), np.float32)
    np.savez(scan, **make_scan(diff3d=frames, xcoords=np.arange(4000.0), ycoords=np.arange(4000.0), scan_index=None))
    slow = ExportOptions(compression="bzip2:9", object_center="auto")
    works = {
        "quick": fine_work(),
        "long": partial(export_product_from_npz, scan, tmp_path / "long.h5", options=slow),
    }
    with closing(one_scan_a_task(client, jobs_of(tmp_path, works), lambda _: None)) as running:
        assert next(running)[0].source == Path("quick")
        while not list(tmp_path.glob(".*.part")):
            time.sleep(0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.npz"]


def test_what_kills_its_worker_three_times_is_given_up_and_others_go_on(client, tmp_path):
    counter = tmp_path / "deaths"

    def deadly(progress):
        import os

        progress(0)
        with counter.open("a") as file:
            file.write("x")
        os._exit(9)

    works = {"a": fine_work(), "killer": deadly, **dict.fromkeys("bcd", fine_work())}
    for name in works:  # stand for what is written
        (tmp_path / f"{name}.h5").touch()
    outcomes = run_batch(jobs_of(tmp_path, works), partial(one_scan_a_task, client))
    assert sorted(outcome.status for outcome in outcomes) == ["done"] * 4 + ["failed"]
    (failed,) = (outcome for outcome in outcomes if outcome.status == "failed")
    assert failed.job.source == Path("killer")
    assert "3 workers died" in failed.error
    assert counter.read_text() == "xxx"


def test_what_a_lost_worker_still_does_is_waited_for(tmp_path):
    (job,) = jobs_of(tmp_path, {"a": fine_work()})
    part = new_name(job.output, ".part")
    with ExitStack() as held:
        held.enter_context(held_part(part))
        Timer(0.3, held.pop_all().close).start()
        cluster._settle([job])
    assert not list(tmp_path.iterdir())


def test_a_cluster_that_is_not_there(tmp_path):
    for address in (str(tmp_path / "none.json"), "local:0"):
        with pytest.raises(OptionError, match="cluster"), connected(address):
            pass


def test_errors_are_whole_in_another_process():
    import pickle

    error = OptionError("chunk_shape", found="3", expected="4", file="f")
    error.add_note("removed it")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (OptionError, str(error), vars(error))
    assert isinstance(again, ProductError)
