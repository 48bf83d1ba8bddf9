"""`sharpend doctor`: check whether this machine can run the daemon, and advise changes.

Runs the checks of `sharpend.checks` on this machine, as the user that the installed unit names.
Changes nothing on disk. The models are run once in a process of their own, as in a worker.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from sharpend.checks import device, finding, folders, mounts, path_access, runner, state, unit
from sharpend.checks.finding import Finding, fault, note, ok
from sharpend.commands.cluster_nodes import nodes_of
from sharpend.commands.overrides import overrides_of
from sharpend.daemon import settings_values, worker_settings
from sharpend.daemon.roots import objections
from sharpend.daemon.status import read_status
from sharpend.errors import ExitCode
from sharpend.files.fingerprint import display
from sharpend.files.mounts import mount_of
from sharpend.files.remote import is_remote
from sharpend.ledger.opening import is_locked
from sharpend.logs.plain import printable
from sharpend.machine import cores
from sharpend.policies import SourcePolicy
from sharpend.settings.load import config_of, load
from sharpend.settings.schema import automatic_choice
from sharpend.workers import trials

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from sharpend.checks.path_access import Content
    from sharpend.checks.runner import Runner
    from sharpend.checks.unit import Unit
    from sharpend.daemon.folder_plan import FolderPlan
    from sharpend.settings.schema import Settings


def main(options: argparse.Namespace) -> int:
    """Print the findings of all checks, one line each.

    Returns:
        0 without a fault, else 78, 66, 69 or 73: the exit status of the fault to mend first.

    Raises:
        ConfigError: a setting is wrong; no other check runs before that is changed.
    """
    found = []
    for one in _findings(options):
        found.append(one)
        if not options.json:
            print(printable(_line(one)), flush=True)
    if options.json:
        print(json.dumps({"checks": [asdict(one) for one in found]}))
    return finding.exit_code(found)


def _line(one: Finding) -> str:
    change = f"; change: {one.change}" if one.change else ""
    return f"{one.level:<5} {one.subject}: {one.found}{change}"


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    """Run all checks, the quick ones first; the unit names the user for the others."""
    config = config_of(options.config)
    units = unit.units()
    used = unit.chosen(units or [], None if config is None else str(config))
    settings = _settings(options, used)
    yield from unit.installed(units, used)
    asked, problems = _runner(used)
    yield from problems
    machine = Machine(settings, config, used, asked)
    yield from machine.sandbox()
    yield from machine.files()
    yield machine.daemon()
    yield from machine.model()


def _settings(options: argparse.Namespace, used: Unit | None) -> Settings:
    """Load the settings as the unit's daemon does, whose state directory systemd sets."""
    environment = dict(os.environ)
    if used is not None and used.state is not None:
        environment.setdefault("STATE_DIRECTORY", used.state)
    return load(options.config, overrides_of(options), environment=environment)


def _runner(used: Unit | None) -> tuple[Runner, list[Finding]]:
    """Find the user that runs the daemon, and report if checks cannot run as that user."""
    us = runner.ourselves()
    if used is None or used.manager == "user" or not used["User"]:
        return us, []
    try:
        wanted = runner.user_named(used["User"], used["Group"], used["SupplementaryGroups"].split())
    except KeyError as error:
        what = f"{used['Id']}: no such user or group: {error.args[0]}"
        return us, [fault("unit", what, "systemd-sysusers, or groupadd", ExitCode.CONFIGURATION)]
    if not wanted.can_be_asked:
        what = f"the following checks run as {us.name}; {used['Id']} runs as {wanted.name}"
        return us, [note("unit", what, "run it as root to check as that user")]
    return wanted, []


