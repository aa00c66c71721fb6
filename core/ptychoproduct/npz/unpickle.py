"""Reading the pickles that PtychoPINN's files hold: a string, or None, in a 0-d object array.

NumPy pickles object arrays, and unpickling runs whatever the file asks for. Here nothing of NumPy or of Python can be
reached: the three names that such a pickle needs are answered by inert stand-ins, every other name is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any


class _StandIn:
    """Takes any arguments and any state, and does nothing with them but keep the state."""

    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _ArrayStandIn(_StandIn):
    pass


class _TypeStandIn(_StandIn):
    pass


# Where NumPy 1 and 2 keep the function that array pickles name.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _ArrayStandIn,
    ("numpy._core.multiarray", "_reconstruct"): _ArrayStandIn,
    ("numpy", "ndarray"): _StandIn,
    ("numpy", "dtype"): _TypeStandIn,
}


# What NumPy's pickles of such arrays consist of. Left out, among others, is what fills memory: a memo of any index.
_OPCODES = frozenset(
    {
        *("PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "MEMOIZE", "BINPUT", "BINGET"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "BINUNICODE", "SHORT_BINUNICODE"),
        *("BINBYTES", "SHORT_BINBYTES", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("EMPTY_LIST", "APPEND", "APPENDS"),
    }
)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None


def _without_frames(data: bytes) -> bytes:
    """Return a pickle of allowed opcodes without its frames.

    Where frames lie in each other, Python's unpickler skips bytes, and then runs other opcodes than were looked at.
    """
    found = [(opcode.name, place or 0) for opcode, _, place in pickletools.genops(data)]
    for name, _ in found:
        if name not in _OPCODES:
            raise pickle.UnpicklingError(f"it has the opcode {name}")
    stops = [place for _, place in found[1:]] + [found[-1][1] + 1]
    return b"".join(data[start:stop] for (name, start), stop in zip(found, stops, strict=True) if name != "FRAME")


def unpickle_text(data: bytes) -> str | None:
    """Return the string, or None, that a pickled 0-d NumPy object array holds.

    Parameters
    ----------
    data : bytes
        The data of an NPY file, behind its header.

    Raises
    ------
    ValueError
        The pickle holds anything else, or names anything but NumPy's arrays.
    """
    try:
        array = _Unpickler(io.BytesIO(_without_frames(data))).load()
    except Exception as error:  # a pickle from elsewhere can fail in any way
        raise ValueError(f"a pickle that is refused: {error}") from error
    if not isinstance(array, _ArrayStandIn):
        raise ValueError("a pickle of something else than an array")
    # ndarray.__reduce__: (version, shape, dtype, is_fortran, list of items)
    match array.state:
        case (int(), (), _TypeStandIn(), _, [str() | None as text]):
            return text
    raise ValueError("a pickled array that does not hold one string or None")
