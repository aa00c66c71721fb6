"""The pickles that are opened: a string, or None, in a 0-d object array. Every other is refused, and does nothing."""

import builtins
import io
import os
import pickle
import pickletools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychoproduct.npz.unpickle import _Unpickler, unpickle_text

PROTOCOLS = [3, 4, 5]
TEXTS = ["", "text", '{"additional_parameters": {"n": 1}}', "λ ångström 測定", "\0\n\x1b", "\ud800", "x" * 100_000]


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


class Persistent(pickle.Pickler):
    def persistent_id(self, obj):
        return "id" if obj == "text" else None


def boxed(obj):
    """Put an object into a 0-d object array as it is."""
    array = np.empty((), dtype=object)
    array[()] = obj
    return array


def global_pickle(module, name, rest=b""):
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + rest + b"."


HARMLESS = {
    "none in one dimension": np.array([None], dtype=object),
    "none twice": np.array([None, None], dtype=object),
    "none in an array in the array": boxed(boxed(None)),
    "a number": boxed(3),
    "bytes": boxed(b"text"),
    "a bytearray": boxed(bytearray(b"text")),
    "a list": boxed(["text"]),
    "a tuple": boxed(("text",)),
    "a dictionary": boxed({"text": "text"}),
    "a NumPy string": boxed(np.str_("text")),
    "a NumPy number": boxed(np.float64(1)),
    "an array in the array": boxed(boxed("text")),
    "an array of text in the array": boxed(np.array("text")),
    "one dimension": np.array(["text"], dtype=object),
    "two strings": np.array(["text", "text"], dtype=object),
    "no string": np.array([], dtype=object),
    "two dimensions": np.array([["text"]], dtype=object),
    "a text array": np.array("text"),
    "a float array": np.array(1.0),
    "a record": np.array(("text",), [("a", object)]),
    "a plain string": "text",
    "a plain list": ["text"],
    "plain nothing": None,
    "a dtype": np.dtype(object),
    "a type": np.ndarray,
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
def test_a_string_in_an_array_comes_back(text, protocol):
    assert unpickle_text(pickle.dumps(np.array(text, dtype=object), protocol)) == text


@pytest.mark.parametrize("text", [text for text in TEXTS if text != "\ud800"], ids=lambda text: ascii(text[:20]))
def test_what_savez_writes_comes_back(tmp_path, text):
    np.save(tmp_path / "a.npy", np.array(text, dtype=object))
    file = io.BytesIO((tmp_path / "a.npy").read_bytes())
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    assert unpickle_text(file.read()) == text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_the_other_numpy_of_1_and_2_wrote_comes_back(protocol):
    data = pickle.dumps(np.array("text", dtype=object), protocol)
    names = {b"numpy._core.multiarray", b"numpy.core.multiarray"}
    found = next(name for name in names if name in data)
    (replacement,) = names - {found}
    old = data.replace(found, replacement)
    if protocol >= 4:  # strings have a length there, and frames have one too
        old = old.replace(bytes([len(found)]) + replacement, bytes([len(replacement)]) + replacement)
        change = len(replacement) - len(found)
        frame = int.from_bytes(old[3:11], "little") + change * data.count(found)
        old = old[:3] + frame.to_bytes(8, "little") + old[11:]
    assert unpickle_text(old) == "text"


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(exclude_categories=[])), st.sampled_from(PROTOCOLS))
def test_any_string_comes_back(text, protocol):
    assert unpickle_text(pickle.dumps(np.array(text, dtype=object), protocol)) == text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_none_in_an_array_comes_back(protocol):
    assert unpickle_text(pickle.dumps(np.array(None), protocol)) is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("content", HARMLESS.values(), ids=HARMLESS)
def test_anything_but_one_string_is_a_value_error(content, protocol):
    with pytest.raises(ValueError, match="pickle"):
        unpickle_text(pickle.dumps(content, protocol))


@pytest.mark.parametrize("protocol", [0, 1, 2, *PROTOCOLS])
@pytest.mark.parametrize("wrap", [boxed, lambda call: call, lambda call: np.array(["text", call], dtype=object)])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {}",)),
        (os.mkdir, ("{}",)),
        (builtins.eval, ("__import__('os').mkdir({!r})",)),
        (builtins.exec, ("import os; os.mkdir({!r})",)),
        (builtins.open, ("{}", "w")),
        (subprocess.check_call, (["touch", "{}"],)),
        (np.save, ("{}.npy", 1)),
        (np.ndarray.tofile, (np.zeros(1), "{}")),
    ],
)
def test_a_call_in_a_pickle_is_not_made(tmp_path, function, arguments, wrap, protocol):
    path = str(tmp_path / "marker")
    arguments = [
        [part.format(path) for part in argument] if isinstance(argument, list) else argument
        for argument in (a.format(path) if isinstance(a, str) else a for a in arguments)
    ]
    with pytest.raises(ValueError, match="refused"):
        unpickle_text(pickle.dumps(wrap(Calls(function, *arguments)), protocol))
    assert list(tmp_path.iterdir()) == []