@dataclass(frozen=True)
class Machine:
    """Settings on this machine, and the user that checks run as."""

    settings: Settings
    config: Path | None
    used: Unit | None
    runner: Runner

    @cached_property
    def plans(self) -> list[FolderPlan]:
        """Plans of the folders."""
        return settings_values.folder_plans(self.settings)

    @property
    def writes(self) -> list[str]:
        """Folders that the daemon must be able to write."""
        roots: list[bytes] = []
        for destination in (plan.destination for plan in self.plans):
            taken = [] if destination.source is SourcePolicy.KEEP else [destination.input_root]
            roots += [*taken, destination.output_root, destination.archive_root or b""]
        on_disks = (display(root) for root in roots if root and not is_remote(root))
        return [str(self.settings.state), *on_disks]

    @property
    def reads(self) -> list[str]:
        """Folders that the daemon must be able to read."""
        roots = [plan.destination.input_root for plan in self.plans]
        return [display(root) for root in roots if not is_remote(root)]

    def sandbox(self) -> Iterator[Finding]:
        """Check that the unit lets the daemon access its folders."""
        if self.used is not None:
            yield from unit.sandbox(self.used, writes=self.writes, reads=self.reads)

    def files(self) -> Iterator[Finding]:
        """Check configuration, folders and state, with the daemon's user's rights."""
        config, directory = self.config and str(self.config), str(self.settings.state)
        inputs = [
            (display(plan.intake.root), plan.intake.recursive)
            for plan in self.plans
            if os.path.isdir(plan.intake.root)
        ]
        paths = [*self.writes, *self.reads, *([config] if config else [])]
        path_facts, contents = path_access.examine(self.runner, paths, inputs)
        walked = dict(zip((root for root, _ in inputs), contents, strict=True))
        yield state.configuration(path_facts[config] if config else None, self.runner)
        if not self.plans:
            change = "add a [[folder]] to the configuration"
            yield fault("folders", "no folder configured", change, ExitCode.CONFIGURATION)
        away = objections(self.settings.state, [plan.destination for plan in self.plans])
        for plan in self.plans:
            content = walked.get(display(plan.intake.root))
            facts = folders.FolderFacts(plan, self.runner, path_facts, content, self._umask, away)
            yield from folders.folder(facts)
        yield from self._changes(walked)
        made_by_unit = self.used is not None and self.used.state == directory
        yield from state.directory(path_facts[directory], self.runner, made_by_unit=made_by_unit)
        yield mounts.state_mount(directory, mount_of(os.fsencode(directory)))

    def _changes(self, walked: dict[str, Content]) -> Iterator[Finding]:
        """Check how the daemon detects new files."""
        watched = []
        for plan in self.plans:
            content = walked.get(display(plan.intake.root))
            if content is None:
                continue
            mount = mount_of(plan.intake.root)
            yield mounts.input_mount(plan.destination.folder, plan.intake, mount)
            if not mounts.is_polled(plan.intake, mount):
                watched.append(content.directories)
        if watched:
            yield from mounts.inotify(mounts.limits(), watched)

    @property
    def _umask(self) -> int:
        """Umask of the daemon: the unit's, or the one inherited from here."""
        if self.used is not None and self.used["UMask"]:
            return int(self.used["UMask"], 8)
        umask = os.umask(0o077)  # it can only be read by setting it
        os.umask(umask)
        return umask

    def daemon(self) -> Finding:
        """Check whether a daemon runs now."""
        directory = self.settings.state
        try:
            running = is_locked(directory)
        except OSError as error:
            what = f"{directory}: {error.strerror}: cannot check whether a daemon is running"
            return note("daemon", what, "run it as root, or as the daemon's user")
        every_s = self.settings.report.every_s
        last = read_status(directory)
        return state.daemon(last, is_running=running, now_s=time.time(), every_s=every_s)

    def model(self) -> Iterator[Finding]:
        """Check that the models run here."""
        if self.settings.engine.kind == "ray":
            yield from nodes_of(self.settings)
        count, options = (
            worker_settings.worker_count(self.settings),
            worker_settings.worker_options(self.settings),
        )
        options = replace(options, trials=trials.read(self.settings.state))
        yield device.workers(count, options.threads or 1, cores())
        named = {folder.model for folder in self.settings.folder} | {self.settings.model.name}
        if "auto" in named:
            chosen = automatic_choice(self.settings)
            yield ok("model", f'"auto" is {chosen.model}: {chosen.cause}')
        canary = worker_settings.canary_model(self.settings)
        wanted = worker_settings.models(self.settings)
        watched = bool(self.settings.agreement.sample or canary)
        answers = device.ask_worker(self.runner, options, wanted, teacher=watched, canary=canary)
        yield from device.device(answers, driver=device.has_driver())
