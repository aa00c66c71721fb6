"""Options for many inputs at once, and how it is told that there are many."""

from __future__ import annotations

import argparse
import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# What the options of this file are called in a Namespace; they change no output.
NAMES = ("output_dir", "list", "resume", "fail_fast", "dry_run", "cluster", "more")


class _TakesThePlaceOfPositionals(argparse.Action):
    """Makes positional arguments optional: all inputs are taken together afterwards, see `given_inputs`.

    With `nargs="+"` argparse would not find those that stand behind an option.
    """

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: object) -> None:
        setattr(namespace, self.dest, values)
        positionals = [action for action in parser._actions if not action.option_strings]
        for action in positionals[self.dest == "output_dir" :]:
            action.required = False


def add_batch_options(parser: argparse.ArgumentParser, inputs: str, outputs: str | None, resume_one: str = "") -> None:
    """Add the options for many inputs.

    `inputs` and `outputs` are what help calls them, `resume_one` is what `--resume` does with one input.
    """
    group = parser.add_argument_group(
        f"many {inputs} at once",
        f"in place of one of the {inputs} give several, a folder, or a pattern in quotes such as 'night/*'; one that "
        "fails does not stop the others; exit codes: 0 all are done, 2 some failed, 1 the batch could not be started",
    )
    if outputs is not None:
        group.add_argument(
            "--output-dir",
            action=_TakesThePlaceOfPositionals,
            metavar="DIR",
            help=f"folder for the {outputs}, which are named like the {inputs}; a journal of what was done, "
            "ptychoproduct-batch.jsonl, is written there",
        )
        group.add_argument(
            "--resume",
            "--skip-existing",
            action="store_true",
            help=f"make only {outputs} that are missing or have changed, whose input or options have changed, or that "
            f"failed, according to the journal{resume_one}",
        )
    group.add_argument(
        "--list",
        action=_TakesThePlaceOfPositionals,
        metavar="FILE",
        help=f"text file that names {inputs}, one a line; - is standard input",
    )
    failing = group.add_mutually_exclusive_group()
    failing.add_argument("--fail-fast", action="store_true", help="stop at the first failure")
    failing.add_argument(
        "--keep-going", action="store_false", dest="fail_fast", help="go on after a failure (this is the default)"
    )
    group.add_argument("--dry-run", action="store_true", help="list what would be done, and do nothing")
    group.add_argument(
        "--cluster",
        metavar="ADDRESS|FILE|local[:N]",
        help="work on a Dask cluster: its scheduler's address, its scheduler file (*.json), or N processes on this "
        "machine, for one scan N threads; needs the extra `cluster` (default: for several inputs "
        "DASK_SCHEDULER_ADDRESS if that is set, else this process)",
    )


def is_batch(arguments: argparse.Namespace) -> bool:
    """Whether there may be many inputs; one that is given with its own output is none."""
    batch = arguments.command.batch
    if batch is None or not hasattr(arguments, "list"):
        return False
    if batch.output_suffix is not None or hasattr(arguments, "output_dir"):
        return arguments.output_dir is not None or arguments.list is not None
    words = given_inputs(arguments)
    return bool(
        len(words) != 1 or arguments.list or arguments.cluster or Path(words[0]).is_dir() or _is_pattern(words[0])
    )


def given_inputs(arguments: argparse.Namespace) -> list[str]:
    """Return all words of the command line that are no options."""
    named = (getattr(arguments, name) for name in arguments.command.batch.positionals)
    return [word for word in named if word is not None] + list(getattr(arguments, "more", ()))


def take_more(arguments: argparse.Namespace, unknown: Sequence[str]) -> bool:
    """Take words that argparse has no place for as further inputs; false where these are options, or not wanted."""
    if any(word.startswith("-") for word in unknown):
        return False
    arguments.more = list(unknown)
    return is_batch(arguments)


def _is_pattern(word: str) -> bool:
    return glob.has_magic(word) and not Path(word).exists()
