"""A scan as a command line names it: one file or several, of a kind that is seen or said."""

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

_KIND_NAMES = {NPZ: "an NPZ scan", NPY: "an NPY file", HDF5: "an HDF5 file"}


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
    positions, probe : optional
        As in `export_product_from_npy`; not with an NPZ scan, which has its own.
    positions_in : {"px", "m", "um"}, optional
        As in `export_product_from_npy`.

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

    def __post_init__(self) -> None:
        if self.kind is None:
            object.__setattr__(self, "kind", file_kind(Path(self.path)) or NPZ)
        kind = _KIND_NAMES[self.kind or NPZ]
        if self.dataset is not None and self.kind != HDF5:
            raise OptionError("dataset", found=f"it with {kind}", expected="it with an HDF5 file")
        for key in ("positions", "probe"):
            if getattr(self, key) is not None and self.kind == NPZ:
                raise OptionError(key, found=f"it with {kind}", expected="it with frames in an NPY or HDF5 file")
        if self.positions is None and self.kind == NPY:
            raise OptionError("positions", found=f"none with {kind}", expected="a CSV, NPZ or HDF5 file")


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
            yield npz_scan(archive, include_frames, resources, files.positions_in or "px")
        return

    from ptychoproduct.hdf5.folder_links import Hdf5Source
    from ptychoproduct.scan.frame_scan import Companions, hdf5_scan, npy_scan

    companions = Companions(files.positions, files.positions_in, files.probe)
    if files.kind == NPY:
        with NpyFile(path) as file:
            yield npy_scan(file, companions, resources)
        return
    with Hdf5Source(path) as source:
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
