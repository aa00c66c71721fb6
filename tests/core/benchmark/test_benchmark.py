import json
import subprocess
import sys
import zipfile
from dataclasses import asdict, replace

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
import pytest

from ptychoproduct import OptionError, OutputError
from ptychoproduct.benchmark import job as job_module
from ptychoproduct.benchmark import rounds
from ptychoproduct.benchmark.benchmark import GROWTH, BenchmarkOptions, affordable, entry, run_benchmark
from ptychoproduct.benchmark.cases import Case
from ptychoproduct.benchmark.job import Job, JobError, run_job
from ptychoproduct.benchmark.machine import available_memory_bytes, describe_machine
from ptychoproduct.benchmark.report import Result, Timing
from ptychoproduct.benchmark.rounds import hold, random_batches
from ptychoproduct.benchmark.tools import (
    ACTIONS,
    DATASET,
    OURS,
    PEERS,
    TOOLS,
    flush,
    holds_the_frames,
    import_frames,
    ptychopinn,
    size_bytes,
)
from ptychoproduct.compression.codecs import parse_codec

CASE = Case(frames=70, size_px=16)
INSTALLED = [tool.name for tool in TOOLS.values() if not tool.missing()]
READERS = [name for name in INSTALLED if TOOLS[name].frames]
CODECS = ("none", "gzip:1", "shuffle+gzip:1", "zstd:1", "shuffle+zstd:1", "bitshuffle-lz4", "bitshuffle-zstd:1")
TINY_MB = CASE.nbytes / 1e6

pytestmark = pytest.mark.filterwarnings("ignore::ptychoproduct.errors.ProductWarning")


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.npz"
    CASE.write(path)
    return path


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def settings(tool, codec="zstd:1", threads=2):
    return entry(tool, CASE, parse_codec(codec), threads).settings


def options(work, **changes):
    values = {"size_px": 16, "megabytes": (TINY_MB,), "rounds": 1, "peers": ("cp",)}
    return BenchmarkOptions(work, **values | changes)


def timing(tool, ratio):
    return Timing(tool, None, (1.0,), 1.0, 1.0, ratio, 0.1, 1, None, None)


# Scans


@pytest.mark.parametrize("quantity", ["amplitude", "counts"])
def test_a_scan_has_the_frames_of_its_case(tmp_path, quantity):
    case = Case(600, 16, quantity)
    case.write(tmp_path / "scan.npz")
    frames = np.load(tmp_path / "scan.npz")["diff3d"]
    assert (frames.shape, frames.dtype, frames.nbytes) == ((600, 16, 16), case.dtype, case.nbytes)


def test_no_two_frames_of_a_scan_are_the_same_where_they_come_again(tmp_path):
    case = Case(1500, 16)  # 512 are simulated
    case.write(tmp_path / "scan.npz")
    frames = np.load(tmp_path / "scan.npz")["diff3d"]
    assert len({frame.tobytes() for frame in frames}) == 1500


def test_a_scan_can_be_deflated(tmp_path):
    replace(CASE, deflated=True).write(tmp_path / "scan.npz")
    with zipfile.ZipFile(tmp_path / "scan.npz") as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_DEFLATED}


def test_nothing_is_left_beside_a_scan(scan):
    assert list(scan.parent.iterdir()) == [scan]


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"size_px": 1}, {"quantity": "phase"}])
def test_a_case_that_cannot_be_is_refused(wrong):
    with pytest.raises(OptionError):
        Case(**{"frames": 10} | wrong)


# Tools


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", READERS)
def test_a_tool_gives_back_the_frames_it_was_given(scan, tmp_path, name, codec):
    tool, output = TOOLS[name], tmp_path / f"product{TOOLS[name].suffix}"
    tool.convert(scan, output, settings(tool, codec))
    with tool.frames(output, settings(tool, codec)) as read:
        assert np.array_equal(read(None), np.load(scan)["diff3d"])


@pytest.mark.parametrize("name", READERS)
def test_a_tool_gives_the_frames_of_a_batch(scan, tmp_path, name):
    tool, output = TOOLS[name], tmp_path / f"product{TOOLS[name].suffix}"
    tool.convert(scan, output, settings(tool))
    with tool.frames(output, settings(tool)) as read:
        assert np.array_equal(read([0, 3, 4, 69]), np.load(scan)["diff3d"][[0, 3, 4, 69]])


