"""Make docs/terminal.svg, the picture of the README, from what the commands really print."""

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

BIN = Path(sys.executable).parent
GEOMETRY = "--probe-energy-eV 8000 --detector-distance-m 2 --detector-pixel-size-m 75e-6"
# Each with the lines of its output that are shown.
COMMANDS = (
    ("ptychoproduct simulate scan.npz --frames 2000 --size 256", slice(2)),
    (f"ptychoproduct convert scan.npz scan.h5 {GEOMETRY}", slice(None)),
    ("ptychoproduct validate scan.h5 --deep --source-npz scan.npz", slice(None)),
    ("ptychoproduct inspect scan.h5", slice(None)),
)


def main():
    """Run the commands and draw their terminal."""
    console = Console(record=True, width=100, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    environment = os.environ | {
        "FORCE_COLOR": "1",
        "COLUMNS": "100",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
    }
    with tempfile.TemporaryDirectory() as folder:
        for command, lines in COMMANDS:
            words = shlex.split(command)
            result = subprocess.run(
                [BIN / words[0], *words[1:]],
                cwd=folder, env=environment, text=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            shown = command.replace(GEOMETRY, "--probe-energy-eV 8000 ...")
            console.print(Text.assemble(("$ ", "bold green"), (shown, "bold")))
            console.print(Text.from_ansi("\n".join(result.stdout.splitlines()[lines])))
            console.print()
    svg = console.export_svg(title="ptychoproduct")
    # Without the web font that rich would have the reader's browser fetch.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    Path(__file__).with_name("terminal.svg").write_text(svg)


if __name__ == "__main__":
    main()
