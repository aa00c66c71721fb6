"""Object and mask that are given in files of their own, in place of those of the scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from os import PathLike, fspath

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError
from ptychoproduct.npz.npy import NPY_SUFFIX
from ptychoproduct.scan.field_layouts import BAD_PIXELS
from ptychoproduct.scan.scan import Extra, Scan

Given = str | PathLike[str] | Array | None


def with_given_parts(scan: Scan, object_: Given, mask: Given) -> Scan:
    """Return the scan with the object and the mask that are given.

    Raises
    ------
    SourceError
        A file has none.
    OptionError
        The mask is not of the size of a frame.
    """
    if object_ is None and mask is None:
        return scan
    from ptychoproduct.scan.array_files import read_bad_pixels, read_object  # and what reads images, 5 ms

    if object_ is not None:
        found, files = (object_, ()) if isinstance(object_, np.ndarray) else read_object(fspath(object_))
        said = replace(scan.metadata, object_center_x_m=None, object_center_y_m=None)  # it was another object's
        scan = replace(scan, object=found, is_object_synthetic=False, files=(*scan.files, *files), metadata=said)
    if mask is not None:
        found, files = (mask, ()) if isinstance(mask, np.ndarray) else read_bad_pixels(fspath(mask))
        if scan.frames is not None:
            sizes = {tuple(np.delete(scan.frames.shape, axis)) for axis in range(len(scan.frames.shape))}
            if found.shape not in sizes:
                raise OptionError(
                    "mask", f"is {found.shape}, not of the size of a frame; frames are {scan.frames.shape}"
                )
        bad = found if found.dtype.kind in "biu" else found != 0
        scan = replace(scan, bad_pixels=bad, files=(*scan.files, *files), extras=_with_mask(scan.extras, bad))
    return scan


def _with_mask(extras: Iterable[Extra], mask: Array) -> Iterator[Extra]:
    member = f"{BAD_PIXELS}{NPY_SUFFIX}"
    yield Extra(member, mask)
    yield from (extra for extra in extras if extra.member != member)
