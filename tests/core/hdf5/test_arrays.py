"""Any NumPy array as a dataset, and back."""

import h5py
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ptychoproduct.errors import ContractError, ProductError
from ptychoproduct.hdf5.arrays import (
    dtype_text,
    from_bytes,
    has_hdf5_type,
    parse_dtype,
    read_array,
    write_array,
    write_text,
)

SIMPLE = (
    *("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "g", "c8", "c16", "G"),
    *("S1", "S7", "U1", "U7", "M8[s]", "M8[25us]", "M8", "m8[D]", "m8", "V1", "V9"),
)
RECORDS = {
    "plain": [("a", "i4"), ("b", "f8")],
    "padded": {"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [0, 8], "itemsize": 16},
    "padded at both ends": {"names": ["a"], "formats": ["f4"], "offsets": [4], "itemsize": 12},
    "gaps": {"names": ["a", "b"], "formats": ["f4", "f4"], "offsets": [4, 10], "itemsize": 32},
    "nested": [("a", [("b", "i2"), ("c", [("d", "f4")])]), ("e", "?")],
    "subarrays": [("a", "f4", (2, 3)), ("b", [("c", "U3", (2,))], (2,))],
    "titles": [(("a title", "a"), "f4")],
    "text and dates": [("a", "S3"), ("b", "U3"), ("c", "M8[ms]")],
    "latin-1 names": [("é", "f4")],
    "unicode names": [("λ", "f4"), ("測定", "i2")],
    "odd names": [('it\'s "odd"\n\\', "f4"), (" ", "i2"), ("a, 'f4'), ('b", "u1")],
    "other byte order": [("a", ">i4"), ("b", ">f8")],
    "no bytes in a field": [("a", "i4"), ("b", "U0")],
    "many fields": [(f"field{i}", "f4") for i in range(900)],
}


def round_trip(array):
    with h5py.File.in_memory() as file:
        write_array(file, "a", array)
        return read_array(file["a"])


def native(array):
    return np.asarray(array, array.dtype.newbyteorder("="))


def without_padding(array):
    """The bytes of an array, field by field, in native order."""
    if array.dtype.names:
        return [without_padding(array[name]) for name in array.dtype.names]
    return native(array).tobytes()


def assert_same(found, array):
    assert (found.dtype, found.shape) == (array.dtype.newbyteorder("="), array.shape)
    assert without_padding(found) == without_padding(array)


def filled(shape, dtype):
    """An array of any bits that the type can have."""
    dtype = np.dtype(dtype)
    array = np.zeros(shape, dtype)
    rng = np.random.default_rng(3)
    if dtype.names:
        for name in dtype.names:
            array[name] = filled((*array.shape, *dtype[name].shape), dtype[name].base)
    elif dtype.kind == "b":
        array[...] = rng.random(shape) < 0.5
    elif dtype.kind == "U":
        array[...] = "é"
    elif dtype.char in "gG":
        array[...] = rng.standard_normal(shape)
    elif array.nbytes:
        array = np.frombuffer(rng.bytes(array.nbytes), dtype).reshape(shape)
    return array


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (0,), (2, 0, 3)])
@pytest.mark.parametrize("dtype", SIMPLE)
def test_arrays_of_every_type_come_back(dtype, shape):
    array = filled(shape, dtype)
    assert_same(round_trip(array), array)


@pytest.mark.parametrize("dtype", ["i2", "u8", "f2", "f4", "f8", "c8", "c16", "M8[s]", "m8[D]", "U5"])
def test_the_other_byte_order_becomes_native(dtype):
    array = np.asarray(filled((3, 2), dtype), np.dtype(dtype).newbyteorder(">"))
    assert_same(round_trip(array), array)


@pytest.mark.parametrize("shape", [(), (3,), (2, 0)])
@pytest.mark.parametrize("dtype", RECORDS.values(), ids=RECORDS)
def test_records_come_back(dtype, shape):
    array = filled(shape, dtype)
    assert_same(round_trip(array), array)


