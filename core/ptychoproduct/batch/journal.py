"""What a batch has done, in a file beside its outputs: one JSON object a line, on the disk before the next scan.

A line that is not complete, as of a run that was killed, is passed over.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptychoproduct.batch.jobs import Attempt, Job, file_digest
from ptychoproduct.system.atomic import writing_errors

JOURNAL_NAME = "ptychoproduct-batch.jsonl"
_HEAD_BYTES = 64 * 1024


def stamp(path: Path) -> dict[str, Any] | None:
    """Return size, time and SHA-256 of the first 64 KiB of a file; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = hashlib.sha256(file.read(_HEAD_BYTES), usedforsecurity=False).hexdigest()
            found = os.fstat(file.fileno())
    except OSError:
        return None
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns, "head_sha256": head}


class Journal:
    """The journal of a folder of outputs.

    Parameters
    ----------
    path : Path
        Made when the first record is written.
    command : str
        What is done: records of other commands are not looked at.
    options : mapping
        What the command was told, of everything that changes an output.

    Raises
    ------
    OutputError
        It cannot be read.
    """

    def __init__(self, path: Path, command: str, options: Mapping[str, Any]) -> None:
        self.path = path
        self._command = command
        self._options = json.loads(json.dumps(options, default=str))
        self._records: dict[str, dict[str, Any]] = {}
        self._sources: dict[Path, dict[str, Any]] = {}
        with writing_errors(path):
            text = path.read_bytes() if path.exists() else b""
        self._ends_early = bool(text) and not text.endswith(b"\n")
        for line in text.splitlines():
            try:
                record = json.loads(line)
                if record["command"] == command:
                    self._records[record["output"]] = record
            except (ValueError, KeyError, TypeError):  # the last line of a killed run
                continue

    def note_source(self, job: Job) -> None:
        """Look at a source before the work: one that changes meanwhile is not done."""
        self._sources[job.source] = stamp(job.source) or {}

    def has_done(self, job: Job) -> bool:
        """Whether outputs are as the journal says, to the last byte, and would be the same if they were made again."""
        self.note_source(job)
        record = self._records.get(self._name(job))
        if record is None or record.get("error") is not None or job.output is None:
            return False
        if any(record.get(key) != value for key, value in self._facts(job).items()):
            return False
        try:  # last, as all is read
            return record.get("sha256") == [file_digest(path) for path in job.written]
        except OSError:
            return False

    def add(self, job: Job, attempt: Attempt, error: str | None) -> None:
        """Append a record, and wait until it is on the disk.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        record = {
            "command": self._command,
            "output": self._name(job),
            **self._facts(job),
            "sha256": list(attempt.digests),
            "seconds": round(attempt.seconds, 3),
            "ratio": getattr(attempt.summary, "ratio", None),
            "warnings": list(attempt.warnings),
            "error": error,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        self._records[record["output"]] = record
        line = (b"\n" if self._ends_early else b"") + json.dumps(record).encode() + b"\n"
        self._ends_early = False
        with writing_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())

    def _name(self, job: Job) -> str:
        """Return an output's name in the folder, which may be moved."""
        return (job.output or job.source).name

    def _facts(self, job: Job) -> dict[str, Any]:
        """Return all that must be as it was for an output to count as done."""
        return {
            "source": {"path": str(job.source.absolute()), **self._sources[job.source]},
            "inputs": {str(path.absolute()): stamp(path) for path in job.inputs},
            "options": self._options,
            "product": None if job.output is None else stamp(job.output),
            "beside": [stamp(path) for path in job.beside],
        }
