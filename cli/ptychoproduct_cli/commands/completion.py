"""``ptychoproduct completion``: the script with which a shell completes command lines."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from ptychoproduct_cli.command import EXIT_OK, Command
from ptychoproduct_cli.commands import convert, import_

SUMMARY = "print a script that completes command lines in a shell"
DESCRIPTION = """\
Print a script with which the shell completes commands, options, choices and file names when Tab is pressed. Put one of
the examples in the shell's start-up file: ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish.
"""
EXAMPLES = (
    'eval "$(ptychoproduct completion bash)"',
    'eval "$(ptychoproduct completion zsh)"',
    "ptychoproduct completion fish | source",
    'eval "$(ptychoproduct completion bash convert_to_ptychodus_product)"',
)


# Its parser comes as `arguments.main_parser`: `main` imports this module, so this one cannot import `main`.
MAIN_PROGRAM = "ptychoproduct"
EXECUTABLES = {command.prog: command for command in (convert.EXECUTABLE, import_.EXECUTABLE)}
PROGRAMS = (MAIN_PROGRAM, *EXECUTABLES)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell that reads the script")
    parser.add_argument(
        "program",
        nargs="?",
        choices=PROGRAMS,
        default=MAIN_PROGRAM,
        metavar="PROGRAM",
        help=f"program to complete: {', '.join(PROGRAMS)} (default: %(default)s)",
    )


def print_completion(arguments: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from ptychoproduct.compression.codecs import codec_names
    from ptychoproduct.compression.profiles import PROFILES

    choices = {"compression": (*PROFILES, *codec_names()), "diffraction_compression": codec_names()}
    program = arguments.program
    parser = arguments.main_parser if program == MAIN_PROGRAM else EXECUTABLES[program].parser()
    for action in _actions(parser):
        if action.dest in choices:
            action.choices = choices[action.dest]
        elif _names_a_file(action):
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=arguments.shell))
    return EXIT_OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield all arguments of a parser and of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action


def _names_a_file(action: argparse.Action) -> bool:
    """Whether an argument is a file, by its name in the help: SCAN, FILE[:KEY], PRODUCT.h5."""
    name = action.metavar if isinstance(action.metavar, str) else ""
    return name == "SCAN" or name.startswith("FILE") or name.endswith((".h5", ".npz", ".npy", ".png", ".html"))


COMMAND = Command("ptychoproduct completion", SUMMARY, DESCRIPTION, _add_arguments, print_completion, EXAMPLES)
build_command_parser = COMMAND.parser
