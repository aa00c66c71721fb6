"""Positions in MDA files, written here by the description of the format; ptychodus is the judge of what they are."""

import struct
import warnings
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct.errors import SourceError
from ptychoproduct.scan.companions import read_positions
from ptychoproduct.scan.mda import read_mda

RNG = np.random.default_rng(2)


def integers(*values):
    return struct.pack(f">{len(values)}i", *values)


def text(words):
    if not words:
        return integers(0)
    content = words.encode("latin-1")
    return integers(len(content), len(content)) + content + bytes(-len(content) % 4)


def scan(rank, done, axes, unit, offsets=(), points=None):
    """A scan: `axes` is [positioners, points]; two detectors and a trigger are there, too."""
    axes = np.atleast_2d(axes)
    points = points or axes.shape[1]
    head = integers(rank, points, done) + (integers(*offsets) if rank > 1 else b"")
    info = text("19id:scan1") + text("NOV 28, 2026 18:56:35.000001") + integers(len(axes), 2, 1)
    for number in range(len(axes)):
        info += integers(number) + b"".join(
            map(text, (f"m{number}.VAL", "", "LINEAR", unit, f"m{number}.RBV", "read", unit))
        )
    for number in range(2):
        info += integers(number) + text(f"D{number:02}") + text("") + text("cts")
    info += integers(0) + text("cam:Acquire") + struct.pack(">f", 1)
    filled = np.zeros((len(axes), points))
    filled[:, : axes.shape[1]] = axes
    return head + info + filled.astype(">f8").tobytes() + np.zeros((2, points), ">f4").tobytes()


def header(*shape):
    return struct.pack(">f", 1.4) + integers(812, len(shape), *shape, 1, 0)


def points_file(path, axes, unit="um", done=None):
    axes = np.asarray(axes)
    path.write_bytes(header(axes.shape[1]) + scan(1, axes.shape[1] if done is None else done, axes, unit))
    return path


def raster_file(path, y, rows, unit="mm", done=None):
    """The outer scan, and behind it a scan for each row; the offsets are to their places."""
    start = header(len(rows), len(rows[0]))
    outer = scan(2, len(rows), y, unit, [0] * len(rows))
    inner = [scan(1, len(row), row, unit, points=len(rows[0])) for row in rows]
    offsets = [len(start) + len(outer) + sum(map(len, inner[:number])) for number in range(len(rows))]
    outer = scan(2, len(rows) if done is None else done, y, unit, offsets)
    path.write_bytes(start + outer + b"".join(inner))
    return path


def by_ptychodus(path, kind, metres):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it uses xdrlib
        from ptychodus.plugins.mda import mda_position_file
    found = getattr(mda_position_file, kind)(scale_to_meters=metres).read(path)
    return np.array([(point.x_m, point.y_m) for point in found]).T


@pytest.mark.parametrize("done", [None, 5])
def test_a_list_of_points(tmp_path, done):
    path = points_file(tmp_path / "scan.mda", RNG.uniform(-3, 3, (2, 9)), done=done)
    found = read_positions(path)
    assert found.unit == "um"
    assert np.allclose((found.x * 1e-6, found.y * 1e-6), by_ptychodus(path, "MDAFlatScanPositionFileReader", 1e-6))
    assert len(found.x) == (done or 9)


@pytest.mark.parametrize(("unit", "known", "metres"), [("mm", "mm", 1e-3), ("microns", "um", 1e-6), ("um", "um", 1e-6)])
@pytest.mark.parametrize("done", [None, 3])
def test_a_raster(tmp_path, unit, known, metres, done):
    """Its last row was not finished, and of some only `done` rows were."""
    rows = [*RNG.uniform(-3, 3, (3, 6)), RNG.uniform(-3, 3, 4)]
    path = raster_file(tmp_path / "scan.mda", RNG.uniform(-3, 3, 4), rows, unit, done)
    found = read_positions(path)
    assert found.unit == known
    assert np.allclose((found.x * metres, found.y * metres), by_ptychodus(path, "MDAPositionFileReader", metres))
    assert len(found.x) == (18 if done else 22)


def test_the_user_says_the_unit(tmp_path):
    path = points_file(tmp_path / "scan.mda", RNG.uniform(-3, 3, (2, 9)), "V DC")
    with pytest.raises(SourceError, match=r"m0\.VAL is in 'V DC', m1\.VAL in 'V DC'; say what both are in"):
        read_positions(path)
    assert read_positions(path, "nm").unit == "nm"


@pytest.mark.parametrize(("axes", "words"), [(np.ones((1, 3)), "with 1 positioners"), (np.ones((3, 3)), "with 3")])
def test_other_numbers_of_positioners_are_an_error(tmp_path, axes, words):
    with pytest.raises(SourceError, match=words):
        read_positions(points_file(tmp_path / "scan.mda", axes))


def test_no_points_are_an_error(tmp_path):
    with pytest.raises(SourceError, match="it has no points"):
        read_positions(points_file(tmp_path / "scan.mda", np.ones((2, 4)), done=0))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_an_error_or_read(tmp_path_factory, data):
    """Cut anywhere, or with four bytes replaced."""
    folder = tmp_path_factory.mktemp("mda")
    content = bytearray(raster_file(folder / "scan.mda", np.arange(3.0), np.ones((3, 4))).read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        at = data.draw(st.integers(0, len(content) // 4 - 1)) * 4
        content[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
    (folder / "scan.mda").write_bytes(content)
    with suppress(SourceError):
        table = read_mda(folder / "scan.mda")
        assert len(table.x) == len(table.y) <= 12
