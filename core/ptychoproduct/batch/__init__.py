"""Many scans, and one very large scan: in this process, or on a Dask cluster; what was done is in a journal.

Imports `convert` and above; `dask.distributed` only when a cluster is asked for. Its point: `run_batch`.
"""