@pytest.mark.parametrize("name", READERS)
def test_a_tool_imports_what_it_has_converted(scan, tmp_path, name):
    tool, output = TOOLS[name], tmp_path / f"product{TOOLS[name].suffix}"
    tool.convert(scan, output, settings(tool))
    import_frames(tool, output, tmp_path / "again.npz", settings(tool))
    assert np.array_equal(np.load(tmp_path / "again.npz")["diff3d"], np.load(scan)["diff3d"])


@pytest.mark.parametrize("name", INSTALLED)
def test_what_a_tool_converts_holds_the_frames(scan, tmp_path, name):
    tool, output = TOOLS[name], tmp_path / f"product{TOOLS[name].suffix}"
    tool.convert(scan, output, settings(tool))
    assert holds_the_frames(tool, output, scan, settings(tool))


def test_what_differs_in_one_pixel_does_not_hold_the_frames(scan, tmp_path):
    OURS.convert(scan, tmp_path / "product.h5", settings(OURS, "none"))
    with h5py.File(tmp_path / "product.h5", "r+") as file:
        file[DATASET][69, 15, 15] += 1
    assert not holds_the_frames(OURS, tmp_path / "product.h5", scan, settings(OURS))


def test_a_copy_that_differs_does_not_hold_the_frames(scan, tmp_path):
    (tmp_path / "copy.npz").write_bytes(scan.read_bytes()[:-1] + b"x")
    assert not holds_the_frames(TOOLS["cp"], tmp_path / "copy.npz", scan, settings(TOOLS["cp"]))


def test_ptychopinns_way_is_gzip_4_with_shuffle_in_guessed_chunks(scan, tmp_path):
    ptychopinn(scan, tmp_path / "product.h5", settings(TOOLS["PtychoPINN"]))
    with h5py.File(tmp_path / "product.h5") as file:
        frames = file[DATASET]
        guess = h5py._hl.filters.guess_chunk(frames.shape, (None,) * 3, frames.dtype.itemsize)
        found = (frames.compression, frames.compression_opts, frames.shuffle, frames.chunks)
    assert found == ("gzip", 4, True, guess)


def test_h5py_writes_the_filter_and_the_chunks_that_we_write(scan, tmp_path):
    found = []
    for name in (OURS.name, "h5py"):
        tool, output = TOOLS[name], tmp_path / f"{name}.h5"
        tool.convert(scan, output, settings(tool, "bitshuffle-zstd:2"))
        with h5py.File(output) as file:
            found.append((file[DATASET].chunks, file[DATASET]._filters))
    assert found[0] == found[1]