def test_the_same_call_is_made_by_a_pickle_that_is_trusted(tmp_path):
    # Or the test above could not fail.
    pickle.loads(pickle.dumps(boxed(Calls(os.mkdir, str(tmp_path / "marker")))))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("builtins", "str"),
        ("os", "system"),
        ("posix", "system"),
        ("sys", "exit"),
        ("numpy", "load"),
        ("numpy", "frombuffer"),
        ("numpy", "ndarray.tofile"),
        ("numpy", "dtype.__class__"),
        ("numpy", ""),
        ("", ""),
        ("numpy._core.multiarray", "scalar"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy.core.numeric", "_frombuffer"),
        ("copyreg", "_reconstructor"),
        ("ptychoproduct.npz.unpickle", "_StandIn"),
        ("ptychoproduct.npz.unpickle", "pickle.loads"),
        ("no.such.module", "x"),
    ],
)
def test_a_name_that_arrays_do_not_need_is_refused(module, name):
    with pytest.raises(ValueError, match="refused"):
        unpickle_text(global_pickle(module, name))


@pytest.mark.parametrize("name", ["ndarray", "dtype"])
@pytest.mark.parametrize(
    "rest",
    [b"", b")R", b")\x81", b")R}b", b"}b", b"N}\x86b", b"U\x04textb", b")R(K\x01)NNlb", b")R(K\x01)NN(Vtext\nltb"],
)
def test_the_allowed_names_alone_make_no_string(name, rest):
    with pytest.raises(ValueError, match="pickle"):
        unpickle_text(global_pickle("numpy", name, rest))


def test_the_names_stay_inert_after_a_hostile_pickle():
    with pytest.raises(ValueError, match="pickle"):
        unpickle_text(global_pickle("numpy", "ndarray", b"N}U\x05stateU\x04textsb\x86b"))
    assert unpickle_text(pickle.dumps(np.array("text", dtype=object))) == "text"


def test_persistent_objects_are_refused():
    file = io.BytesIO()
    Persistent(file).dump(boxed("text"))
    with pytest.raises(ValueError, match="refused"):
        unpickle_text(file.getvalue())


def test_buffers_out_of_band_are_refused():
    data = pickle.dumps(np.zeros(3), 5, buffer_callback=lambda _: False)
    with pytest.raises(ValueError, match="refused"):
        unpickle_text(data)


@pytest.mark.parametrize("data", [b"", b".", b"N.", b"garbage", b"\x80\x05", b"\x80\xff.", b"(" * 1000, b"\x82\x01."])
def test_what_is_no_pickle_is_a_value_error(data):
    with pytest.raises(ValueError, match="pickle"):
        unpickle_text(data)


def test_a_deep_nest_is_a_value_error():
    with pytest.raises(ValueError, match="pickle"):
        unpickle_text(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_is_cut_is_a_value_error(protocol):
    data = pickle.dumps(np.array("some text", dtype=object), protocol)
    for length in range(len(data)):
        with pytest.raises(ValueError, match="pickle"):
            unpickle_text(data[:length])


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_error(data):
    with pytest.raises(ValueError, match="pickle"):
        unpickle_text(data)


@settings(deadline=None, max_examples=500)
@given(st.sampled_from(PROTOCOLS), st.data())
def test_a_pickle_with_changed_bytes_is_a_string_or_a_value_error(protocol, data):
    content = bytearray(pickle.dumps(np.array("some text", dtype=object), protocol))
    opcodes = st.sampled_from([ord(opcode.code) for opcode in pickletools.opcodes if opcode.name != "LONG_BINPUT"])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(opcodes)
    try:
        text = unpickle_text(bytes(content))
    except ValueError:
        return
    assert isinstance(text, str)


def test_a_few_bytes_cannot_ask_for_much_memory():
    # LONG_BINPUT to a high place makes Python's unpickler allocate and clear all places below. In a child process, to
    # measure its peak alone.
    program = """
import resource
from ptychoproduct.npz.unpickle import _Unpickler, unpickle_text
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    unpickle_text(b"\\x80\\x02Nr" + (2**25).to_bytes(4, "little") + b".")
except ValueError:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 100


def test_frames_inside_each_other_hide_no_opcodes():
    """Python skips what is left of the outer frame, here the head of a text, and would run the text."""
    hidden = b"cos\nsystem\n."
    head = b"C" + bytes([len(hidden)])
    outer, inner = (b"\x95" + length.to_bytes(8, "little") for length in (9 + len(head), len(hidden)))
    with pytest.raises(pickle.UnpicklingError, match=r"names os\.system"):  # what is looked at is not what is run
        _Unpickler(io.BytesIO(b"\x80\x04" + outer + inner + head + hidden + b".")).load()
    with pytest.raises(ValueError, match="a pickle of something else than an array"):
        unpickle_text(b"\x80\x04" + outer + inner + head + hidden + b".")
