"""What the operating system gives: cores and threads, files at offsets, outputs that are complete or absent.

Imports `errors` and `aliases` only. Its point: `Workers` (work on every core, results in order), `PositionalFile` (a
file read at offsets) and `output_group` (several outputs that appear together, or not at all).
"""
