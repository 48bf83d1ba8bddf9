"""Cluster checks: every node has the versions, weights and folders of this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sharpend.checks.finding import Finding, fault, note, ok
from sharpend.errors import ConfigError, ExitCode, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sharpend.workers.cluster.hired import Hired
    from sharpend.workers.cluster.raypool import RayPool

_PATIENCE_S = 120.0
_LOOK_EVERY_S = 1.0
_LOW = 1
"""Niceness from which a node's workers wait for other programs."""


def nodes(pool: RayPool, models: Iterable[str], roots: Iterable[bytes]) -> Iterator[Finding]:
    """Join the cluster, ask every node, and leave it."""
    until_s = time.monotonic() + _PATIENCE_S

    def go_on() -> bool:
        return time.monotonic() < until_s

    try:
        for model in models:
            pool.engine(model, teacher=False, go_on=go_on)
        pool.crew.look_at(roots)
        while (found := pool.survey()) is None and go_on():
            list(pool.finished(time.monotonic()))
            pool.heard.wait(_LOOK_EVERY_S)
            pool.heard.clear()
        if not found:
            yield fault("cluster", "no node answered", "ray status", ExitCode.UNAVAILABLE)
        for name, hand in sorted((found or {}).items()):
            yield _judged(name, hand)
    except (ConfigError, UnavailableError) as error:
        yield fault("cluster", str(error), "", error.exit_code)
    except OSError as error:
        yield note("cluster", f"folders were not compared: {error}")
    finally:
        pool.stop()


def _judged(name: str, hand: Hired) -> Finding:
    if hand.unfit:
        return fault(f"node {name}", hand.unfit, "", ExitCode.UNAVAILABLE)
    if hand.niceness >= _LOW:
        change = "RAY_worker_niceness=0 at its `ray start`"
        return note(f"node {name}", f"its workers have the low priority {hand.niceness}", change)
    return ok(f"node {name}", "same versions, weights and folders")
