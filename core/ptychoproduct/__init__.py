"""Ptychography scans in PtychoPINN's NPZ format to ptychodus's HDF5 products, and back."""

import lazy_loader

# What there is stands in __init__.pyi; a module is imported when something of it is asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
