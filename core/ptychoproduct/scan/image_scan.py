"""Scans whose frames are image files: TIFF, CBF or EDF, in a folder, of a pattern of names, or one of many frames."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ptychoproduct.errors import OptionError, SourceError, counted
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.scan.assembly import Companions, assembled, given_positions, paired, probe_of
from ptychoproduct.scan.field_values import first_values
from ptychoproduct.scan.scan import Scan, frame_stack
from ptychoproduct.streaming.image_files import SUFFIXES, image_kind
from ptychoproduct.streaming.image_rows import ImageRows, ImageSeries, image_series

# "# Pixel_size 172e-6 m x 172e-6 m"
_IN_HEADER = {
    "detector_pixel_width_m": (r"Pixel_size\s+(\S+)\s+m\b", "m"),
    "detector_pixel_height_m": (r"Pixel_size\s+\S+\s+m\s+x\s+(\S+)\s+m\b", "m"),
    "detector_distance_m": (r"Detector_distance\s+(\S+)\s+m\b", "m"),
    "probe_energy_eV": (r"Wavelength\s+(\S+)\s+A\b", "Å"),
    "exposure_time_s": (r"Exposure_time\s+(\S+)\s+s\b", "s"),
}


def image_paths(path: Path) -> tuple[Path, ...]:
    """Return the files of a series in the order of the numbers in their names, a_9 before a_10.

    Parameters
    ----------
    path : Path
        A file, a folder, or a pattern of names in a folder, such as ``frames/scan12_*.tif``.

    Raises
    ------
    SourceError
        There are none, or they are of several kinds.
    """
    if path.is_file():
        return (path,)
    found = path.iterdir() if path.is_dir() else path.parent.glob(path.name)
    files = [file for file in found if file.suffix.lower() in SUFFIXES and file.is_file() and file.name[0] != "."]
    if not files:
        raise SourceError(path, "there are no TIFF, CBF or EDF files")
    kinds = {image_kind(file) for file in files}
    if len(kinds) > 1:
        names = ", ".join(sorted({file.suffix for file in files}))
        raise SourceError(path, f"has files of several kinds, {names}; say which, such as '{path}/*{files[0].suffix}'")
    return tuple(sorted(files, key=_natural))


def is_series(path: Path) -> bool:
    """Whether a path that is no file is a folder with image files, or a pattern of their names."""
    if path.is_dir():
        return any(file.suffix.lower() in SUFFIXES for file in path.iterdir())
    return glob.has_magic(path.name) and path.suffix.lower() in SUFFIXES and not path.exists()


def image_scan(path: Path, companions: Companions) -> Scan:
    """Describe a scan whose frames are image files; arguments and errors are as in `npy_scan`."""
    series = image_series(image_paths(path))
    shape = (series.ends[-1], *series.shape)
    if shape[0] == 1:
        raise SourceError(path, f"has one frame; give its folder, or a pattern of names, such as '*{path.suffix}'")
    positions = given_positions(companions, path, shape)
    if positions is None:
        raise SourceError(path, "no positions in image files", expected="--positions")

    def rows(axes: Sequence[int]) -> ImageRows:
        if tuple(axes) != (0, 1, 2):
            problem = f"image files are {counted(shape[0], 'frame')} [H, W], and there are {len(positions.x)} positions"
            raise OptionError("axis_order", problem, file=path)
        return ImageRows(series)

    stack = frame_stack("frames", shape, rows, as_stored=lambda: ImageRows(series))
    probe = probe_of(path, companions, positions, lambda: None)
    paired_positions = paired(path, shape, positions)
    said = ExportMeta(**first_values(_said(series.header), series.paths[0]))
    return assembled(path, (path,), stack, paired_positions, probe, metadata=said, notes=(_in_words(series),))


def _said(header: str) -> Iterator[tuple[str, str, float, str]]:
    """Give the numbers in the header of a CBF file, as Dectris' detectors write it: fields, names, values and units."""
    for field, (pattern, unit) in _IN_HEADER.items():
        match = re.search(rf"#\s*{pattern}", header)
        if match is not None:
            with suppress(ValueError):
                yield field, pattern.partition(r"\s")[0], float(match[1]), unit


def _in_words(series: ImageSeries) -> str:
    frames, files = counted(series.ends[-1], "frame"), series.paths
    if len(files) == 1:
        return f"{frames} of one file"
    order = f"in the order of the numbers in their names, {files[0].name} to {files[-1].name}"
    return f"{frames} of {counted(len(files), 'file')}, {order}"


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part) if part.isdigit() else -1, part) for part in re.split("([0-9]+)", path.name)]
