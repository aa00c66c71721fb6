"""Progress bars, where standard error is a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ptychoproduct_cli.signals import raise_signal


@contextmanager
def progress_bar(
    title: str, total_bytes: Callable[[], int], arguments: argparse.Namespace
) -> Iterator[Callable[[int], None]]:
    """Show a bar with MB/s and the time left, if standard error is a terminal; else the total is not asked for."""
    with progress_bars(lambda: {title: total_bytes()}, 1, arguments) as (advance,):
        yield advance


@contextmanager
def progress_bars(
    totals_bytes: Callable[[], Mapping[str, int]], count: int, arguments: argparse.Namespace
) -> Iterator[list[Callable[[int], None]]]:
    """Show a bar for each of `count` titles, once it advances; see `progress_bar`."""
    is_shown = not arguments.quiet and sys.stderr.isatty()
    totals = totals_bytes() if is_shown else {}
    if not any(totals.values()):
        yield [lambda _: raise_signal()] * count
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def bar(title: str, total_bytes: int) -> Callable[[int], None]:
            task = progress.add_task(title, total=total_bytes, visible=False)

            def advance(nbytes: int) -> None:
                raise_signal()
                progress.update(task, advance=nbytes, visible=True)

            return advance

        yield [bar(title, total_bytes) for title, total_bytes in totals.items()]


@contextmanager
def step_progress(arguments: argparse.Namespace) -> Iterator[Callable[[str, int, int], None] | None]:
    """Show the step that is being done, and how many there are, where standard error is a terminal."""
    if arguments.quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda text, done, total: progress.update(task, description=text, completed=done, total=total or None)
