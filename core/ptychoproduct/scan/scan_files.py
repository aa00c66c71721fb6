"""The files of a scan, and what kind they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError, SourceError
from ptychoproduct.npz.archive import NpzArchive
from ptychoproduct.npz.npy import NpyFile
from ptychoproduct.scan.assembly import Companions
from ptychoproduct.scan.given_parts import Given, with_given_parts
from ptychoproduct.scan.layouts import HDF5, IMAGES, NPY, NPZ, content_kind, file_kind
from ptychoproduct.scan.scan import Scan
from ptychoproduct.scan.selection import Numbers, selected_scan
from ptychoproduct.system.file_kinds import not_a
from ptychoproduct.system.resources import Resources

_KIND_NAMES = {NPZ: "an NPZ file", NPY: "an NPY file", HDF5: "an HDF5 file", IMAGES: "a series of images"}


@dataclass(frozen=True)
class ScanFiles:
    """Where a scan is.

    Parameters
    ----------
    path : path
        The file that holds the frames; or a folder of TIFF, CBF or EDF files, or a pattern of their names.
    kind : {"npz", "npy", "h5", "images"}, optional
        What it is; by default what its first bytes say.
    dataset : str, optional
        Path of the frames in an HDF5 file.
    frames_key : str, optional
        Key of the frames in an NPZ file; by default ``diff3d`` or ``diffraction``.
    drop : sequence of str
        Keys of an NPZ file that are left out, such as one that cannot be read.
    positions : path, or pair of arrays [N], optional
        A table of numbers (text, or an NPY array [N, 2]), an NPZ file with ``xcoords`` and ``ycoords``, an HDF5 file in
        a layout that is known, ``FILE:KEY`` for an array [N, 2] under another key; or x and y themselves. By default
        those of the NPZ or HDF5 file itself.
    positions_in : {"px", "m", "mm", "um", "nm"}, optional
        Their unit; by default what the file says, else metres where none is above 1e-3, else object pixels.
    probe : path or array, optional
        An NPY, NPZ or HDF5 file, ``FILE:KEY`` where the key is no usual one; or the probe itself. By default that of
        the file of positions, or of the NPZ or HDF5 file itself.
    positions_columns : str, optional
        Names of a table's columns, such as ``"y,x"`` or ``"index,x_um,y_um"``; by default its header.
    scan_step_m : float or pair of float, optional
        Of frames on a grid, [Ry, Rx, H, W], in place of `positions`: the step between rows, and that between columns.
        By default what an HDF5 file says.
    object, mask : path or array, optional
        As `probe`: object [H, W] or [L, H, W]; mask of a frame's size, not zero where a pixel is bad.
    frames : str, path, slice or sequence of int, optional
        Which frames are taken, see `selected_scan`; all by default.
    crop : tuple of int, optional
        Which pixels: rows and columns, then row and column of the middle, by default that of the frames. The probe must
        be one of that size.
    allow_gaps : bool
        Whether frames that an HDF5 file declares, and that are in no file, are a warning; they are an error by default.
    accept_damage : bool
        Whether a damaged product is taken as far as it can be read; a `DamageWarning` names what is damaged. Frames
        that are lost or have changed are left out with their positions, other arrays that cannot be read as well.

    Raises
    ------
    OptionError
        An argument does not go with that kind of file.
    SourceError
        The file is of no kind that is known.
    """

    path: str | PathLike[str]
    kind: str | None = None
    dataset: str | None = None
    positions: str | PathLike[str] | tuple[Array, Array] | None = None
    positions_in: str | None = None
    probe: str | PathLike[str] | Array | None = None
    positions_columns: str | None = None
    frames_key: str | None = None
    drop: Sequence[str] = ()
    allow_gaps: bool = False
    accept_damage: bool = False
    scan_step_m: float | tuple[float, ...] | None = None
    object: Given = None
    mask: Given = None
    frames: Numbers | None = None
    crop: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.drop, str):
            object.__setattr__(self, "drop", (self.drop,))
        if self.kind is None:
            object.__setattr__(self, "kind", _known_kind(Path(self.path)))
        this = f"{Path(self.path).name} is {_KIND_NAMES[self.kind or NPZ]}"
        if self.dataset is not None and self.kind != HDF5:
            raise OptionError("dataset", f"applies to HDF5 files; {this}")
        if self.accept_damage and self.kind != HDF5:
            raise OptionError("accept_damage", f"applies to products; {this}")
        for key in ("frames_key", "drop"):
            if getattr(self, key) and self.kind != NPZ:
                raise OptionError(key, f"applies to NPZ files; {this}")
        if self.scan_step_m is not None:
            steps = self.scan_steps_m or ()
            if len(steps) not in (1, 2) or not all(step > 0 and math.isfinite(step) for step in steps):
                raise OptionError("scan_step_m", "must be one or two lengths above zero: of rows, and of columns")
            if self.positions is not None:
                raise OptionError("scan_step_m", "cannot be used with positions; give only one of the two")
        elif self.positions is None and self.kind in (NPY, IMAGES):
            raise OptionError("positions", f"{this} without positions; give a file of positions")
        if self.positions_columns is not None and (self.positions is None or isinstance(self.positions, tuple)):
            raise OptionError("positions_columns", "names the columns of a file of positions, and no file is given")

    @property
    def scan_steps_m(self) -> tuple[float, ...] | None:
        """The steps of the scan as a tuple; None where none is given."""
        steps = self.scan_step_m
        return (float(steps),) if isinstance(steps, int | float) else steps


def _known_kind(path: Path) -> str:
    """Return what kind a file is; SourceError where it is none that is read here."""
    kind = content_kind(path)
    if kind is not None:
        return kind
    from ptychoproduct.scan.image_scan import is_series

    if is_series(path):
        return IMAGES
    wanted, kind = "an NPZ, NPY or HDF5 file", file_kind(path)
    problem = not_a(path, wanted) or (f"this is not {wanted}" if kind is None else None)
    if problem is not None and path.is_file():
        raise SourceError(path, problem)
    return kind or NPZ  # which says that there is none


@contextmanager
def opened_scan(
    files: ScanFiles, resources: Resources, include_frames: bool = True, axis_order: str = "auto"
) -> Iterator[Scan]:
    """Open a scan, its frames not read yet.

    Parameters
    ----------
    files : ScanFiles
    resources : Resources
        What may be used where frames' axes have to be reordered.
    include_frames : bool
        Whether there must be frames.
    axis_order : {"auto", "NHW", "HNW", "HWN"}
        Of the frames, for a selection.

    Raises
    ------
    SourceError
        A file is damaged, or the files do not hold a scan.
    """
    with _opened(files, resources, include_frames) as scan:
        scan = with_given_parts(scan, None, files.mask)
        is_of_whole_frames = files.probe is not None and files.positions is None
        scan = selected_scan(scan, files.frames, files.crop, axis_order, is_of_whole_frames)
        yield with_given_parts(scan, files.object, None)


@contextmanager
def _opened(files: ScanFiles, resources: Resources, include_frames: bool) -> Iterator[Scan]:
    # What reads one kind of file is not imported for another: that is a tenth of a small conversion's time.
    path = Path(files.path)
    companions = Companions(
        files.positions, files.positions_in, files.probe, files.positions_columns, files.scan_steps_m
    )
    if files.kind == NPZ:
        from ptychoproduct.scan.npz_scan import npz_scan

        with NpzArchive(path, files.drop) as archive:
            scan = npz_scan(archive, companions, resources, files.frames_key, include_frames)
            yield replace(scan, notes=(*scan.notes, f"left out: {', '.join(files.drop)}")) if files.drop else scan
        return
    if files.kind == IMAGES:
        from ptychoproduct.scan.image_scan import image_scan

        yield image_scan(path, companions)
        return

    from ptychoproduct.hdf5.folder_links import Hdf5Source
    from ptychoproduct.scan.frame_scan import hdf5_scan, npy_scan

    if files.kind == NPY:
        with NpyFile(path) as file:
            yield npy_scan(file, companions, resources)
        return
    from ptychoproduct.hdf5.local_links import naming_damage

    with naming_damage(path), Hdf5Source(path, files.allow_gaps, files.accept_damage) as source:
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
    if files.kind == IMAGES:
        from ptychoproduct.scan.image_scan import image_paths
        from ptychoproduct.streaming.image_rows import image_series

        series = image_series(image_paths(path))
        return series.ends[-1] * math.prod(series.shape) * series.dtype.itemsize
    if files.kind == HDF5:
        from ptychoproduct.hdf5.folder_links import Hdf5Source
        from ptychoproduct.scan.frame_scan import frames_dataset, product_recipe

        with Hdf5Source(path, accept_damage=files.accept_damage) as source:
            dataset = frames_dataset(source, files.dataset)
            recipe = product_recipe(dataset)
            dtype = dataset.dtype if recipe is None else np.dtype(recipe.amplitude_dtype)
            nbytes: int = dataset.size * dtype.itemsize
            return nbytes
    from ptychoproduct.scan.npz_scan import FRAME_KEYS

    with NpzArchive(path, files.drop) as archive:
        keys = FRAME_KEYS if files.frames_key is None else (files.frames_key,)
        return max((archive.members[key].nbytes for key in keys if key in archive.members), default=0)
