"""Several datasets as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py


def join(path: Path, name: str, parts: Sequence[h5py.Dataset]) -> None:
    """Write a file of a few kilobytes, in which datasets that follow each other are one virtual dataset.

    HDF5 opens the files of a virtual dataset as the file of that is opened: it must be on the disk, and read only.
    """
    layout = h5py.VirtualLayout((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    first = 0
    for part in parts:
        layout[first : first + len(part)] = h5py.VirtualSource(part)
        first += len(part)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset(name, layout)
