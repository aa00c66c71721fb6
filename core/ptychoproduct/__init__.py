"""Ptychography scans in PtychoPINN's NPZ format to ptychodus's HDF5 products, and back."""

import lazy_loader

from ptychoproduct.system.version import VERSION

# __init__.pyi lists the names; a module is imported when one of its names is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = VERSION
