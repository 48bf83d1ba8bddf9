"""Cluster checks: every node has the versions, weights and folders of this machine.

Each node compares the folders and makes an empty file in those that workers write to; this machine
looks for it and removes it.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

from sharpend.checks.finding import Finding, fault, note, ok
from sharpend.errors import ConfigError, ExitCode, UnavailableError
from sharpend.files import beneath
from sharpend.files.fingerprint import display
from sharpend.workers.cluster.actors import Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sharpend.commit.destination import Destination
    from sharpend.workers.cluster.actors import ActorState
    from sharpend.workers.cluster.raypool import RayPool

_PATIENCE_S = 120.0
_LOOK_EVERY_S = 1.0
_CLOCK_S = 2.0
"""Difference of clocks worth knowing: logs of several machines are read together."""


def nodes(
    pool: RayPool,
    models: Iterable[str],
    destinations: Iterable[Destination],
    new_name: Callable[[], bytes],
) -> Iterator[Finding]:
    """Join the cluster, ask every node, and leave it.

    Args:
        pool: workers of the settings, not started.
        models: that every node must have.
        destinations: the folders.
        new_name: makes a name for a temporary file.
    """
    roots = [(destination.input_root, destination.output_root) for destination in destinations]
    writes = tuple(dict.fromkeys(output for _, output in roots))
    survey = Survey(tuple(one for pair in roots for one in pair), writes, new_name)
    try:
        actors = _asked(pool, models, survey)
        if not actors:
            yield fault("cluster", "no node answered", "ray status", ExitCode.UNAVAILABLE)
        for name, of_node in groupby(sorted(actors, key=_node), key=_node):
            findings = [_judged(f"node {name}", actor, writes) for actor in of_node]
            yield max(findings, key=lambda one: (one.status, bool(one.change)))
    except (ConfigError, UnavailableError) as error:
        yield fault("cluster", str(error), "", error.exit_code)
    finally:
        pool.stop()


def _node(actor: ActorState) -> str:
    return actor.node


def _asked(pool: RayPool, models: Iterable[str], survey: Survey) -> list[ActorState]:
    """Start actors on all nodes, and wait until each has answered."""
    until_s = time.monotonic() + _PATIENCE_S

    def go_on() -> bool:
        return time.monotonic() < until_s

    for model in models:
        pool.load_model(model, teacher=False, go_on=go_on)
    pool.actors.survey(survey)
    while (found := pool.judged()) is None and go_on():
        list(pool.finished(time.monotonic()))
        pool.heard.wait(_LOOK_EVERY_S)
        pool.heard.clear()
    return found or []


def _judged(subject: str, actor: ActorState, writes: Iterable[bytes]) -> Finding:
    unseen = [display(root) for root in writes if actor.proof and not _taken(root, actor.proof)]
    if actor.unfit:
        return fault(subject, actor.unfit, "", ExitCode.UNAVAILABLE)
    if unseen:
        found = f"{unseen[0]}: a file that it made there is not seen on this machine"
        return fault(subject, found, "mount the same share on both", ExitCode.UNAVAILABLE)
    if actor.niceness > max(0, os.nice(0)):  # its workers wait for other programs
        change = "RAY_worker_niceness=0 at its `ray start`"
        return note(subject, f"its workers have the low priority {actor.niceness}", change)
    if abs(actor.ahead_s) > _CLOCK_S:
        apart = f"{abs(actor.ahead_s):.0f} s {'ahead of' if actor.ahead_s > 0 else 'behind'}"
        return note(subject, f"its clock is {apart} this machine's", "set both by NTP")
    return ok(subject, "same versions, weights and folders; it writes, and its clock agrees")


def _taken(root: bytes, name: bytes) -> bool:
    """Remove a file that a node has made; return whether it was there."""
    with suppress(OSError), beneath.directory(root, b"") as folder:
        os.unlink(name, dir_fd=folder)
        return True
    return False
