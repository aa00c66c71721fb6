"""The files of a scan, and what kind they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError
from ptychoproduct.model import contract
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.npz.npy import NpyFile
from ptychoproduct.scan.layouts import HDF5, NPY, NPZ, file_kind
from ptychoproduct.scan.scan import Scan
from ptychoproduct.system.resources import Resources

_KIND_NAMES = {NPZ: "an NPZ file", NPY: "an NPY file", HDF5: "an HDF5 file"}


@dataclass(frozen=True)
class ScanFiles:
    """Where a scan is.

    Parameters
    ----------
    path : path
        The file that holds the frames.
    kind : {"npz", "npy", "h5"}, optional
        What it is; by default what its first bytes say.
    dataset : str, optional
        Path of the frames in an HDF5 file.
    positions : path, or pair of arrays [N], optional
        A table of numbers (text, or an NPY array [N, 2]), an NPZ file with ``xcoords`` and ``ycoords``, an HDF5 file in
        a layout that is known; or x and y themselves. By default those of an HDF5 file itself; not with an NPZ scan,
        which has its own.
    positions_in : {"px", "m", "mm", "um", "nm"}, optional
        Their unit; by default what the file says, else metres where none is above 1e-3, else object pixels.
    probe : path or array, optional
        An NPY, NPZ or HDF5 file, ``FILE:KEY`` where the key is no usual one; or the probe itself. By default that of
        the file of positions, or of an HDF5 file itself; not with an NPZ scan.
    positions_columns : str, optional
        Names of a table's columns, such as ``"y,x"`` or ``"index,x_um,y_um"``; by default its header.

    Raises
    ------
    OptionError
        An argument does not go with that kind of file.
    """

    path: str | PathLike[str]
    kind: str | None = None
    dataset: str | None = None
    positions: str | PathLike[str] | tuple[Array, Array] | None = None
    positions_in: str | None = None
    probe: str | PathLike[str] | Array | None = None
    positions_columns: str | None = None

    def __post_init__(self) -> None:
        if self.kind is None:
            object.__setattr__(self, "kind", file_kind(Path(self.path)) or NPZ)
        this = f"{Path(self.path).name} is {_KIND_NAMES[self.kind or NPZ]}"
        if self.dataset is not None and self.kind != HDF5:
            raise OptionError("dataset", f"applies to HDF5 files; {this}")
        for key in ("positions", "probe"):
            if getattr(self, key) is not None and self.kind == NPZ:
                raise OptionError(key, f"applies to NPY and HDF5 files; {this}")
        if self.positions is None and self.kind == NPY:
            raise OptionError("positions", f"{this} without positions; give a file of positions")
        if self.positions_columns is not None and (self.positions is None or isinstance(self.positions, tuple)):
            raise OptionError("positions_columns", "names the columns of a file of positions, and no file is given")


@contextmanager
def opened_scan(files: ScanFiles, resources: Resources, include_frames: bool = True) -> Iterator[Scan]:
    """Open a scan, its frames not read yet.

    Parameters
    ----------
    files : ScanFiles
    resources : Resources
        What may be used where frames' axes have to be reordered.
    include_frames : bool
        Whether there must be frames.

    Raises
    ------
    SourceError
        A file is damaged, or the files do not hold a scan.
    """
    # What reads one kind of file is not imported for another: that is a tenth of a small conversion's time.
    path = Path(files.path)
    if files.kind == NPZ:
        from ptychoproduct.scan.npz_scan import npz_scan

        with NpzArchive(path) as archive:
            yield npz_scan(archive, include_frames, resources, files.positions_in)
        return

    from ptychoproduct.hdf5.folder_links import Hdf5Source
    from ptychoproduct.scan.frame_scan import Companions, hdf5_scan, npy_scan

    companions = Companions(files.positions, files.positions_in, files.probe, files.positions_columns)
    if files.kind == NPY:
        with NpyFile(path) as file:
            yield npy_scan(file, companions, resources)
        return
    from ptychoproduct.hdf5.local_links import naming_damage

    with naming_damage(path), Hdf5Source(path) as source:
        yield hdf5_scan(source, companions, resources, files.dataset, include_frames)


def frame_bytes(files: ScanFiles) -> int:
    """Return the size of a scan's frames, without reading them; 0 where an NPZ scan has none.

    Raises
    ------
    SourceError
        The file cannot be read.
    """
    path = Path(files.path)
    if files.kind == NPY:
        with NpyFile(path) as file:
            return file.array.nbytes
    if files.kind == HDF5:
        from ptychoproduct.hdf5.folder_links import Hdf5Source
        from ptychoproduct.scan.frame_scan import frames_dataset, product_recipe

        with Hdf5Source(path) as source:
            dataset = frames_dataset(source, files.dataset)
            recipe = product_recipe(dataset)
            dtype = dataset.dtype if recipe is None else np.dtype(recipe.amplitude_dtype)
            nbytes: int = dataset.size * dtype.itemsize
            return nbytes
    with NpzArchive(path) as archive:
        return max((archive.members[key].nbytes for key in contract.FRAME_KEYS if key in archive.members), default=0)