def test_flushing_takes_files_folders_and_what_is_not_there(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("1234")
    for path in (tmp_path / "folder", tmp_path / "folder" / "file", tmp_path / "missing"):
        flush(path)
    assert size_bytes(tmp_path / "folder") == 4


def test_a_tool_without_its_package_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    assert TOOLS["tensorstore"].missing() == "tensorstore"


# Runs


@pytest.mark.parametrize("action", ACTIONS)
def test_a_process_does_what_it_is_told(scan, tmp_path, action):
    paths = (str(scan), str(tmp_path / "product.h5"), str(tmp_path / "again.npz"))
    OURS.convert(scan, tmp_path / "product.h5", settings(OURS))
    outcome, whole_s = run_job(Job(OURS.name, action, *paths, settings(OURS), [[1, 2]], check=True))
    assert outcome.correct
    assert 0 < outcome.seconds <= outcome.busy_s < whole_s


@pytest.mark.parametrize("action", ["import", "batch"])
def test_a_process_notices_wrong_frames(scan, tmp_path, action):
    TOOLS["h5py"].convert(scan, tmp_path / "product.h5", settings(OURS, "none"))
    with h5py.File(tmp_path / "product.h5", "r+") as file:
        file[DATASET][2, 0, 0] += 1
    paths = (str(scan), str(tmp_path / "product.h5"), str(tmp_path / "again.npz"))
    outcome, _ = run_job(Job("h5py", action, *paths, settings(OURS), [[1, 2]], check=True))
    assert not outcome.correct


def test_a_process_that_fails_tells_why(tmp_path):
    job = Job("np.load", "convert", str(tmp_path / "missing.npz"), "", "", settings(OURS), [], check=False)
    with pytest.raises(JobError, match=r"missing\.npz"):
        run_job(job)


def test_a_process_imports_nothing_that_its_tool_does_not_need():
    code = "import sys, runpy; runpy.run_path(sys.argv[1]); print(*sys.modules)"
    command = [sys.executable, "-P", "-c", code, job_module.__file__]
    imported = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert imported.isdisjoint({"h5py", "hdf5plugin", "zarr", "tensorstore", "ptychoproduct_native"})
    ours = {name for name in imported if name.startswith("ptychoproduct.")}
    small = {f"ptychoproduct.{name}" for name in ("aliases", "system", "system.version")}
    assert ours == {"ptychoproduct.benchmark", "ptychoproduct.benchmark.tools"} | small


def test_a_job_survives_its_spelling():
    job = Job(
        "zarr", "batch", "a", "b", "c", settings(TOOLS["zarr"], "bitshuffle-zstd:1"), [[1, 2], [3, 4]], check=True
    )
    assert Job.from_json(job.to_json()).to_json() == job.to_json()


def test_all_take_turns_and_each_round_begins_with_another(scan, work):
    entries = [entry(TOOLS[name], CASE, parse_codec("none"), 1) for name in ("np.load", "cp")]
    said = []
    hold(scan, CASE.frames, "convert", entries, 2, work, lambda text, *_: said.append(text))
    assert said == [
        *("check: np.load", "check: cp"),
        *("round 1 of 2: cp", "round 1 of 2: np.load"),
        *("round 2 of 2: np.load", "round 2 of 2: cp"),
    ]


def test_checks_are_not_counted(scan, work):
    entries = [entry(TOOLS["cp"], CASE, parse_codec("none"), 1)]
    (record,) = hold(scan, CASE.frames, "convert", entries, 2, work, lambda *_: None)
    assert (len(record.runs), record.problem) == (2, None)


def test_nothing_is_left_of_the_runs(scan, work):
    entries = [entry(TOOLS[name], CASE, parse_codec("none"), 1) for name in (OURS.name, "h5py")]
    hold(scan, CASE.frames, "import", entries, 1, work, lambda *_: None)
    assert list(work.iterdir()) == []


def test_a_tool_with_wrong_frames_is_not_measured(scan, work, monkeypatch):
    real = run_job

    def run_wrongly(job):
        outcome, whole_s = real(job)
        return replace(outcome, correct=False), whole_s

    monkeypatch.setattr(rounds, "run_job", run_wrongly)
    entries = [entry(TOOLS["cp"], CASE, parse_codec("none"), 1)]
    (record,) = hold(scan, CASE.frames, "convert", entries, 1, work, lambda *_: None)
    assert (record.runs, record.problem) == ((), "its frames differ from the scan's")


def test_batches_are_64_distinct_frames_in_order():
    for batch in random_batches(1000, seed=1):
        assert batch == sorted(set(batch))
        assert (len(batch), min(batch) >= 0, max(batch) < 1000) == (64, True, True)


# Reports


@pytest.mark.parametrize("action", ACTIONS)
def test_a_report_has_every_tool_that_takes_part(work, action):
    report = run_benchmark(options(work, action=action, peers=("h5py", "cp")))
    (result,) = report.results
    expected = [OURS.name, "h5py", *(["cp"] if action == "convert" else [])]
    assert [timing.tool for timing in result.timings if timing.median_s] == expected


def test_a_peer_that_is_not_installed_is_absent_with_a_word(work, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    report = run_benchmark(options(work, peers=("zarr",)))
    assert report.absent == {"zarr": "not installed: pip install zarr"}


def test_our_own_ratio_is_1(work):
    (result,) = run_benchmark(options(work)).results
    assert result.of(OURS.name).ratio == 1


def test_a_report_can_be_spelled_as_json(work):
    report = run_benchmark(options(work))
    assert json.loads(json.dumps(asdict(report)))["results"][0]["timings"][1]["tool"] == "cp"


def test_the_folder_is_empty_afterwards(work):
    run_benchmark(options(work))
    assert list(work.iterdir()) == []


def test_several_numbers_of_threads_are_compared(work):
    report = run_benchmark(options(work, threads=(2, 1)))
    assert [(scaling.tool, scaling.threads) for scaling in report.scaling] == [(OURS.name, 1), (OURS.name, 2)]


def test_efficiency_is_the_speed_up_by_thread(work):
    first, second = run_benchmark(options(work, threads=(1, 2))).scaling
    assert (first.speed_up, first.efficiency, second.efficiency) == (1, 1, second.speed_up / 2)


def test_the_best_peer_is_the_fastest_that_compresses():
    timings = (timing(OURS.name, 1.0), timing("h5py", 0.4), timing("tensorstore", 0.7), timing("cp", 3.0))
    assert Result(CASE, TINY_MB, timings).ratio_to_best == 0.7


def test_our_own_failure_ends_the_benchmark(work, monkeypatch):
    def fail(_):
        raise JobError("no room")

    monkeypatch.setattr(rounds, "run_job", fail)
    with pytest.raises(OutputError, match="no room"):
        run_benchmark(options(work))


def test_sizes_end_when_the_time_is_used_up(work):
    report = run_benchmark(options(work, megabytes=(), seconds=0.01))
    assert len(report.results) == 1


@pytest.mark.slow
def test_sizes_grow_as_long_as_there_is_room(work, monkeypatch):
    monkeypatch.setattr("ptychoproduct.benchmark.benchmark.SMALLEST_MB", TINY_MB)
    ten_times = 10 * TINY_MB * 1e6 * GROWTH  # of memory, so not enough for a third size
    monkeypatch.setattr("ptychoproduct.benchmark.benchmark.available_memory_bytes", lambda: ten_times)
    first, second = run_benchmark(options(work, megabytes=(), seconds=600)).results
    assert second.megabytes == pytest.approx(first.megabytes * GROWTH, rel=0.02)


@pytest.mark.slow
def test_one_size_is_measured_where_there_is_no_time(work, monkeypatch):
    monkeypatch.setattr("ptychoproduct.benchmark.benchmark.SMALLEST_MB", TINY_MB)
    (only,) = run_benchmark(options(work, megabytes=(), seconds=0.001)).results
    assert only.megabytes == pytest.approx(TINY_MB, rel=0.1)


def test_the_slowest_peers_are_left_out_where_time_is_short():
    left = affordable({OURS.name: 2.0, "PtychoPINN": 20.0, "zarr": 5.0, "cp": 1.0}, 9.0)
    assert [tool.name for tool in left] == [OURS.name, "zarr", "cp"]


def test_nothing_is_left_where_there_is_no_time_for_us():
    assert affordable({OURS.name: 10.0, "cp": 1.0}, 9.0) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "guess"},
        {"threads": (0,)},
        {"rounds": 0},
        {"megabytes": (0.0,)},
        {"seconds": float("nan")},
        {"peers": ("hdf4",)},
        {"codec": "zip"},
        {"size_px": 3},
    ],
)
def test_an_option_that_is_not_understood_is_refused(work, wrong):
    with pytest.raises(OptionError):
        options(work, **wrong)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(OptionError, match="there is no folder"):
        BenchmarkOptions(tmp_path / "missing")


