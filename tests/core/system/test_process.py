"""Cores that affinity and control groups leave."""

import os

import pytest

from ptychoproduct.system.process import available_threads

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.fixture
def cgroups(tmp_path):
    """A function that writes files as Linux shows control groups, and returns the arguments that lead there."""

    def make(membership, files):
        (tmp_path / "membership").write_text(membership)
        for name, text in files.items():
            path = tmp_path / "mount" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "mount", tmp_path / "membership"

    return make


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("0::/", {"cpu.max": "100000 100000\n"}),
        ("0::/user/scan", {"user/scan/cpu.max": "50000 100000\n"}),
        ("0::/user/scan", {"user/cpu.max": "100000 100000\n", "user/scan/cpu.max": "max 100000\n"}),
        ("0::/outside/name", {"cpu.max": "100000 100000\n"}),
        ("4:cpu,cpuacct:/job", {"cpu/job/cpu.cfs_quota_us": "100000\n", "cpu/job/cpu.cfs_period_us": "100000\n"}),
    ],
    ids=["root", "own group", "parent", "container", "version 1"],
)
def test_a_quota_of_one_core_leaves_one_thread(cgroups, membership, files):
    assert available_threads(*cgroups(membership, files)) == 1


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("", {}),
        ("0::/", {}),
        ("0::/", {"cpu.max": "max 100000\n"}),
        ("0::/", {"cpu.max": "nonsense\n"}),
        ("0::/", {"cpu.max": "100000 0\n"}),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}),
        ("5:memory:/job", {"cpu/job/cpu.cfs_quota_us": "100000\n", "cpu/job/cpu.cfs_period_us": "100000\n"}),
    ],
)
def test_no_quota_leaves_every_core(cgroups, membership, files):
    assert available_threads(*cgroups(membership, files)) == CORES


def test_a_system_without_control_groups_leaves_every_core(tmp_path):
    assert available_threads(tmp_path / "mount", tmp_path / "membership") == CORES


def test_a_part_of_a_core_counts_as_one(cgroups):
    assert available_threads(*cgroups("0::/", {"cpu.max": "1000 100000\n"})) == 1


def test_a_quota_above_the_cores_does_not_count(cgroups):
    assert available_threads(*cgroups("0::/", {"cpu.max": "100000000 100000\n"})) == CORES


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_affinity_counts(tmp_path):
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert available_threads(tmp_path, tmp_path / "membership") == 1
    finally:
        os.sched_setaffinity(0, cores)
