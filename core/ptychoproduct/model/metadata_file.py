"""Metadata by name: from TOML or JSON files, and from a command line, whose names they share."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

from ptychoproduct.errors import OptionError, SourceError
from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.units import field_unit, parse_number

LAYER_SPACING = "object_layer_spacing_m"

# One number for both sides of a square pixel.
_SIZES = {
    f"{owner}_pixel_size_m": (f"{owner}_pixel_width_m", f"{owner}_pixel_height_m")
    for owner in ("object", "probe", "detector")
}
_TYPES = {field.name: str(field.type).removesuffix(" | None") for field in fields(ExportMeta)}
_NAMES = (*_TYPES, *_SIZES, LAYER_SPACING)
_MOST_BYTES = 1024**2


@dataclass(frozen=True)
class NamedMetadata:
    """Metadata given by name.

    Parameters
    ----------
    fields : dict
        Of `ExportMeta`.
    object_layer_spacing_m : tuple of float, optional
        See `Reconstruction`; None where it was not given.
    """

    fields: dict[str, Any]
    object_layer_spacing_m: tuple[float, ...] | None = None

    def over(self, other: NamedMetadata) -> NamedMetadata:
        """Return these values, and those that only the other has."""
        spacing = self.object_layer_spacing_m
        return NamedMetadata(other.fields | self.fields, other.object_layer_spacing_m if spacing is None else spacing)


def read_metadata_file(path: str | PathLike[str]) -> NamedMetadata:
    """Read metadata from a file.

    Parameters
    ----------
    path : path
        A TOML file, or a JSON file with one object, of any name; with the names of `named_metadata`. A number may
        be a text with a unit, such as ``"8keV"``.

    Raises
    ------
    SourceError
        The file cannot be read.
    OptionError
        A name is unknown, or a value has the wrong type.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise SourceError(path, "is larger than 1 MiB; give a TOML or JSON file with metadata")
    import tomllib  # 2 ms, for this alone

    try:
        text = data.decode("utf-8-sig")
        # No TOML file begins with a brace.
        values = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and the parsers' own are ValueErrors
        raise SourceError(path, f"is neither TOML nor JSON: {error}") from error
    return named_metadata(values, path)


def named_metadata(values: Mapping[str, Any], origin: str | PathLike[str]) -> NamedMetadata:
    """Check metadata that is given by name.

    Parameters
    ----------
    values : mapping
        By the names of the fields of `ExportMeta`, or ``object_pixel_size_m``, ``probe_pixel_size_m`` and
        ``detector_pixel_size_m`` for square pixels, and ``object_layer_spacing_m``; with dashes or underscores.
        A number may be a text with a unit, such as ``"8keV"``, see `parse_number`.
    origin : path or str
        Name for the messages.

    Raises
    ------
    OptionError
        A name is unknown or given twice, or a value has the wrong type.
    """
    found: dict[str, Any] = {}
    spacing = None
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, 1, cutoff=0.0)
            raise OptionError(file=origin, option=key, problem=f"there is no such name; perhaps {near[0]} is meant")
        if name == LAYER_SPACING:
            spacing = _numbers(value, key, origin)
            continue
        targets = _SIZES.get(name, (name,))
        for target in targets:
            if target in found:
                raise OptionError(file=origin, option=key, problem=f"gives {target} a second time; give it once")
            found[target] = _checked(value, _TYPES[target], key, origin)
    return NamedMetadata(found, spacing)


def _checked(value: Any, field_type: str, key: str, origin: str | PathLike[str]) -> Any:
    if field_type == "float" and isinstance(value, str):
        return _parsed(value, key, origin)
    kind, description = {
        "float": (Real, "a number"),
        "bool": (bool, "true or false"),
    }.get(field_type, (str, "text"))
    if not isinstance(value, kind) or (kind is Real and isinstance(value, bool)):
        raise OptionError(file=origin, option=key, found=repr(value), expected=description)
    return value


def _parsed(text: str, key: str, origin: str | PathLike[str]) -> float:
    """Read a number with its unit; text without a unit is refused, as it is probably a mistake."""
    try:
        float(text)
    except ValueError:
        pass
    else:
        raise OptionError(file=origin, option=key, found=repr(text), expected="a number")
    try:
        return parse_number(text, field_unit(key.replace("-", "_")))
    except ValueError as error:
        raise OptionError(key, str(error), file=origin) from None


def _numbers(value: Any, key: str, origin: str | PathLike[str]) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise OptionError(file=origin, option=key, found=repr(value), expected="a list of numbers")
    return tuple(_checked(number, "float", key, origin) for number in value)
