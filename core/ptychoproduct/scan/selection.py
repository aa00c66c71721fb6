"""A selection of a scan: some of its frames, and a part of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import OptionError, SourceError, warn
from ptychoproduct.hdf5.row_checksums import in_ranges
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.model.position_units import are_metres
from ptychoproduct.npz.npy import NPY_SUFFIX, NpyFile
from ptychoproduct.scan.field_layouts import BAD_PIXELS
from ptychoproduct.scan.layouts import NPY, file_kind
from ptychoproduct.scan.scan import Extra, FrameStack, Scan
from ptychoproduct.streaming.selected_rows import SelectedRows

_SLICE = re.compile(r"(-?\d+)?:(-?\d+)?(?::(-?\d+)?)?")
Numbers = str | PathLike[str] | slice | Sequence[int] | Array


def selected_scan(
    scan: Scan,
    frames: Numbers | None,
    crop: Sequence[int] | None,
    axis_order: str = "auto",
    is_of_whole_frames: bool = False,
) -> Scan:
    """Return the part of a scan that is asked for, without frames that are lost; frames are still not read.

    Parameters
    ----------
    scan : Scan
    frames : str, path, slice or sequence of int, optional
        ``start:stop:step``, as in Python; a file of whole numbers, text or NPY; or the numbers themselves. Frames keep
        their order.
    crop : sequence of int, optional
        Pixel rows and columns; then the pixel, row and column, that is the middle one (size // 2) of the crop, by
        default that of the frames.
    axis_order : {"auto", "NHW", "HNW", "HWN"}
    is_of_whole_frames : bool
        Whether pixel sizes, positions in pixels and the object are those of whole frames though the probe is not. In
        the far field a pixel is λz / NΔ, and so it is larger where frames are cropped: sizes and positions follow.

    Raises
    ------
    OptionError
        There are no such frames or pixels, the scan has no frames, or the probe is one of whole frames.

    Warns
    -----
    ProductWarning
        The object is left out, because its pixels are those of whole frames.
    """
    if frames is None and crop is None and not len(scan.lost_frames):
        return scan
    stack, count = scan.frames, len(scan.x)
    if stack is None:
        raise OptionError("frames" if crop is None else "crop", "selects frames, and there are none")
    order = stack.axis_order(count, axis_order, scan.origin)
    shape = tuple(stack.shape[axis] for axis in canonical_axes(order))
    asked = np.arange(count) if frames is None else _numbers(frames, count)
    rows = np.setdiff1d(asked, scan.lost_frames)
    if not len(rows):
        raise SourceError(scan.origin, "damaged: all of the frames are lost", key=stack.key)
    window = (slice(0, shape[1]), slice(0, shape[2])) if crop is None else _window(crop, shape[1:])
    said = [] if frames is None else [f"frames {_in_words(asked)} of {count}"]
    if len(rows) < len(asked):
        said.append(f"without frames {in_ranges(np.intersect1d(asked, scan.lost_frames))}, which are lost")
    if crop is not None:
        said.append(f"pixel rows {_range(window[0])} of {shape[1]}, columns {_range(window[1])} of {shape[2]}")
        cropped = tuple(part.stop - part.start for part in window)
        if np.shape(scan.probe)[-2:] == shape[1:] != cropped:
            problem = f"the probe is one of whole frames, {shape[1:]}, whose pixels are smaller at the object (λz / NΔ)"
            raise OptionError("crop", f"{problem}; give --probe one of {cropped}", file=scan.origin)
        if is_of_whole_frames:
            scan = _in_larger_pixels(scan, *(new / old for new, old in zip(cropped, shape[1:], strict=True)))
    selection = "; ".join(said)
    reconstruction = scan.reconstruction if len(rows) == count else scan.reconstruction.of_rows(rows)
    return replace(
        scan,
        x=scan.x[rows],
        y=scan.y[rows],
        scan_index=_of_rows(scan.scan_index, rows, count),
        numbers=_of_rows(scan.numbers, rows, count),
        positions_m=None if scan.positions_m is None else (scan.positions_m[0][rows], scan.positions_m[1][rows]),
        frames=_selected_stack(stack, order, rows, window, selection),
        bad_pixels=None if scan.bad_pixels is None else _cropped(scan.bad_pixels, window, shape),
        reconstruction=reconstruction,
        extras=_selected_extras(scan.extras, rows, window, shape),
        notes=(*scan.notes, f"selected: {selection}"),
    )


def _in_larger_pixels(scan: Scan, rows: float, columns: float) -> Scan:
    """Return a scan as its cropped frames have it, given which part of the rows and columns is left."""
    if scan.metadata.far_field is False:
        return scan
    said = scan.metadata
    sizes = {
        name: size / part
        for side, part in (("height", rows), ("width", columns))
        for name in (f"object_pixel_{side}_m", f"probe_pixel_{side}_m")
        if (size := getattr(said, name)) is not None
    }
    unit = scan.positions_in or ("m" if are_metres(scan.x, scan.y) else "px")
    if unit == "px":
        extras = (_scaled(extra, {"xcoords_start": columns, "ycoords_start": rows}) for extra in scan.extras)
        scan = replace(scan, x=scan.x * columns, y=scan.y * rows, positions_in=unit, extras=extras)
    if scan.object is not None and not scan.is_object_synthetic:
        warn(f"{scan.origin}: the object has the pixels of whole frames; it is left out (--object gives another)")
    return replace(
        scan,
        object=None,
        metadata=replace(said, **sizes, object_center_x_m=None, object_center_y_m=None),
        notes=(*scan.notes, "positions and pixel sizes: in pixels of the cropped frames, which are larger"),
    )


def _scaled(extra: Extra, factors: Mapping[str, float]) -> Extra:
    factor = factors.get(extra.member.removesuffix(NPY_SUFFIX))
    if factor is None or not isinstance(extra.content, np.ndarray):
        return extra
    return replace(extra, content=extra.content * factor)


def _selected_stack(
    stack: FrameStack, order: str, rows: Array, window: tuple[slice, slice], selection: str
) -> FrameStack:
    axes = canonical_axes(order)
    lengths = dict(zip(axes, (len(rows), *(part.stop - part.start for part in window)), strict=True))

    def open_rows(asked: Sequence[int]) -> SelectedRows:
        if tuple(asked) != tuple(axes):
            raise ValueError(f"axes {tuple(asked)} of a selection that was made for {tuple(axes)}")
        return SelectedRows(stack.rows(axes), rows, window)

    return replace(
        stack,
        shape=tuple(lengths[axis] for axis in range(3)),
        rows=open_rows,
        chunks=(),
        usual_axis_order=order,
        selection=selection,
        as_stored=stack.as_stored or (lambda: stack.rows(axes)),
    )


def _numbers(frames: Numbers, count: int) -> Array:
    """Return the numbers of frames, ascending."""
    if isinstance(frames, str) and (match := _SLICE.fullmatch(frames)):
        frames = slice(*(None if part is None else int(part) for part in match.groups()))
    if isinstance(frames, slice):
        if frames.step == 0:
            raise OptionError("frames", "the step must not be zero")
        numbers = np.sort(np.arange(count)[frames])
    else:
        found = _read_numbers(fspath(frames)) if isinstance(frames, str | PathLike) else np.asarray(frames)
        numbers = np.unique(found)
        if found.ndim != 1 or found.dtype.kind not in "iu" or len(numbers) < len(found):
            raise OptionError("frames", "must be distinct whole numbers, such as those of 0:1000:2, or a file of them")
    if not len(numbers) or numbers[0] < 0 or numbers[-1] >= count:
        wrong = "there are none" if not len(numbers) else f"found {numbers[0]} to {numbers[-1]}"
        raise OptionError("frames", f"must be numbers from 0 to {count - 1}, the frames of the scan; {wrong}")
    return numbers.astype(np.int64)


def _read_numbers(name: str) -> Array:
    path = Path(name)
    if not path.is_file():
        raise OptionError("frames", f"{name!r} is neither start:stop:step nor a file of numbers")
    if file_kind(path) == NPY:
        with NpyFile(path) as file:
            return file.array.read()
    try:
        return np.loadtxt(path, dtype=np.int64, ndmin=1)
    except ValueError as error:
        raise OptionError("frames", f"{path.name} is not a list of whole numbers: {error}") from None


def _window(crop: Sequence[int], shape: Sequence[int]) -> tuple[slice, slice]:
    if len(crop) not in (2, 4):
        raise OptionError("crop", "must be rows,columns or rows,columns,row,column, the last two being the middle")
    parts = []
    for name, size, middle, length in zip(
        ("rows", "columns"), crop, crop[2:] or [length // 2 for length in shape], shape, strict=False
    ):
        start = middle - size // 2
        if size < 1 or start < 0 or start + size > length:
            raise OptionError("crop", f"{size} {name} about {middle} are not within the frames, which have {length}")
        parts.append(slice(start, start + size))
    return parts[0], parts[1]


def _selected_extras(
    extras: Iterable[Extra], rows: Array, window: tuple[slice, slice], shape: tuple[int, ...]
) -> Iterator[Extra]:
    """Give the other arrays; those with a row for each frame have the rows of the selection."""
    for extra in extras:
        content = extra.content
        if extra.member == f"{BAD_PIXELS}{NPY_SUFFIX}" and isinstance(content, np.ndarray):
            content = _cropped(content, window, shape)
        elif isinstance(content, str) or not content.shape or content.shape[0] != shape[0]:
            pass
        elif isinstance(content, np.ndarray):
            content = content[rows]
        else:
            content = SelectedRows(content, rows)
        yield replace(extra, content=content)


def _of_rows(values: Array | None, rows: Array, count: int) -> Array | None:
    return values[rows] if values is not None and values.ndim and len(values) == count else values


def _cropped(mask: Array, window: tuple[slice, slice], shape: tuple[int, ...]) -> Array:
    return mask[window] if mask.shape == shape[1:] else mask


def _in_words(rows: Array) -> str:
    steps = np.unique(np.diff(rows))
    if len(steps) < 2:
        return f"{rows[0]}:{rows[-1] + 1}:{steps[0] if len(steps) else 1}"
    return f"{len(rows)} by a list of numbers"


def _range(part: slice) -> str:
    return f"{part.start}:{part.stop}"
