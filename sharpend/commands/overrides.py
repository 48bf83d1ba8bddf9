"""Options of the command line that override settings of environment and configuration file.

Owns these options, and the settings that a command gets with them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.commands.selection import folders_of, limited
from sharpend.daemon import settings_values, worker_settings
from sharpend.errors import ConfigError, InputMissingError, UnavailableError, UsageError
from sharpend.ledger.store import has_ledger
from sharpend.model.shipped import find, recorded_teacher
from sharpend.settings.load import load
from sharpend.settings.sources import location
from sharpend.workers.loading import of_canary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sharpend.settings.schema import Settings


_MODEL_KEYS = {"model": "name"} | {
    key: key for key in ("device", "strength", "crispness", "skip_sharp", "skip_sharp_above")
}
"""Options and the keys of `[model]` that they set."""


def add_settings(command: argparse.ArgumentParser, *, folders: bool) -> None:
    """Add the options that override settings of environment and file."""
    command.add_argument("--config", type=Path, metavar="FILE", help="configuration file (TOML)")
    command.add_argument(
        "--state", type=Path, metavar="DIR", help="state directory: ledger and quarantine"
    )
    if folders:
        command.add_argument("--input", type=location, metavar="DIR", help="folder with images")
        command.add_argument("--output", type=location, metavar="DIR", help="folder for results")
        text = "files and folders to leave alone, as in .gitignore; may be repeated"
        command.add_argument("--exclude", action="append", metavar="PATTERN", help=text)
        command.add_argument("--workers", type=int, metavar="N", help="worker processes")
        add_model(command)
        _add_skipping(command)


def add_model(command: argparse.ArgumentParser) -> None:
    """Add the options for model, device and strength."""
    command.add_argument(
        "--model", metavar="NAME", help="name of a shipped model, or path of a weights file"
    )
    command.add_argument("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps")
    command.add_argument(
        "--strength", type=float, metavar="S", help="strength of the sharpening, 0 to 2"
    )
    text = "additional unsharp mask, 0 to 1"
    command.add_argument("--crispness", type=float, metavar="C", help=text)


def _add_skipping(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--skip-sharp",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="copy images that are already sharp without changes",
    )
    text = "sharpness threshold, as `inspect` measures it"
    command.add_argument("--skip-sharp-above", type=float, metavar="X", help=text)


def settings_of(options: argparse.Namespace, files: Sequence[bytes] | None = None) -> Settings:
    """Load the settings for a command.

    Args:
        options: of the command line.
        files: absolute paths of the only inputs; None: all in the folders.

    Raises:
        UsageError: --input without --output, the other way round, or --exclude without them; a file
            is in no folder.
        ConfigError: a setting is wrong, wherever it came from.
    """
    overrides = overrides_of(options, files)
    if files is None:
        return load(options.config, overrides)
    outputs_alone = options.input is None and options.output is not None
    return limited(load(options.config, overrides, may_overlap=outputs_alone), files)


def overrides_of(
    options: argparse.Namespace, files: Sequence[bytes] | None = None
) -> dict[str, object]:
    """Convert the options that were given to settings, nested like the file."""
    given = {key: value for key, value in vars(options).items() if value is not None}
    overrides: dict[str, object] = {}
    if "state" in given:
        overrides["state"] = given["state"]
    if files is not None and "input" not in given and "output" in given:
        overrides["folder"] = folders_of(files, given["output"])
    elif ("input" in given) != ("output" in given):
        raise UsageError("--input and --output belong together: give both or neither")
    elif "input" in given:
        folder = {key: given[key] for key in ("input", "output", "exclude") if key in given}
        overrides["folder"] = [folder]
    if "exclude" in given and "input" not in given:
        raise UsageError(
            "--exclude needs --input; in a configuration file use the key `exclude` of [[folder]]"
        )
    model = {key: given[option] for option, key in _MODEL_KEYS.items() if option in given}
    if model:
        overrides["model"] = model
    if "workers" in given:
        overrides["workers"] = {"count": given["workers"]}
    return overrides


def workable_settings_of(
    options: argparse.Namespace, files: Sequence[bytes] | None = None
) -> Settings:
    """Load the settings of a command that works on folders, which may be missing.

    Args:
        options: of the command line.
        files: absolute paths of the only inputs, at least one; None: all in the folders.

    Raises:
        UsageError: there is no folder to work on.
        ConfigError: a setting is wrong.
    """
    settings = settings_of(options, files)
    if not settings.folder:
        raise UsageError("no folder to work on: give --input and --output, or a --config file")
    file = str(options.config or "settings")
    _check_networks(settings, "command line" if options.model else file)
    _require_canary(settings, file)
    return settings


def _check_networks(settings: Settings, where: str) -> None:
    """Check that every model exists, before a worker is started for it."""
    for number, (folder, plan) in enumerate(
        zip(settings.folder, settings_values.folder_plans(settings), strict=True), start=1
    ):
        key = "model.name" if folder.model is None else f"folder.{number}.model"
        try:
            find(plan.options.model)
        except UnavailableError as error:
            raise ConfigError(f"{where}: {key}: {error}") from error


def _require_canary(settings: Settings, where: str) -> None:
    """Check that the canary and the teacher that judges it exist."""
    canary = worker_settings.canary_model(settings)
    try:
        if canary is not None:
            recorded_teacher(canary)
    except UnavailableError as error:
        raise ConfigError(f"{where}: {of_canary(error)}") from error


def used_state_of(options: argparse.Namespace) -> Path:
    """Return the state directory of a command that reads earlier results.

    Raises:
        InputMissingError: no daemon has used it.
        StateFaultError: it belongs to another user.
    """
    state_dir = settings_of(options).state
    if not has_ledger(state_dir):
        raise InputMissingError(
            f"{state_dir}: no daemon has worked with this state directory; give --state or "
            "--config; for the service, use the service's own"
        )
    return state_dir
