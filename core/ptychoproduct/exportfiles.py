"""From a scan in files to a product."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ptychoproduct.cores import available_threads
from ptychoproduct.diffractionfile import DiffractionFile
from ptychoproduct.export import Reconstruction, export_product_from_scan
from ptychoproduct.exportsummary import ExportSummary
from ptychoproduct.filekinds import HDF5, NPY, NPZ
from ptychoproduct.metadata import ExportMeta
from ptychoproduct.options import ExportOptions
from ptychoproduct.reordering import Reordering
from ptychoproduct.scanfiles import ScanFiles, opened_scan
from ptychoproduct.streaming import Progress

Array = np.ndarray[Any, Any]


def export_product_from_npz(
    npz_path: str | PathLike[str],
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    positions_in: str | None = None,
    reconstruction: Reconstruction | None = None,
    diffraction: DiffractionFile | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    reorder_progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan in PtychoPINN's NPZ format, streaming its frames.

    Parameters
    ----------
    npz_path : path
        With ``xcoords``, ``ycoords``, ``probeGuess`` and, unless `include_raw` is false, ``diff3d`` or
        ``diffraction``. Every other key is kept in ``/raw_data``.
    out_path : path
        ``*.h5`` or ``*.hdf5``; appears when it is complete.
    meta : ExportMeta, optional
    include_raw : bool
        Whether ``/raw_data`` is written.
    positions_in : {"px", "m", "um"}, optional
        Unit of the positions, object pixels by default; ``/raw_data`` has them in pixels whatever it is.
    reconstruction : Reconstruction, optional
    diffraction : DiffractionFile, optional
        The companion that ptychodus reconstructs from, written in the same pass: both files appear, or neither.
    options : ExportOptions, optional
    progress : callable, optional
        Called with a number of bytes whenever frames of that size have been written.
    reorder_progress : callable, optional
        Called with a number of bytes whenever so many have been read to bring the axes of frames into order.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SourceError
        The NPZ file is damaged, or does not hold a scan.
    OutputError
        The product cannot be written there.

    Warns
    -----
    ProductWarning
        Something was decided that the user should know of.
    """
    return export_product_from_files(
        ScanFiles(npz_path, NPZ, positions_in=positions_in),
        out_path,
        meta,
        include_raw,
        reconstruction=reconstruction,
        diffraction=diffraction,
        options=options,
        progress=progress,
        reorder_progress=reorder_progress,
    )


def export_product_from_npy(
    npy_path: str | PathLike[str],
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    positions: str | PathLike[str] | tuple[Array, Array],
    positions_in: str | None = None,
    probe: str | PathLike[str] | Array | None = None,
    reconstruction: Reconstruction | None = None,
    diffraction: DiffractionFile | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    reorder_progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan whose frames are in an NPY file, streaming them.

    Parameters
    ----------
    npy_path : path
        Frames, in any axis order.
    positions : path, or pair of arrays [N]
        A CSV file with the columns x and y, an NPZ file with ``xcoords`` and ``ycoords``, an HDF5 file in a layout that
        is known; or x and y themselves.
    positions_in : {"px", "m", "um"}, optional
        Their unit; by default what the file's layout says, else object pixels.
    probe : path or array, optional
        An NPY, NPZ or HDF5 file, ``FILE:KEY`` where the key is no usual one; or the probe itself. By default that of
        the file of positions.
    out_path, meta, include_raw, reconstruction, diffraction, options, progress, reorder_progress
        As in `export_product_from_npz`.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SourceError
        A file is damaged, or the files do not hold a scan.
    OutputError
        The product cannot be written there.

    Warns
    -----
    ProductWarning
        Something was decided that the user should know of.
    """
    return export_product_from_files(
        ScanFiles(npy_path, NPY, positions=positions, positions_in=positions_in, probe=probe),
        out_path,
        meta,
        include_raw,
        reconstruction=reconstruction,
        diffraction=diffraction,
        options=options,
        progress=progress,
        reorder_progress=reorder_progress,
    )


def export_product_from_hdf5(
    h5_path: str | PathLike[str],
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    dataset: str | None = None,
    positions: str | PathLike[str] | tuple[Array, Array] | None = None,
    positions_in: str | None = None,
    probe: str | PathLike[str] | Array | None = None,
    reconstruction: Reconstruction | None = None,
    diffraction: DiffractionFile | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    reorder_progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan whose frames are in an HDF5 file, streaming them.

    Chunks that are already what they are to be in the product are copied and not decoded, so that damage in them is not
    noticed here; a deep validation notices it. Links to other files are followed inside the folder of the file only.

    Parameters
    ----------
    h5_path : path
        Of ptychodus, fold_slice, a CXI or NeXus file, or any other.
    dataset : str, optional
        Path of the frames in the file; by default where those programs keep them, see `layouts`.
    positions, positions_in, probe : optional
        As in `export_product_from_npy`; by default those of the HDF5 file itself.
    out_path, meta, include_raw, reconstruction, diffraction, options, progress, reorder_progress
        As in `export_product_from_npz`.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SourceError
        A file is damaged, leads out of its folder, or the files do not hold a scan.
    OutputError
        The product cannot be written there.

    Warns
    -----
    ProductWarning
        Something was decided that the user should know of.
    """
    files = ScanFiles(h5_path, HDF5, dataset, positions, positions_in, probe)
    return export_product_from_files(
        files,
        out_path,
        meta,
        include_raw,
        reconstruction=reconstruction,
        diffraction=diffraction,
        options=options,
        progress=progress,
        reorder_progress=reorder_progress,
    )


def export_product_from_files(
    files: ScanFiles,
    out_path: str | PathLike[str],
    meta: ExportMeta | None = None,
    include_raw: bool = True,
    *,
    reconstruction: Reconstruction | None = None,
    diffraction: DiffractionFile | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    reorder_progress: Progress | None = None,
) -> ExportSummary:
    """Convert a scan in files of any kind that is known.

    Parameters
    ----------
    files : ScanFiles
    out_path, meta, include_raw, reconstruction, diffraction, options, progress, reorder_progress
        As in `export_product_from_npz`.

    Returns
    -------
    ExportSummary

    Raises
    ------
    SourceError
        A file is damaged, or the files do not hold a scan.
    OutputError
        The product cannot be written there.

    Warns
    -----
    ProductWarning
        Something was decided that the user should know of.
    """
    options = options or ExportOptions()
    reordering = _reordering(out_path, options, reorder_progress)
    with opened_scan(files, reordering, include_raw or diffraction is not None) as scan:
        return export_product_from_scan(
            scan,
            out_path,
            meta,
            include_raw,
            reconstruction=reconstruction,
            diffraction=diffraction,
            options=options,
            progress=progress,
        )


def _reordering(out_path: str | PathLike[str], options: ExportOptions, progress: Progress | None = None) -> Reordering:
    """Spill beside the product: that disk has to hold a scan anyway."""
    folder = Path(out_path).absolute().parent
    return Reordering(options.memory_bytes, folder, options.threads or available_threads(), progress)
