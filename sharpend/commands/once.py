"""`sharpend once`: sharpen all images in the folders now, print each result, exit.

The same daemon as `run`, set to end when nothing is left to do. Results go to stdout, logs to
stderr; on a terminal a progress bar replaces the log of single images. The options are defined in
`cli` and, for settings, in `overrides`.
"""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.commands.dry_run import dry_run
from sharpend.commands.inputs import number_to_do
from sharpend.commands.once_output import ResultPrinter
from sharpend.commands.overrides import workable_settings_of
from sharpend.commands.selection import selected
from sharpend.commit.shards import ShardIndex, objection
from sharpend.daemon import settings_values
from sharpend.daemon.daemon import Daemon
from sharpend.daemon.folder_upkeep import EmptiedFolders
from sharpend.daemon.run_mode import RunMode
from sharpend.errors import SIGNALLED, ExitCode, LedgerError, UnavailableError, UsageError
from sharpend.intake import scan
from sharpend.intake.tally import Tally
from sharpend.ledger.reader import ALL_FOLDERS, LedgerReader
from sharpend.ledger.store import has_ledger
from sharpend.settings.load import check_folders

if TYPE_CHECKING:
    import argparse

    from sharpend.logs.logs import Log
    from sharpend.settings.schema import Settings

RETRY_LIMITS = {"attempts": 3, "first_s": 1.0, "longest_s": 2.0}
"""Limits of retries in this command, where a user waits; the daemon retries for longer."""


def main(options: argparse.Namespace) -> int:
    """Run until nothing is left to do.

    Returns:
        0, or 65 where this run quarantined an input, or 128 + N where signal N ended it early.
    """
    if options.dry_run and options.json:
        raise UsageError("--dry-run and --json cannot be combined")
    files = selected(options)
    if files is not None and not files:
        print("the list is empty: there is nothing to do", file=sys.stderr)
        return ExitCode.OK
    settings = workable_settings_of(options, files)
    if options.shard is not None:
        settings = _shard(settings, options.shard)
    if options.dry_run:
        check_folders(settings)
        return dry_run(settings)
    return _run(_at_any_hour(settings), as_json=options.json)


def _run(settings: Settings, *, as_json: bool) -> int:
    gc.freeze()  # modules are never freed: collecting them only delays the exit
    fewer = {key: min(most, getattr(settings.retry, key)) for key, most in RETRY_LIMITS.items()}
    retry = settings.retry.model_copy(update=fewer)
    settings = settings.model_copy(update={"retry": retry})
    bar = sys.stderr is not None and sys.stderr.isatty() and settings.log.format == "auto"
    level = "error" if bar and settings.log.level == "info" else settings.log.level
    log = settings_values.log(settings, level=level)
    printer = ResultPrinter(settings, as_json=as_json, to_do=_to_do(settings) if bar else None)
    daemon = Daemon(settings, log, RunMode(once=True, on_result=printer.show))
    status = daemon.run()
    printer.close(daemon.agreement)
    if daemon.was_stopped:
        return SIGNALLED + daemon.was_stopped
    _remove_emptied(settings, log)
    return ExitCode.SOME_QUARANTINED if printer.counts["quarantined"] else status


def _remove_emptied(settings: Settings, log: Log) -> None:
    """Remove the sub-folders out of which images were taken, in folders that ask for it."""
    wanted = [
        one
        for one in settings_values.folder_plans(settings)
        if one.destination.remove_empty_folders
    ]
    if not wanted:
        return
    with LedgerReader.read_only(settings.state) as ledger:
        for plan in wanted:
            destination, tally = plan.destination, Tally()
            name = (
                ledger.folder_name(destination.input_root, destination.output_root)
                or destination.folder
            )
            looked = scan.walk(
                destination.input_root,
                recursive=plan.intake.recursive,
                tally=tally,
                patterns=plan.intake.patterns,
            )
            for _ in looked:
                pass
            EmptiedFolders(replace(destination, folder=name), ledger, log, quiet_s=None).scanned(
                tally
            )


def _shard(settings: Settings, text: str) -> Settings:
    """Limit the folders to one shard of their images; its state is below that of the settings.

    Raises:
        UsageError: it is no shard, or a folder cannot be worked on in shards.
    """
    try:
        index = ShardIndex.parse(text)
    except ValueError as error:
        raise UsageError(f"--shard {text}: {error}") from error
    for plan in settings_values.folder_plans(settings):
        if (reason := objection(plan.destination)) is not None:
            raise UsageError(f"--shard: {reason}")
    folders = tuple(one.in_shard((index.number, index.count)) for one in settings.folder)
    state = settings.state / f"shard-{index}"
    return settings.model_copy(update={"folder": folders, "state": state})


def _at_any_hour(settings: Settings) -> Settings:
    """Remove the hours from the folders: this command works at once.

    Raises:
        UnavailableError: a folder is paused by `sharpend pause`.
    """
    if paused := _paused(settings):
        raise UnavailableError(f"{min(paused) or 'all folders'}: paused; see `sharpend resume`")
    folders = tuple(folder.model_copy(update={"hours": ()}) for folder in settings.folder)
    return settings.model_copy(update={"folder": folders})


def _paused(settings: Settings) -> set[str]:
    """Return the paused ones among the folders, and `ALL_FOLDERS` where all are paused."""
    if not has_ledger(settings.state):
        return set()
    with LedgerReader.read_only(settings.state) as ledger:
        destinations = [plan.destination for plan in settings_values.folder_plans(settings)]
        names = [
            ledger.folder_name(destination.input_root, destination.output_root)
            for destination in destinations
        ]
        return ledger.pauses().keys() & {ALL_FOLDERS, *names}


def _to_do(settings: Settings) -> int:
    """Count the images for the progress bar; 0 where the ledger needs an upgrade first."""
    with suppress(LedgerError):
        return number_to_do(settings)
    return 0
