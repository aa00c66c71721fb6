"""Running a batch: what is left to do is done, each scan is noted, and a scan that fails does not end the others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from ptychoproduct.aliases import Progress
from ptychoproduct.batch.jobs import Attempt, Job, attempt
from ptychoproduct.batch.journal import Journal

Engine = Callable[[Sequence[Job], Progress], Generator[tuple[Job, Attempt], None, None]]
"""Does jobs, and gives each with its attempt when it is done; closing it ends what is running."""


@dataclass(frozen=True)
class Outcome:
    """What became of a scan.

    Parameters
    ----------
    job : Job
    status : {"done", "skipped", "failed"}
    attempt : Attempt
    error : str, optional
        What is wrong, in one line.
    """

    job: Job
    status: str
    attempt: Attempt = field(default_factory=Attempt)
    error: str | None = None


def one_after_the_other(jobs: Sequence[Job], progress: Progress) -> Generator[tuple[Job, Attempt], None, None]:
    """Do jobs in this process, each on all cores; see `Engine`."""
    for job in jobs:
        yield job, attempt(job.prepare, progress, job.written)


def run_batch(
    jobs: Sequence[Job],
    engine: Engine = one_after_the_other,
    journal: Journal | None = None,
    *,
    resume: bool = False,
    fail_fast: bool = False,
    progress: Progress = lambda _: None,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
    problem_of: Callable[[Any], str | None] = lambda _: None,
    message_of: Callable[[Exception], str] = str,
) -> list[Outcome]:
    """Do the jobs of a batch.

    Parameters
    ----------
    jobs : sequence of Job
    engine : Engine
        Where they are done; in this process by default.
    journal : Journal, optional
    resume : bool
        Whether what the journal has as done is left out.
    fail_fast : bool
        Whether the first failure ends the batch.
    progress : callable
        Called with a number of bytes whenever so many are done.
    on_outcome : callable
        Called with each outcome, when it is in the journal.
    problem_of : callable
        Says what is wrong with a summary, such as that of a product that is not valid.
    message_of : callable
        Says in one line what an error is.

    Returns
    -------
    list of Outcome
        In the order in which they came. After a failure that ends the batch, others are missing.

    Raises
    ------
    OutputError
        The journal cannot be written.
    """
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        on_outcome(outcome)

    left = []
    for job in jobs:
        if journal is not None:
            journal.note_source(job)
        if resume and journal is not None and journal.has_done(job):
            note(Outcome(job, "skipped"))
        else:
            left.append(job)
    with closing(engine(left, progress)) as running:
        for job, found in running:
            error = problem_of(found.summary) if found.error is None else message_of(found.error)
            if journal is not None:
                journal.add(job, found, error)
            note(Outcome(job, "done" if error is None else "failed", found, error))
            if error is not None and fail_fast:
                break
    return outcomes
