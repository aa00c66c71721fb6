"""``python -m ptychoproduct``: runs the installed command, because core imports no command line."""

from importlib.metadata import entry_points

(command,) = entry_points(group="console_scripts", name="ptychoproduct")
command.load()()
