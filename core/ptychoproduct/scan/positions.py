"""Scan positions, as a scan is made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ptychoproduct.aliases import Array
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.scan.scan import Reconstruction


@dataclass(frozen=True)
class Positions:
    """Scan positions, with what else of the scan their file holds.

    Parameters
    ----------
    x, y : array, [N]
    unit : {"px", "m", "mm", "um", "nm"} or None
        None where neither the user nor the file says it.
    numbers : array, [N], optional
        By which ptychodus pairs them with patterns.
    scan_index : array, [N], optional
        PtychoPINN's.
    probe : array, optional
    object : array, optional
    files : tuple of Path
        Where they were read.
    metres : pair of arrays [N], optional
        The same in metres, where the file has both.
    product : Path, optional
        The file, where it is a product.
    rows : array, [N], int, optional
        Their rows in that file, where frames have not all of them in that order.
    is_object_synthetic : bool
        Whether the object is ones that stand for an unknown one.
    reconstruction : Reconstruction
        Further results of a product.
    metadata : ExportMeta
        What the file says of itself.
    """

    x: Array
    y: Array
    unit: str | None
    numbers: Array | None = None
    scan_index: Array | None = None
    probe: Array | None = None
    object: Array | None = None
    files: tuple[Path, ...] = ()
    metres: tuple[Array, Array] | None = None
    product: Path | None = None
    rows: Array | None = None
    is_object_synthetic: bool = False
    reconstruction: Reconstruction = field(default_factory=Reconstruction)
    metadata: ExportMeta = field(default_factory=ExportMeta)
