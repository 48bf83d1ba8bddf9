"""Command line options: merge them with configuration file and environment into settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.daemon import plans
from sharpend.errors import ConfigError, InputMissingError, UnavailableError, UsageError
from sharpend.model.shipped import find
from sharpend.settings.load import Settings, load

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


_MODEL_KEYS = {"model": "name"} | {
    key: key for key in ("device", "strength", "crispness", "skip_sharp", "skip_sharp_above")
}
"""Options and the keys of `[model]` that they set."""


def settings_of(options: argparse.Namespace) -> Settings:
    """Load the settings for a command.

    Raises:
        UsageError: --input without --output, the other way round, or --exclude without them.
        ConfigError: a setting is wrong, wherever it came from.
    """
    return load(options.config, overrides_of(options))


def overrides_of(options: argparse.Namespace) -> dict[str, object]:
    """Convert the options that were given to settings, nested like the file."""
    given = {key: value for key, value in vars(options).items() if value is not None}
    overrides: dict[str, object] = {}
    if "state" in given:
        overrides["state"] = given["state"]
    if ("input" in given) != ("output" in given):
        raise UsageError("--input and --output belong together: give both or neither")
    if "input" in given:
        folder = {key: given[key] for key in ("input", "output", "exclude") if key in given}
        overrides["folder"] = [folder]
    elif "exclude" in given:
        raise UsageError(
            "--exclude needs --input; in a file the key `exclude` of [[folder]] does it"
        )
    model = {key: given[option] for option, key in _MODEL_KEYS.items() if option in given}
    if model:
        overrides["model"] = model
    if "workers" in given:
        overrides["workers"] = {"count": given["workers"]}
    return overrides


def workable_settings_of(options: argparse.Namespace) -> Settings:
    """Load the settings of a command that works on folders, which may be missing.

    Raises:
        UsageError: there is no folder to work on.
        ConfigError: a setting is wrong.
    """
    settings = settings_of(options)
    if not settings.folder:
        raise UsageError("no folder to work on: give --input and --output, or a --config file")
    _check_networks(
        settings, "command line" if options.model else str(options.config or "settings")
    )
    return settings


def _check_networks(settings: Settings, where: str) -> None:
    """Check that every model exists, before a worker is started for it."""
    for number, (folder, plan) in enumerate(
        zip(settings.folder, plans.folder_plans(settings), strict=True), start=1
    ):
        key = "model.name" if folder.model is None else f"folder.{number}.model"
        try:
            find(plan.options.model)
        except UnavailableError as error:
            raise ConfigError(f"{where}: {key}: {error}") from error


def used_state_of(options: argparse.Namespace) -> Path:
    """Return the state directory of a command that reads earlier results.

    Raises:
        InputMissingError: nothing has ever worked with it.
    """
    state_dir = settings_of(options).state
    if not (state_dir / "ledger.db").exists():
        raise InputMissingError(
            f"{state_dir}: no daemon has worked with this state directory; give --state or --config"
        )
    return state_dir
