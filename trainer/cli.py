"""The command line of the trainer: commands, help and exit codes.

Maps commands to modules. A command's module is imported only when it is called: most import torch,
and some need packages that a training machine may lack.
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
    "prepare": ("prepare", "Check images and split them into training and validation."),
    "degrade": ("degrade", "Soften sharp images as the report does, to try sharpend on them."),
    "pool": ("pool", "Write degraded windows of the originals to a pool."),
    "label": ("label", "Write a teacher's output for every image of a split."),
    "teacher": ("train", "Train a teacher by a recipe, or resume its training."),
    "distill": ("train", "Train a student by a recipe, or resume its training."),
    "evaluate": ("evaluate", "Measure models on sets of images; write tables and contact sheets."),
    "mos": ("mos", "Prepare, serve or report a study of people's opinion of the images."),
    "export": ("export", "Make a weights file and its model card from a run."),
    "calibrate": ("calibrate", "Measure the ranges of a model for int8 and update its cards."),
    "line": ("line", "Measure the alarm thresholds of a student again and update its cards."),
    "alarm": ("alarm", "Measure false alarms and detection delay of the daemon's agreement alarm."),
    "figure": ("figure", "Draw the training diagram, a before/after pair, or curves of runs."),
}
"""Each command's module in `trainer.commands`, which has a function named like the command."""


class _Parser(argparse.ArgumentParser):
    """Exit with the code of sysexits for a wrong command line."""

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
    except SystemExit as leaving:  # argparse has printed the message
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
        return _failed(str(error), error.exit_code)
    except TrainingStoppedError as stopped:
        return _failed(str(stopped), stopped.exit_code)
    except OSError as error:
        return _failed(str(error), ExitCode.OUTPUT_FAILED)
    except KeyboardInterrupt:
        return _failed("interrupted; run the same command to resume", INTERRUPTED)
    except Exception:  # noqa: BLE001 - anything else is a bug, reported with its traceback
        traceback.print_exc()
        return ExitCode.BUG
    return ExitCode.OK


def _explain(given: Sequence[str]) -> NoReturn:
    """Print the help, or the error of a command line that names no command."""
    parser = _Parser(prog="trainer", description="Make the weights that sharpend ships.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text)
    parser.parse_args(given)
    raise AssertionError("argparse accepts a command only")


def _failed(message: str, code: int) -> int:
    print(f"trainer: {message}", file=sys.stderr)
    return code
