"""The command line of the trainer: commands, help and exit codes.

Owns which command lives in which module; a command's own module is imported only when that command
is asked for, because most bring torch, and some what a bare training machine lacks.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from sharpend.errors import ExitCode, SharpendError
from trainer.training.signals import TrainingStoppedError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
COMMANDS = {
    "prepare": ("prepare", "Check pictures and divide them into training and validation."),
    "degrade": ("degrade", "Soften sharp pictures as the report does, to try sharpend on them."),
    "pool": ("pool", "Degrade windows of the originals by a mixture, once."),
    "label": ("label", "Let a teacher sharpen every picture of a split, once."),
    "teacher": ("train", "Train a teacher by its recipe, or go on with it."),
    "distill": ("train", "Train a student by its recipe, or go on with it."),
    "evaluate": ("evaluate", "Measure networks on sets of pictures, as tables and sheets."),
    "export": ("export", "Make a weights file and its model card from a run."),
    "line": ("line", "Measure a student's alarm lines anew, and write them into its cards."),
    "alarm": ("alarm", "Measure how the daemon's agreement alarm fares with a student."),
    "figure": ("figure", "Draw the pipeline, a pair of pictures, or curves of runs."),
}
"""Each command's module in `trainer.commands`, which has a function of the command's name."""


class _Parser(argparse.ArgumentParser):
    """Leaves with sysexits' code for a bad command line."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _ran(given)
    except SystemExit as leaving:  # argparse has written what there is to say
        return int(leaving.code or 0)


def _ran(given: Sequence[str]) -> int:
    command, *rest = given if given and given[0] in COMMANDS else _explain(given)
    name, text = COMMANDS[command]
    module = import_module(f"trainer.commands.{name}")
    parser = _Parser(prog=f"trainer {command}", description=text)
    module.add_arguments(parser)
    options = parser.parse_args(rest)
    try:
        getattr(module, command)(options)
    except SharpendError as error:
        return _told(str(error), error.exit_code)
    except TrainingStoppedError as stopped:
        return _told(str(stopped), stopped.exit_code)
    except OSError as error:
        return _told(str(error), ExitCode.OUTPUT_FAILED)
    except KeyboardInterrupt:
        return _told("interrupted; the same command goes on", INTERRUPTED)
    except Exception:  # noqa: BLE001 - the last door: a bug is ours, and told as one
        traceback.print_exc()
        return ExitCode.BUG
    return ExitCode.OK


def _explain(given: Sequence[str]) -> NoReturn:
    """Help, or what is wrong with a line that names no command."""
    parser = _Parser(prog="trainer", description="Make the weights that sharpend ships.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text)
    parser.parse_args(given)
    raise AssertionError("argparse takes nothing but a command")


def _told(message: str, code: int) -> int:
    print(f"trainer: {message}", file=sys.stderr)
    return code
