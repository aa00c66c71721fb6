"""Codecs: their names, their HDF5 filters, and which of them suits which frames.

Imports `npz` and above. Its point: `Codec` (a codec and its settings), `filter_pipeline` (the filters of a dataset, run
outside HDF5) and the profiles.
"""
