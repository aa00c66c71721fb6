"""``python -m ptychoproduct``: the command ``ptychoproduct``, found by its entry point; core imports no command line."""

from importlib.metadata import entry_points

(command,) = entry_points(group="console_scripts", name="ptychoproduct")
command.load()()