@pytest.mark.parametrize("dtype", ["V0", "S0", "U0", []])
@pytest.mark.parametrize("shape", [(), (3,), (0,)])
def test_elements_of_no_bytes_come_back(dtype, shape):
    array = np.ndarray(shape, dtype)
    assert_same(round_trip(array), array)


record_dtypes = hnp.nested_dtypes(max_leaves=6).filter(lambda dtype: not dtype.hasobject)


@settings(deadline=None, max_examples=250)
@given(
    (hnp.scalar_dtypes() | hnp.unicode_string_dtypes() | hnp.byte_string_dtypes() | record_dtypes).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    )
)
@example(np.array(["a\0b", "", "é"]))
@example(np.array(["a ", "b\t", "c\n"]))
@example(np.array(["\ud800", "a"]))
@example(np.array([b"a\0b", b"", b"\xff"]))
@example(np.array(""))
@example(np.array(b""))
def test_any_array_comes_back(array):
    assert_same(round_trip(array), array)


@settings(deadline=None, max_examples=100)
@given(st.binary(min_size=4, max_size=40).map(lambda data: data[: len(data) // 4 * 4]))
def test_text_of_any_code_points_comes_back(data):
    array = np.frombuffer(data, "U1")
    assert round_trip(array).tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("dtype", "bits"), [("f4", [0x7FC12345, 0xFFA00001, 1 << 31]), ("f2", [0x7E01, 0x7C01, 1 << 15])]
)
def test_nan_payloads_and_negative_zeros_come_back(dtype, bits):
    array = np.array(bits, dtype.replace("f", "u")).view(dtype)
    assert round_trip(array).tobytes() == array.tobytes()


@pytest.mark.parametrize("array", [np.arange(24).reshape(2, 3, 4).T, np.arange(10)[::-2], np.broadcast_to(3, (2, 2))])
def test_strided_arrays_come_back(array):
    assert_same(round_trip(array), array)


def test_padding_comes_back_as_it_was():
    array = np.frombuffer(bytes(range(48)), RECORDS["padded"])
    assert round_trip(array).tobytes() == array.tobytes()


def test_padding_holds_nothing_that_was_in_memory_before():
    array = np.zeros(3, {"names": ["a", "b"], "formats": ["i1", ">f8"], "offsets": [0, 8], "itemsize": 16})
    with h5py.File.in_memory() as file:
        for i in range(20):
            junk = np.full(48, 0xAA, np.uint8)
            del junk
            write_array(file, f"a{i}", array)
        assert not any(file[name][()].any() for name in file)


@pytest.mark.parametrize("offsets", [[4, 0], [0, 2]])
def test_fields_that_npy_cannot_describe_come_back_or_are_a_product_error(offsets):
    array = np.zeros(3, {"names": ["a", "b"], "formats": ["f4", "f4"], "offsets": offsets})
    try:
        found = round_trip(array)
    except ProductError:
        return
    assert_same(found, array)


@pytest.mark.parametrize(
    ("array", "dtype", "shape"),
    [
        (np.zeros((2, 3), "f4"), "<f4", (2, 3)),
        (np.zeros((2, 3), "?"), "|b1", (2, 3)),
        (np.array(["é", "abc"]), "|S3", (2,)),
        (np.zeros(2, "M8[s]"), "|u1", (2, 8)),
        (np.zeros(2, [("a", "i4")]), "|u1", (2, 4)),
    ],
)
def test_other_programs_find_the_plainest_type(array, dtype, shape):
    with h5py.File.in_memory() as file:
        dataset = write_array(file, "a", array)
        assert (dataset.dtype.str, dataset.shape) == (dtype, shape)


@pytest.mark.parametrize("array", [np.zeros(2, "f4"), np.zeros(2, "c8"), np.array([b"a"]), np.array([True])])
def test_a_type_that_hdf5_has_needs_no_attribute(array):
    with h5py.File.in_memory() as file:
        assert dict(write_array(file, "a", array).attrs) == {}


@pytest.mark.parametrize("text", ["", "text", "λ 測定", "x" * 100_000, "a\0b", "a\0", "\0", "\ud800"], ids=ascii)
def test_a_string_of_an_object_array_comes_back_as_one(text):
    with h5py.File.in_memory() as file:
        write_text(file, "a", text)
        found = read_array(file["a"])
    assert (found.dtype, found.shape, found.item()) == (np.dtype(object), (), text)


@pytest.mark.parametrize("text", ["", "text", "λ 測定"])
def test_a_string_of_another_program_is_text(text):
    with h5py.File.in_memory() as file:
        file["a"] = text
        found = read_array(file["a"])
    assert (found.dtype.kind, found.shape, str(found)) == ("U", (), text)


def test_strings_of_another_program_are_text():
    with h5py.File.in_memory() as file:
        file["a"] = ["one", "λ"]
        assert read_array(file["a"]).tolist() == ["one", "λ"]


@pytest.mark.parametrize("dtype", [*SIMPLE, *RECORDS.values()], ids=lambda dtype: str(dtype)[:30])
def test_a_description_gives_back_its_type(dtype):
    assert parse_dtype(dtype_text(np.dtype(dtype))) == np.dtype(dtype)


@pytest.mark.parametrize("dtype", [*SIMPLE, *RECORDS.values()], ids=lambda dtype: str(dtype)[:30])
def test_a_description_is_one_line_that_an_attribute_can_hold(dtype):
    text = dtype_text(np.dtype(dtype))
    assert text.isprintable()
    with h5py.File.in_memory() as file:
        file.attrs["text"] = text
        assert file.attrs["text"] == text


HOSTILE = ["", "x", "()", "[()]", "'O'", "[('a', 'O')]", "',f4'", "'<f4", "'''", "(" * 500, "{[]: 1}", "None", "'T'"]


@pytest.mark.parametrize("text", [*HOSTILE, "__import__('os')"])
def test_a_description_of_no_type_is_a_value_error(text):
    with pytest.raises(ValueError, match=r".*"):
        parse_dtype(text)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning", "ignore:Reading .*:UserWarning")
@settings(deadline=None, max_examples=200)
@given(st.text(max_size=30) | st.text("'\"<>|fiOUSV0123456789()[],{}: ", max_size=30))
def test_any_description_is_a_type_or_a_value_error(text):
    try:
        dtype = parse_dtype(text)
    except ValueError:
        return
    assert not dtype.hasobject


@pytest.mark.parametrize("source_dtype", [*HOSTILE, "'<f8'", "'<M8[s]'", "'V3'"])
def test_a_dataset_that_does_not_fit_its_description_is_a_contract_error(source_dtype):
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("a", data=np.zeros((3, 5), np.uint8))
        dataset.attrs["source_dtype"] = source_dtype
        with pytest.raises(ContractError):
            read_array(dataset)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 8), np.int8), np.zeros((2, 7), np.uint8), np.uint8(3), np.zeros(0, np.uint8)], ids=repr
)
def test_bytes_that_are_no_elements_are_a_value_error(array):
    with pytest.raises(ValueError, match="in bytes"):
        from_bytes(np.asarray(array), np.dtype("f8"))


def test_text_that_is_no_utf8_is_a_contract_error():
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("a", data=np.array([b"\xff"]))
        dataset.attrs["source_dtype"] = "'<U1'"
        with pytest.raises(ContractError):
            read_array(dataset)


@pytest.mark.parametrize("dtype", [h5py.ref_dtype, h5py.regionref_dtype, h5py.vlen_dtype(np.int32)], ids=str)
def test_references_and_lists_of_hdf5_are_contract_errors(dtype):
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("a", (3,), dtype)
        with pytest.raises(ContractError, match="/a"):
            read_array(dataset)


@pytest.mark.parametrize("dtype", ["?", "i8", "u1", "f2", "f8", "c8", "c16", "S3"])
def test_types_that_hdf5_has(dtype):
    assert has_hdf5_type(np.dtype(dtype))


@pytest.mark.parametrize("dtype", ["g", "G", "U3", "M8[s]", "m8", "V3", [("a", "i4")], object, "S0", "V0"], ids=str)
def test_types_that_hdf5_does_not_have(dtype):
    assert not has_hdf5_type(np.dtype(dtype))
