"""Positions in tables of all forms: text and NPY."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychoproduct.errors import OptionError, ProductWarning, SourceError
from ptychoproduct.scan.companions import read_positions

X, Y = np.array([1.5, -2.0, 3e3]), np.array([10.0, 20.0, 30.0])
ROWS = "1.5,10\n-2,20\n3e3,30\n"
SWAPPED = "10,1.5\n20,-2\n30,3e3\n"
SPACED = ROWS.replace(",", " ")
METRES = "1.5e-06,1e-05\n-2e-06,2e-05\n3e-06,3e-05\n"
anything = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def text(folder, content):
    path = folder / "positions.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def npy(folder, array):
    np.save(folder / "positions.npy", array)
    return folder / "positions.npy"


def in_columns(positions):
    return positions.x.tolist(), positions.y.tolist(), positions.unit


TEXTS = {
    "header": "x,y\n" + ROWS,
    "other order": "y,x\n" + SWAPPED,
    "capitals and blanks": " X , Y\n" + ROWS,
    "PtychoPINN's names": "xcoords,ycoords\n" + ROWS,
    "PtychoPINN's names in the other order": '"ycoords","xcoords"\n' + SWAPPED,
    "a byte order mark": "\ufeffx,y\n" + ROWS,
    "UTF-16": ("x,y\n" + ROWS).encode("utf-16"),
    "comments": "# made by hand\n\nx,y\n" + ROWS + "# the end\n",
    "a comment that is the header": "# x y\n" + ROWS,
    "a comment that is the header, in the other order": "# y,x\n" + SWAPPED.replace(",", " "),
    "a comment after the header": "x,y\n# by hand\n" + ROWS,
    "MATLAB's comments": "% x y\n" + ROWS,
    "Windows": ("x,y\n" + ROWS).replace("\n", "\r\n"),
    "no newline at the end": "x,y\n" + ROWS.rstrip(),
    "blanks": "x,y\n" + ROWS.replace(",", " , "),
    "blanks for separators": "x y\n" + SPACED,
    "many blanks": "  x      y\n" + SPACED.replace(" ", "     "),
    "semicolons": "x;y\n" + ROWS.replace(",", ";"),
    "tabs": "x\ty\n" + ROWS.replace(",", "\t"),
    "quotes": '"x","y"\n"1.5","10"\n"-2","20"\n"3e3","30"\n',
    "an index": "index,x,y\n0,1.5,10\n1,-2,20\n2,3e3,30\n",
    "an index from 1": "frame,y,x\n1,10,1.5\n2,20,-2\n3,30,3e3\n",
    "pandas": ",x,y\n0,1.5,10\n1,-2,20\n2,3e3,30\n",
    "other columns": "time,x,y,z\n10:01,1.5,10,0\n10:02,-2,20,0\n10:03,3e3,30,0\n",
    "columns of numbers": "x,z,y\n1.5,0,10\n-2,0,20\n3e3,0,30\n",
    "separators at the ends": "x,y,\n1.5,10,\n-2,20,\n3e3,30,\n",
    "separators at the ends of rows": "x,y\n1.5,10,\n-2,20,\n3e3,30,\n",
}


@pytest.mark.parametrize("case", TEXTS)
def test_tables_with_a_header(tmp_path, case):
    assert in_columns(read_positions(text(tmp_path, TEXTS[case]))) == (X.tolist(), Y.tolist(), None)


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("x_m,y_m", "m"),
        ("X (um),Y (um)", "um"),
        ("x[mm],y[mm]", "mm"),
        ("x [nm],y [nm]", "nm"),
        ("PositionX (\u00b5m),PositionY (\u00b5m)", "um"),
        ("x_\u03bcm,y_\u03bcm", "um"),
        ("probe_position_x_m,probe_position_y_m", "m"),
        ("xcoords,ycoords", None),
        ("x_coords_px,y_coords_px", "px"),
        ("posx/microns,posy/microns", "um"),
        ("x-pos (pixels),y-pos (pixels)", "px"),
        ('"X (mm)","Y (mm)"', "mm"),
    ],
)
@pytest.mark.parametrize("separator", [",", "\t", ";", " "], ids=["comma", "tab", "semicolon", "blank"])
def test_names_may_have_units(tmp_path, header, unit, separator):
    content = f"{header}\n{ROWS}".replace(",", separator)
    assert in_columns(read_positions(text(tmp_path, content))) == (X.tolist(), Y.tolist(), unit)
    assert read_positions(text(tmp_path, content), "nm").unit == "nm"


def test_names_may_have_blanks(tmp_path):
    content = "Position X (um)\tPosition Y (um)\n" + ROWS.replace(",", "\t")
    assert in_columns(read_positions(text(tmp_path, content))) == (X.tolist(), Y.tolist(), "um")


def test_a_micro_sign_of_an_old_program(tmp_path):
    content = ("x (\u00b5m),y (\u00b5m)\n" + ROWS).encode("latin-1")
    assert in_columns(read_positions(text(tmp_path, content))) == (X.tolist(), Y.tolist(), "um")


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        (ROWS, "x, y"),
        (SPACED, "x, y"),
        ("# by hand\n" + ROWS, "x, y"),
        ("0 1.5 10\n1 -2 20\n2 3e3 30\n", "index, x, y"),
    ],
)
def test_columns_without_names_are_x_and_y_with_a_warning_that_names_the_option(tmp_path, content, taken):
    with pytest.warns(ProductWarning, match=f"taken as {taken} .positions_columns"):
        positions = read_positions(text(tmp_path, content))
    assert in_columns(positions) == (X.tolist(), Y.tolist(), None)


@pytest.mark.parametrize(
    ("content", "columns", "unit"),
    [
        (ROWS, "x,y", None),
        (ROWS, "x_um, y_um", "um"),
        (SWAPPED, "y,x", None),
        ("x,y\n" + SWAPPED, "y,x", None),
        ("samx,samy\n" + ROWS, "x,y", None),
        ("scan 12\nby hand\n" + ROWS, "x,y", None),
        ("7 1.5 0.1 10 a\n7 -2 0.1 20 b\n7 3e3 0.1 30 c\n", "-,x_m,-,y_m,-", "m"),
    ],
)
def test_columns_that_are_named_by_the_user(tmp_path, content, columns, unit):
    assert in_columns(read_positions(text(tmp_path, content), columns=columns)) == (X.tolist(), Y.tolist(), unit)


@pytest.mark.parametrize(
    ("content", "x_first", "unit", "asked", "words"),
    [
        (METRES, False, "m", None, "y, x in metres, as ptychodus writes them"),
        (METRES, False, "m", "m", "y, x in metres, as ptychodus writes them"),
        (METRES.replace(",", " "), True, "m", None, "x, y in metres, as ptychodus writes them"),
        (METRES, True, "um", "um", "x, y "),
        (METRES.replace("3e-06", "3.000e-06"), True, None, None, "x, y "),
        (METRES.replace(",", ", "), True, None, None, "x, y "),
        (METRES.replace(",", "\t"), True, None, None, "x, y "),
        ("# mine\n" + METRES, True, None, None, "x, y "),
        (METRES.replace("3e-05", "0.003"), True, None, None, "x, y "),
    ],
)
def test_the_form_of_ptychodus_is_recognised(tmp_path, content, x_first, unit, asked, words):
    with pytest.warns(ProductWarning, match=f"taken as {words}.*positions_columns"):
        positions = read_positions(text(tmp_path, content), asked)
    assert (positions.x if x_first else positions.y)[-1] == 3e-6
    assert positions.unit == unit


@anything
@given(
    st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=1),
    st.sampled_from([",", ", ", "\t", ";", " ", "   "]),
    st.booleans(),
    st.sampled_from(["", ".17g", ".18e"]),
)
def test_any_numbers_come_back(tmp_path, rows, separator, quoted, form):
    quote = '"' if quoted and len(separator) == 1 else ""
    cells = [("x", "y"), *((format(x, form), format(y, form)) for x, y in rows)]
    content = "".join(f"{quote}{x}{quote}{separator}{quote}{y}{quote}\n" for x, y in cells)
    positions = read_positions(text(tmp_path, content))
    assert list(zip(positions.x.tolist(), positions.y.tolist(), strict=True)) == rows


@anything
@given(st.one_of(st.binary(max_size=60), st.text('0123456789.,;\t #"\nxyme-', max_size=60).map(str.encode)))
def test_any_bytes_are_positions_or_a_source_error(tmp_path, content):
    try:
        with warnings.catch_warnings(action="ignore", category=ProductWarning):
            positions = read_positions(text(tmp_path, content))
    except SourceError:
        return
    assert positions.x.shape == positions.y.shape == (len(positions.x),)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no table of numbers"),
        ("x,y\n", "no table of numbers"),
        ("a text, and\nanother\n", "no table of numbers"),
        (b"\xff\xfe\0\x80", "no table of numbers"),
        (b"II*\0\x80\0\0", "this is a TIFF file, not a text"),
        ("x,y\n1,2\n3\n", "not a table of numbers"),
        ("x,y\n1,2\n3,4,5\n", "not a table of numbers"),
        ("x,y\n1,2\n3,four\n", "four"),
        ("1,2,3\n4,5,6\n", "3 columns without names; say what the columns are, such as positions_columns x,y"),
        ("0,1,2,3\n1,4,5,6\n", "4 columns without names"),
        ("x,y\n1,2,3\n", "does not name one x and one y, of 3 columns"),
        ("x,y,z\n1,2\n", "'x,y,z' above the numbers"),
        ("1\n2\n", "no table of numbers"),
        ("a,b\n1,2\n", "'a,b' above the numbers does not name one x and one y"),
        ("x,x\n1,2\n", "does not name one x and one y"),
        ("x_um,y_mm\n1,2\n", "does not name one x and one y"),
        ("x_start,y_start\n1,2\n", "does not name one x and one y"),
        ("1,5;2,5\n3,5;4,5\n", "numbers need a decimal point"),
        ("1,5\t2\n3,5\t4\n", "numbers need a decimal point"),
        ("x\ty\n1,5\t2,5\n3,5\t4,5\n", "above the numbers"),
    ],
)
def test_what_is_no_table_of_positions_is_a_source_error(tmp_path, content, words):
    with pytest.raises(SourceError, match=r"positions\.csv: ") as caught:
        read_positions(text(tmp_path, content))
    assert words in str(caught.value)


@pytest.mark.parametrize("columns", ["", "x", "x,x", "a,b", "x_um,y_mm", "x,y,x", "x,y,index", "x;y"])
def test_columns_that_do_not_fit_are_an_option_error(tmp_path, columns):
    with pytest.raises(OptionError, match="positions_columns"):
        read_positions(text(tmp_path, ROWS), columns=columns)


def test_only_tables_have_columns(tmp_path):
    np.savez(tmp_path / "x.npz", xcoords=X, ycoords=Y)
    with pytest.raises(OptionError, match=r"positions_columns: .*x\.npz is an NPZ file"):
        read_positions(tmp_path / "x.npz", columns="x,y")


@pytest.mark.parametrize(
    ("index", "numbers"),
    [
        ([2, 0, 1], [2, 0, 1]),
        ([3, 1, 2], [2, 0, 1]),
        ([0, 2, 5], [0, 2, 5]),
        ([0, 1, 2], None),
        ([1, 2, 3], None),
        ([4, 4, 4], None),
        ([0.5, 1, 2], None),
    ],
)
def test_numbers_of_rows(tmp_path, index, numbers):
    content = "x,y,index\n" + "".join(f"{x},{y},{i}\n" for x, y, i in zip(X, Y, index, strict=True))
    found = read_positions(text(tmp_path, content)).numbers
    assert (None if found is None else found.tolist()) == numbers


def test_numbers_of_rows_that_repeat_are_told(tmp_path):
    with pytest.warns(ProductWarning, match="repeat"):
        assert read_positions(text(tmp_path, "n,x,y\n0,1,2\n1,3,4\n1,5,6\n")).numbers is None


def test_readings_of_one_number_are_averaged_where_the_column_is_named(tmp_path):
    path = text(tmp_path, "frame,samx,samy\n3,5,6\n2,1,2\n3,7,9\n2,1,4\n3,9,9\n")
    with pytest.warns(ProductWarning, match="mean .* of 2 numbers, 2 to 3, the first frame being number 0"):
        positions = read_positions(path, columns="frame,samx,samy")
    assert (positions.x.tolist(), positions.y.tolist()) == ([1, 7], [3, 8])
    assert positions.numbers.tolist() == [2, 3]


def test_ptychopinns_scan_index_in_a_table(tmp_path):
    positions = read_positions(text(tmp_path, "x,y,scan_index\n1,2,0\n3,4,0\n5,6,1\n"))
    assert (positions.scan_index.dtype, positions.scan_index.tolist()) == (np.int64, [0, 0, 1])


@pytest.mark.parametrize("array", [np.c_[X, Y], np.stack([X, Y]), np.c_[np.arange(3), X, Y]], ids=["N2", "2N", "index"])
def test_arrays_are_x_and_y_with_a_warning(tmp_path, array):
    with pytest.warns(ProductWarning, match="taken as .*x, y .positions_columns"):
        positions = read_positions(npy(tmp_path, array))
    assert in_columns(positions) == (X.tolist(), Y.tolist(), None)


@pytest.mark.parametrize(
    ("array", "columns"),
    [(np.c_[Y, X], "y,x"), (np.stack([Y, X]), "y,x"), (np.stack([Y, X, X, X]), "y,x,-,-"), (np.c_[X, X, Y], "-,x,y")],
)
def test_arrays_whose_columns_are_named_by_the_user(tmp_path, array, columns):
    assert in_columns(read_positions(npy(tmp_path, array), columns=columns)) == (X.tolist(), Y.tolist(), None)


def test_an_array_with_names(tmp_path):
    array = np.zeros(3, [("y_um", "f8"), ("x_um", "f8"), ("note", "S3")])
    array["x_um"], array["y_um"] = X, Y
    assert in_columns(read_positions(npy(tmp_path, array))) == (X.tolist(), Y.tolist(), "um")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (X, "shape (3,) is not a table"),
        (np.zeros((3, 2), complex), "complex128"),
        (np.zeros((0, 2)), "shape (0, 2)"),
        (np.zeros((3, 2, 2)), "shape (3, 2, 2)"),
        (np.ones((3, 3)), "3 columns without names"),
        (np.zeros(3, [("a", "f4"), ("b", "f4")]), "the fields are a, b"),
    ],
)
def test_arrays_that_are_no_table_are_a_source_error(tmp_path, array, words):
    with pytest.raises(SourceError) as caught:
        read_positions(npy(tmp_path, array))
    assert words in str(caught.value)


LOG = "time,samx (um),samy (um),frame,current\n0.1,1.5,-2,5,99\n0.2,2.5,0.25,7,98\n0.3,3.5,1,6,97\n"


@pytest.mark.parametrize(
    ("content", "columns", "unit"),
    [
        (LOG, "samx,samy", "um"),
        (LOG, "SAMX (um),samy", "um"),
        (LOG.replace("(um)", ""), "samx,samy", None),
        (LOG.replace(" (um)", "_mm").replace(",", " "), "samx,samy", "mm"),
        ("# a log\n# " + LOG.replace(" (um)", "[um]").replace(",", "\t"), "samx,samy", "um"),
        (LOG.replace("samx (um),samy (um)", "y,x"), "y,x", None),
    ],
)
def test_columns_of_a_log_are_chosen_by_name(tmp_path, content, columns, unit):
    x, y = np.array([[1.5, 2.5, 3.5], [-2, 0.25, 1]])
    if columns == "y,x":  # which the header has the other way round
        x, y = y, x
    assert in_columns(read_positions(text(tmp_path, content), columns=columns)) == (x.tolist(), y.tolist(), unit)


def test_the_first_of_three_chosen_columns_are_numbers(tmp_path):
    found = read_positions(text(tmp_path, LOG), columns="frame,samx,samy")
    assert found.numbers.tolist() == [5, 7, 6]


@pytest.mark.parametrize("columns", ["samx,samz", "samx,samx", "time,samx,samy,current"])
def test_columns_that_are_not_in_the_log(tmp_path, columns):
    with pytest.raises(OptionError):
        read_positions(text(tmp_path, LOG), columns=columns)


def test_columns_in_two_units_are_not_mixed(tmp_path):
    with pytest.raises(OptionError):
        read_positions(text(tmp_path, LOG.replace("samy (um)", "samy (mm)")), columns="samx,samy")
