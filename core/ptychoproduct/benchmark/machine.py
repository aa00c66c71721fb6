"""The machine that a measurement was made on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ptychoproduct.system.process import available_threads, control_groups

# If the system does not tell: enough for the smaller scans.
_ASSUMED_MEMORY_BYTES = 4 * 1024**3
PACKAGES = ("ptychoproduct", "numpy", "h5py", "hdf5plugin", "isal")


@dataclass(frozen=True)
class Machine:
    """A machine, and a folder on it.

    Parameters
    ----------
    system : str
        Operating system and release.
    cpu : str
        Model.
    cores : int
        That this process may use.
    load : float or None
        Processes that wanted a core over the last minute; None where the system does not tell.
    memory_bytes : int
        That this process may use.
    folder : str
    file_system : str
        Of the folder.
    versions : dict of str
        Of Python, HDF5 and packages; those that are not installed are absent.
    """

    system: str
    cpu: str
    cores: int
    load: float | None
    memory_bytes: int
    folder: str
    file_system: str
    versions: dict[str, str]


def describe_machine(folder: Path, packages: Iterable[str] = ()) -> Machine:
    """Describe the machine.

    Parameters
    ----------
    folder : Path
        Where files are written.
    packages : iterable of str
        Distributions whose versions matter, besides those that this package is made with.
    """
    import h5py

    versions = {"Python": platform.python_version(), "HDF5": h5py.version.hdf5_version}
    for package in dict.fromkeys((*PACKAGES, *packages)):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        cpu=_cpu_model(),
        cores=available_threads(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        memory_bytes=min([_physical_memory_bytes(), *_memory_limits_bytes()]),
        folder=str(folder.resolve()),
        file_system=_file_system(folder.resolve()),
        versions=versions,
    )


def available_memory_bytes() -> int:
    """Return how much memory can be used without swapping."""
    free = [_physical_memory_bytes(), *_memory_limits_bytes()]
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    return min(free)


def _cpu_model() -> str:
    for line in _lines("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return " ".join(value.split())
    return platform.processor() or platform.machine()


def _physical_memory_bytes() -> int:
    if not hasattr(os, "sysconf"):  # Windows
        return _ASSUMED_MEMORY_BYTES
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _memory_limits_bytes() -> list[int]:
    """Return the limits of the control groups that this process is in."""
    files = [group / name for group in control_groups("memory") for name in ("memory.max", "memory.limit_in_bytes")]
    return [int(line) for file in files for line in _lines(file) if line.isdecimal()]


def _file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on, by the last mount above it."""
    found, depth = "unknown", -1
    for line in _lines("/proc/mounts"):
        mount, kind = line.split()[1:3]
        point = Path(mount.encode().decode("unicode_escape"))  # blanks are written as \040
        if folder.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = kind, len(point.parts)
    return found


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
