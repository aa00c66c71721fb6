"""How many cores this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ptychoproduct_native import keep_freed_memory

_MOUNT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_limits: list[int] = []


def available_threads(mount: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> int:
    """Return the number of cores that affinity, control groups and `threads_limited_to` leave to this process.

    Parameters
    ----------
    mount, membership : Path
        Where Linux shows control groups.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    groups = control_groups("cpu", mount, membership)
    return max(1, min([affinity, *_limits, *(quota for group in groups for quota in _quota(group))]))


@contextmanager
def threads_limited_to(threads: int) -> Iterator[None]:
    """Have this process use so many cores at most, while the block runs."""
    _limits.append(threads)
    try:
        yield
    finally:
        _limits.remove(threads)


def control_groups(controller: str, mount: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> list[Path]:
    """Return the folders of the control groups that this process is in and that may limit it, innermost first.

    They are of either version of Linux's control groups; there are none on other systems.

    Parameters
    ----------
    controller : {"cpu", "memory"}
    mount, membership : Path
        See `available_threads`.
    """
    try:
        groups = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return []
    folders = []
    for _, controllers, group in groups:
        if controllers and controller not in controllers.split(","):
            continue
        root = mount / controller if controllers else mount  # version 2 has one tree for all controllers
        folder = root / group.lstrip("/")
        # A container sees its own group as the root, with no regard to its name outside.
        folders += [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]
    return folders


def _quota(group: Path) -> list[int]:
    """Return how many cores a group may use, where it has a limit.

    https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max), and cpu.cfs_quota_us of version 1
    """
    try:
        if (group / "cpu.max").exists():
            limit, period = (group / "cpu.max").read_text().split()
        else:
            limit = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
    except (OSError, ValueError):
        return []
    if not limit.isdigit() or not period.isdigit() or not int(period):
        return []  # "max", or -1: no limit
    return [-(-int(limit) // int(period))]


def prepare_process() -> None:
    """Keep the cores free for the frames; to be called before NumPy is imported.

    NumPy starts threads for linear algebra, which nothing here does, and they spin at first. Memory that is freed is
    kept for the next chunk.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    keep_freed_memory()
