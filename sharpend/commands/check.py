"""`sharpend check`: check the configuration and print what it sets, without starting a daemon.

A folder that would be paused, because it is missing or on another disk, is an error, too, and so is
a node of a cluster that could not work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.checks.finding import Level, exit_code
from sharpend.commands.cluster_nodes import nodes_of
from sharpend.commands.overrides import workable_settings_of
from sharpend.daemon import settings_values, worker_settings
from sharpend.daemon.roots import objections
from sharpend.errors import (
    ConfigError,
    ExitCode,
    InputMissingError,
    OutputFailedError,
    UnavailableError,
)
from sharpend.files.fingerprint import display
from sharpend.logs.plain import printable
from sharpend.model.shipped import recorded_teacher
from sharpend.settings.load import check_folders

if TYPE_CHECKING:
    import argparse

    from sharpend.settings.schema import Settings


def main(options: argparse.Namespace) -> int:
    """Print the resulting folders and models; every mistake is an error with its key and advice."""
    settings = workable_settings_of(options)
    check_folders(settings)
    for plan in settings_values.folder_plans(settings):
        destination = plan.destination
        source, target = display(destination.input_root), display(destination.output_root)
        line = f"{destination.folder}: {source} -> {target}"
        print(printable(f"{line}, model {plan.options.model}, source {destination.source}"))
    canary = worker_settings.canary_model(settings)
    if canary is not None:
        share = f"{settings.canary.share:.0%} of the main model's images"
        judge = recorded_teacher(canary)
        print(printable(f"canary: {canary}, judged by {judge}, tried on crops of {share}"))
    on_cluster = settings.engine.kind == "ray"
    where = settings.engine.address
    workers = f"on the cluster {where}" if on_cluster else worker_settings.worker_count(settings)
    print(printable(f"state: {settings.state}; workers: {workers}"))
    _check_roots(settings)
    if on_cluster:
        _check_nodes(settings)
    return 0


def _check_nodes(settings: Settings) -> None:
    """Print what each node of the cluster is; raise UnavailableError where one cannot work."""
    found = list(nodes_of(settings))
    faults = [f"{one.subject}: {one.found}" for one in found if one.level is Level.FAULT]
    if faults:
        kind = ConfigError if exit_code(found) is ExitCode.CONFIGURATION else UnavailableError
        raise kind("\n".join(faults))
    for one in found:
        print(printable(f"{one.subject}: {one.found}"))


def _check_roots(settings: Settings) -> None:
    """Raise InputMissingError or OutputFailedError where a daemon would pause a folder."""
    destinations = [plan.destination for plan in settings_values.folder_plans(settings)]
    found = objections(settings.state, destinations)
    if found:
        of_input = any(destination.input_root in found for destination in destinations)
        kind = InputMissingError if of_input else OutputFailedError
        raise kind("\n".join(found.values()))
