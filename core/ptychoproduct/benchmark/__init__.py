"""How fast this package is on this machine, beside other tools.

Imports everything above, and the package's own front door, as a user does. Its point: `run_benchmark`.
"""
