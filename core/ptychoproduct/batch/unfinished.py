"""What a conversion on a cluster has done, in a folder beside the product, from which the next one goes on.

    .ptychoproduct-*.part/ranges.jsonl    one line for each range of frames that is done, with its digest
                          product.h5      the unfinished product
                          NAME.frames/    the shards, if there are to be any

The folder is gone when the product is complete. No line is waited for until it is on the disk: digests tell what is.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.batch.encoding import Encoded
from ptychoproduct.batch.journal import stamp
from ptychoproduct.errors import OutputError
from ptychoproduct.streaming.sources import RowSource
from ptychoproduct.streaming.stored_rows import StoredRows
from ptychoproduct.system.atomic import Place, writing_errors
from ptychoproduct.system.part_files import (
    HAS_FOLDER,
    UNFINISHED_FILE,
    folder_beside,
    held_folder,
    new_name,
    parts_of,
    remove_folder,
    remove_leftovers,
)
from ptychoproduct.system.version import VERSION

_JOURNAL = "ranges.jsonl"
_REMOVE_S = 10.0


class Unfinished:
    """The ranges of frames of one product that are done.

    Parameters
    ----------
    folder : Path
    key : str
        Of all that decides about the product's bytes.
    target : Path
        The product.
    """

    def __init__(self, folder: Path, key: str, target: Path) -> None:
        self.shards = folder / folder_beside(target).name
        self.part = folder / UNFINISHED_FILE
        self._folder = folder
        self._journal = folder / _JOURNAL
        self._key = key
        self._records: dict[tuple[int, int], dict[str, Any]] = {}
        self._stored_as = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is done."""
        return not self._records

    def place(self, has_shards: bool) -> Place:
        """Return where the product is until it is complete."""
        if has_shards:
            with suppress(FileExistsError):
                self.shards.mkdir()
            (self._folder / HAS_FOLDER).touch()  # the folder was there before: where it is not now, it has its name
        return Place(self.part, self.shards if has_shards else None)

    def read(self) -> bool:
        """Read what an earlier run has done; False where that was for another product."""
        try:
            first, second, *others = self._journal.read_bytes().splitlines()
            is_same = json.loads(first) == self._key
            self._stored_as = json.loads(second)
        except (OSError, ValueError):
            return False
        for line in others:
            with suppress(ValueError, KeyError, TypeError):  # the last line of a run that was killed
                record = json.loads(line)
                self._records[record["first"], record["stop"]] = record
        return bool(is_same)

    def begin(self, stored_as: str) -> None:
        """Forget what was done for frames that were stored in another way."""
        if self._stored_as != stored_as or not self._journal.exists():
            self._stored_as, self._records = stored_as, {}
            lines = f"{json.dumps(self._key)}\n{json.dumps(stored_as)}\n"
            with writing_errors(self._journal):
                self._journal.write_text(lines, encoding="utf-8")
        else:
            with writing_errors(self._journal), self._journal.open("ab") as file:
                file.write(b"\n")  # behind a line that is not complete

    def checksums(self, part: range) -> Array:
        """Return the checksums of the frames of a range that is done."""
        return np.frombuffer(bytes.fromhex(self._records[part.start, part.stop]["row_crc32"]), "<u4")

    def nbytes(self, part: range) -> int:
        """Return the size of the shard of a range that is done."""
        nbytes: int = self._records[part.start, part.stop]["nbytes"]
        return nbytes

    def add_source_checksums(self, part: range, rows: RowSource) -> None:
        """Tell rows that a range of them has been read elsewhere."""
        if isinstance(rows, StoredRows):
            found = self._records[part.start, part.stop]["source_crc32"]
            rows.add_checksums({offset: (length, crc) for offset, length, crc in found})

    def record(self, part: range) -> dict[str, Any] | None:
        """Return what is noted of a range of frames; None where it is not done."""
        return self._records.get((part.start, part.stop))

    def add(self, part: range, done: Encoded) -> None:
        """Note that a range is done.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        record = {
            "first": part.start,
            "stop": part.stop,
            "sha256": done.digest,
            "chunks": done.places,
            "nbytes": done.nbytes,
            "row_crc32": done.checksums.astype("<u4").tobytes().hex(),
            "source_crc32": [(offset, *found) for offset, found in done.source_checksums.items()],
        }
        self._records[part.start, part.stop] = record
        with writing_errors(self._journal), self._journal.open("ab") as file:
            file.write(json.dumps(record).encode() + b"\n")


def key_of(inputs: Sequence[Path], *choices: Any) -> str:
    """Return the digest of what decides about a product's bytes: the inputs, as far as `stamp` tells, and choices."""
    stamps = [(str(path.absolute()), stamp(path)) for path in inputs]
    pickled = pickle.dumps((VERSION, stamps, choices))
    return hashlib.sha256(pickled, usedforsecurity=False).hexdigest()


@contextmanager
def unfinished(target: Path, key: str, *, resume: bool, has_shards: bool) -> Iterator[Unfinished]:
    """Give the record of what is done; its folder is removed when the block ends.

    Parameters
    ----------
    target : Path
        The product, symbolic links resolved.
    key : str
        See `key_of`.
    resume : bool
        Whether to go on with what an earlier run has left, and to leave what is done if there is an error.
    has_shards : bool

    Raises
    ------
    OutputError
        The folder cannot be made, or there are shards of another product.
    """
    beside = folder_beside(target)
    with ExitStack() as stack:
        with writing_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            found = _continued(target, key, stack) if resume else None
            if found is None:
                remove_leftovers(target)
                if has_shards and "%" in beside.name:  # HDF5 puts numbers in its place
                    raise OutputError(target, "there can be no shards of a file with % in its name; give another name")
                if has_shards and beside.exists():
                    whose = "this product" if target.exists() else "another product"
                    problem = f"is there already, with the shards of {whose}; remove it, or give another name"
                    raise OutputError(beside, problem)
                folder = new_name(target, ".part")
                stack.enter_context(held_folder(folder))
                found = folder, Unfinished(folder, key, target)
        folder, record = found
        try:
            yield record
        except BaseException as error:
            if resume and not record.is_empty:
                error.add_note(f"kept {folder}, from which the same command goes on")
            else:
                _remove(folder, target)
            raise
        _remove(folder, target)


def _continued(target: Path, key: str, stack: ExitStack) -> tuple[Path, Unfinished] | None:
    """Take the folder of an earlier run over, if there is one."""
    for folder in filter(Path.is_dir, parts_of(target)):
        with ExitStack() as held:
            record = Unfinished(folder, key, target)
            if not held.enter_context(held_folder(folder)) or not record.read() or not record.part.exists():
                continue  # without the part, the product has its name already
            if (folder / HAS_FOLDER).exists() and not record.shards.exists():
                folder_beside(target).rename(record.shards)  # they had their name, and the product had not
            stack.enter_context(held.pop_all())
            return folder, record
    return None


def _remove(folder: Path, target: Path) -> None:
    """Remove the folder; workers that have not ended yet may still write in it."""
    end = time.monotonic() + _REMOVE_S
    while folder.exists() and time.monotonic() < end:
        with suppress(OSError):
            remove_folder(folder, target)
            return
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)