# The machine


def test_a_machine_has_cores_memory_and_versions(tmp_path):
    machine = describe_machine(tmp_path)
    assert machine.cores >= 1
    assert 0 < available_memory_bytes() <= machine.memory_bytes
    assert {"Python", "HDF5", "numpy", "h5py", "hdf5plugin", "isal"} <= set(machine.versions)


def test_memory_without_a_limit_is_all_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr("ptychoproduct.benchmark.machine._lines", lambda _: [])
    assert describe_machine(tmp_path).memory_bytes == available_memory_bytes() > 0


def test_a_package_that_is_not_installed_has_no_version(tmp_path):
    assert "no-such-package" not in describe_machine(tmp_path, ["no-such-package"]).versions


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's table of mounts")
def test_a_file_system_is_that_of_the_nearest_mount(tmp_path, monkeypatch):
    folder = tmp_path / "a b"
    folder.mkdir()
    mounts = ["disk / ext4 rw 0 0", f"here {str(folder).replace(' ', chr(92) + '040')} tmpfs rw 0 0"]
    monkeypatch.setattr("ptychoproduct.benchmark.machine._lines", lambda path: mounts if path == "/proc/mounts" else [])
    assert (describe_machine(folder).file_system, describe_machine(tmp_path).file_system) == ("tmpfs", "ext4")


def test_every_peer_has_a_name_and_a_description():
    assert all(tool.name and tool.convert.__doc__ for tool in (OURS, *PEERS))


def test_h5py_gets_the_nearest_level_in_place_of_a_setting_that_it_would_write_as_level_22():
    found = settings(TOOLS["h5py"], "bitshuffle-zstd:fast7,block=256KiB")
    assert found.codec == "bitshuffle-zstd:fast7,block=256KiB"
    assert found.hdf5_filters == settings(TOOLS["h5py"], "bitshuffle-zstd:1,block=256KiB").hdf5_filters
