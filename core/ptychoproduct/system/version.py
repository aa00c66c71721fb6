"""The version of this package, as `pyproject.toml` has it."""

# Not asked of importlib.metadata, which imports the standard library's e-mail parser: 20 ms of a start.
VERSION = "0.1.0"
