"""Print the outline of a product: python show_product.py PRODUCT.h5."""

import sys

from ptychoproduct import open_product

with open_product(sys.argv[1]) as product:
    print("Name:", product.meta.name)
    print("Scan positions:", len(product.x_m))
    print("Probe shape:", product.probe.shape)
    print("Object shape:", product.object.shape)
    if product.frames is not None:
        print("Diffraction shape:", product.frames.shape)
