"""Where a product comes from: the program and its options, and the files of the scan.

``specs/data_contracts.md`` says which attributes these are.

A clock is asked only where a user wants that: the same conversion makes the same bytes, whenever it is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py

from ptychoproduct.compression.codecs import Codec
from ptychoproduct.errors import SourceError
from ptychoproduct.hdf5.contract_fields import read_attribute
from ptychoproduct.model import contract
from ptychoproduct.product.options import ExportOptions
from ptychoproduct.system.version import VERSION

PROGRAM = "ptychoproduct"
# Of a source that is not digested as a whole, which would take as long as to read it once more.
HEAD_BYTES = 1024**2
# Options that change how the work is done, and no byte of the product.
_WITHOUT_EFFECT = ("threads", "memory_bytes", "overwrite", "force", "verify", "record_time")


@dataclass(frozen=True)
class SourceFile:
    """A file that a product was made from.

    Parameters
    ----------
    name : str
        Without its folder.
    bytes : int
    sha256, head_sha256 : str or None
        Of all of it, or of its first MiB; one of the two.
    """

    name: str
    bytes: int
    sha256: str | None = None
    head_sha256: str | None = None


@dataclass(frozen=True)
class Provenance:
    """What a product says of its origin; empty where it says nothing.

    Parameters
    ----------
    program : str
        With its version.
    options : dict
        Those that were not left at their default, as names of `ExportOptions`.
    sources : tuple of SourceFile
    created : str
        In ISO 8601, UTC.
    """

    program: str = ""
    options: dict[str, Any] | None = None
    sources: tuple[SourceFile, ...] = ()
    created: str = ""


def write_provenance(file: h5py.File, options: ExportOptions, include_raw: bool, sources: Sequence[Path]) -> None:
    """Write the attributes that say where a product comes from.

    Raises
    ------
    SourceError
        A source cannot be read any more.
    """
    file.attrs[contract.PROGRAM.name] = f"{PROGRAM} {VERSION}"
    file.attrs[contract.PROGRAM_OPTIONS.name] = json.dumps(_given(options, include_raw), sort_keys=True)
    files = [path for path in dict.fromkeys(sources) if path.is_file()]
    if files:
        described = [vars(_described(path, options.digests_frames)) for path in files]
        known = [{name: value for name, value in entry.items() if value is not None} for entry in described]
        file.attrs[contract.SOURCE_FILES.name] = json.dumps(known, ensure_ascii=False)
    if options.record_time:
        file.attrs[contract.CREATED.name] = datetime.now(UTC).isoformat(timespec="seconds")


def read_provenance(file: h5py.File) -> Provenance:
    """Read what a product says of its origin; what is not as the contract says counts as absent."""
    options, sources = (_from_json(file, attribute) for attribute in (contract.PROGRAM_OPTIONS, contract.SOURCE_FILES))
    names = [field.name for field in fields(SourceFile)]
    return Provenance(
        program=_text(file, contract.PROGRAM),
        options=options if isinstance(options, dict) else None,
        sources=tuple(
            SourceFile(**{name: entry[name] for name in names if name in entry})
            for entry in (sources if isinstance(sources, list) else ())
            if isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("bytes"), int)
        ),
        created=_text(file, contract.CREATED),
    )


def _given(options: ExportOptions, include_raw: bool) -> dict[str, Any]:
    given: dict[str, Any] = {} if include_raw else {"include_raw": False}
    for field in fields(options):
        value = getattr(options, field.name)
        if value != field.default and field.name not in _WITHOUT_EFFECT:
            given[field.name] = str(value) if isinstance(value, Codec) else value
    return given


def _described(path: Path, whole: bool) -> SourceFile:
    try:
        with path.open("rb") as file:
            head = hashlib.sha256(file.read(HEAD_BYTES), usedforsecurity=False)
            if not whole:
                return SourceFile(path.name, path.stat().st_size, head_sha256=head.hexdigest())
            while block := file.read(HEAD_BYTES):
                head.update(block)
            return SourceFile(path.name, path.stat().st_size, sha256=head.hexdigest())
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error


def _text(file: h5py.File, attribute: contract.Attribute) -> str:
    value = read_attribute(file, attribute)
    return value if isinstance(value, str) else ""


def _from_json(file: h5py.File, attribute: contract.Attribute) -> Any:
    try:
        return json.loads(_text(file, attribute) or "null")
    except (ValueError, RecursionError):
        return None
