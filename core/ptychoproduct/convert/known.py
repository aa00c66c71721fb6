"""What is known of a scan: its own metadata, and those that were given; and whether its files are as they were."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.local_links import naming_damage, open_hdf5
from ptychoproduct.model import contract
from ptychoproduct.model.geometry import resolve_metadata, warn_of_contradictions
from ptychoproduct.model.metadata import ExportMeta, ResolvedMetadata
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.scan.layouts import HDF5, file_kind
from ptychoproduct.scan.scan import Scan, detector_shape
from ptychoproduct.scan.scan_files import ScanFiles
from ptychoproduct.validation.damage import require_undamaged


def resolved_metadata(scan: Scan, given: ExportMeta, options: ExportOptions) -> ResolvedMetadata:
    """Find all metadata, and warn of pixel sizes that contradict the detector's."""
    frame_shape = detector_shape(scan.frames, np.shape(scan.probe), np.size(scan.x), options.axis_order)
    meta = resolve_metadata(given, _with_center_in_pixels(scan, given), frame_shape)
    warn_of_contradictions(meta, frame_shape, scan.origin)
    for side in ("width", "height"):
        # Without it, positions in metres have no scale: a default would be wrong.
        if scan.product is not None and meta.origins[f"object_pixel_{side}_m"] == "default":
            problem = "is missing; give the size of an object pixel with --object-pixel-size-m"
            raise SourceError(scan.product, problem, key=f"{contract.OBJECT.name}@pixel_{side}_m")
    return meta


def _with_center_in_pixels(scan: Scan, given: ExportMeta) -> ExportMeta:
    """Scale the object's centre to the object pixel that is given, as positions in pixels are scaled."""
    said, scaled = scan.metadata, {}
    for axis, side in (("x", "width"), ("y", "height")):
        size = f"object_pixel_{side}_m"
        new_m, old_m, center_m = getattr(given, size), getattr(said, size), getattr(said, f"object_center_{axis}_m")
        if scan.positions_in == "px" and None not in (new_m, old_m, center_m):
            scaled[f"object_center_{axis}_m"] = center_m / old_m * new_m
    return replace(said, **scaled)


def require_undamaged_products(files: ScanFiles) -> None:
    """See that products that are sources have the content that they say; frames are verified while they are read.

    Before a scan is opened: HDF5 does not open a dataset in two ways at the same time.

    Raises
    ------
    ContractError
        One has not.
    """
    for path in (files.path, files.positions):
        if isinstance(path, (str, PathLike)) and file_kind(Path(path)) == HDF5:
            with naming_damage(Path(path)), open_hdf5(Path(path).resolve(), "an HDF5 file") as file:
                if contract.POSITION_X.name in file:
                    require_undamaged(file, frames=False)
