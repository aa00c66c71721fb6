"""From a product to an NPZ file with ptychodus's keys: those of its products, and those of its patterns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from ptychoproduct.aliases import Array, Progress
from ptychoproduct.convert.importer import ImportSummary
from ptychoproduct.convert.ptychodus_values import (
    by_ptychodus_names,
    counted_frames,
    known_metadata,
    mask_of,
    not_held,
    results,
    summary_of_counts,
)
from ptychoproduct.convert.undamaged import undamaged_product
from ptychoproduct.errors import OutputError, warn
from ptychoproduct.model import contract
from ptychoproduct.npz.writer import NpzWriter, Part
from ptychoproduct.product.photon_counts import PhotonCounts
from ptychoproduct.product.reader import Frames, Product
from ptychoproduct.scan.field_layouts import BAD_PIXELS, FRAME_NUMBERS, PATTERNS
from ptychoproduct.scan.npz_parts import SYNTHETIC_KEY
from ptychoproduct.system.atomic import atomic_output, writing_errors

# Without these, ptychodus 1.7.0 does not read a product; 0 where they are not known, as it writes them itself.
_REQUIRED = (
    *("detector_object_distance_m", "photon_energy_eV", "object_pixel_width_m", "object_pixel_height_m"),
    *("object_center_x_m", "object_center_y_m"),
)


def import_product_to_ptychodus_npz(
    path: str | PathLike[str],
    npz_path: str | PathLike[str],
    *,
    include_diffraction: bool = True,
    compress: bool = False,
    patterns_are: str = "auto",
    bad_values: Sequence[float] | None = None,
    accept_damage: bool = False,
    overwrite: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> ImportSummary:
    """Convert a product to an NPZ file that ptychodus 1.7.0 opens as a product and as patterns, streaming its frames.

    Parameters
    ----------
    path : path
        A product of this package, of any ptychodus, or of PtychoPINN's exporter.
    npz_path : path
        ``*.npz``; appears when it is complete.
    include_diffraction : bool
        Whether it gets the frames, as photon counts under ``patterns``, with ``indexes`` and ``bad_pixels``.
    compress : bool
        Whether the members are deflated.
    patterns_are, bad_values, accept_damage, overwrite, force, progress
        As in `import_product_to_cxi`.

    Returns
    -------
    ImportSummary

    Raises
    ------
    SourceError, ContractError, OutputError, OptionError
        As in `import_product_to_cxi`.

    Warns
    -----
    ProductWarning
        The file does not hold all that the product has.
    """
    path, npz_path = Path(path), Path(npz_path)
    if npz_path.suffix.lower() != ".npz":
        raise OutputError(npz_path, found=f"suffix {npz_path.suffix!r}", expected=".npz")
    with undamaged_product(path, accept_damage) as product:
        frames, counts = counted_frames(product, include_diffraction, patterns_are, bad_values)
        with (
            atomic_output(npz_path, overwrite=overwrite, force=force, sources=(path,)) as part,
            writing_errors(npz_path),
        ):
            while True:  # again, where the sample of frames was misleading
                with NpzWriter(part, compress=compress) as archive:
                    for key, array in _arrays(product).items():
                        archive.write_array(f"{key}.npy", array)
                    if frames is None or counts is None:
                        break
                    _write_patterns(archive, frames, counts, progress)
                    if counts.is_complete:
                        archive.write_array(f"{BAD_PIXELS}.npy", mask_of(product, counts))
                        archive.write_array(f"{FRAME_NUMBERS}.npy", product.position_indexes)
                        frames.reader.tell_damage("frames")
                        break
        lost = not_held(product, counts, product.position_indexes)
        if lost:
            warn(f"{npz_path}: does not hold {', '.join(lost)}")
        return summary_of_counts(npz_path, archive.members, frames, counts)


def _arrays(product: Product) -> dict[str, Array]:
    named = dict.fromkeys(_REQUIRED, 0.0) | by_ptychodus_names(known_metadata(product))
    if product.is_object_synthetic:
        named[SYNTHETIC_KEY] = True
    return {
        **{name: np.asarray(value) for name, value in named.items()},
        contract.POSITION_INDEXES.name: product.position_indexes,
        contract.POSITION_X.name: product.x_m,
        contract.POSITION_Y.name: product.y_m,
        contract.PROBE.name: product.probe,
        contract.OBJECT.name: product.object,
        **results(product),
    }


def _write_patterns(archive: NpzWriter, frames: Frames, counts: PhotonCounts, progress: Progress | None) -> None:
    """Write the frames as counts, in one pass; each core decodes, converts and writes its own."""
    dtype = counts.begin()
    row_bytes = math.prod(frames.shape[1:]) * dtype.itemsize

    def encode(first: int, block: Array) -> Part:
        made = np.empty(block.shape, dtype)
        counts.fill((first, 0, 0), block, made)
        return stream.encode(first * row_bytes, made)

    with archive.member(f"{PATTERNS[1:]}.npy") as stream:
        stream.write_header(frames.shape, dtype)
        for rows, future in frames.reader.blocks(encode):
            stream.add(future.result())
            if progress is not None:
                progress(len(rows) * frames.nbytes // len(frames))
