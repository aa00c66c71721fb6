"""What commands print: results, errors."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def report(result: Mapping[str, Any], rows: Mapping[str, str], arguments: argparse.Namespace) -> None:
    """Print a result: `result` as JSON where that was asked for, else `rows` as a table."""
    if arguments.json:
        print_json(result)
    elif not arguments.quiet:
        print_rows(rows)


def print_error(prog: str, message: str) -> None:
    """Print one line on standard error."""
    print(f"{prog}: error: {message}", file=sys.stderr)


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(result, default=_jsonable))


def print_rows(rows: Mapping[str, str]) -> None:
    """Print names and values in two columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(value))
    Console().print(table)


def megabytes(nbytes: float) -> str:
    """Spell a size, in 10⁶ bytes."""
    return f"{nbytes / 1e6:,.1f} MB"


def _jsonable(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else list(value)
