"""What is known of a scan: its own metadata, and those that were given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ptychoproduct.errors import SourceError
from ptychoproduct.model import contract
from ptychoproduct.model.geometry import resolve_metadata, warn_of_contradictions
from ptychoproduct.model.metadata import ExportMeta, ResolvedMetadata, require_metadata
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.scan.scan import Scan, detector_shape


def resolved_metadata(scan: Scan, given: ExportMeta, options: ExportOptions) -> ResolvedMetadata:
    """Find all metadata, and warn of pixel sizes that contradict the detector's."""
    require_metadata(given)
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
