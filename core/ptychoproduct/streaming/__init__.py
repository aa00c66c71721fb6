"""Rows in, chunks out. A row is everything under one index of the first axis: a frame, for frames.

Imports `hdf5` and above. Its point: `RowSource` (where rows come from) and `ChunkStream` (how they become encoded
chunks).
"""
