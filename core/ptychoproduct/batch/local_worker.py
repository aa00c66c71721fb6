"""What Dask loads into workers on this machine: they belong to the client, which answers Ctrl-C for them.

A terminal sends the signal to the workers, too, and they would die in the midst of a scan.
"""

import signal


def dask_setup(_: object) -> None:
    """Leave Ctrl-C to the client."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
