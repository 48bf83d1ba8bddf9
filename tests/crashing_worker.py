"""A worker of `tests.crashing`: the product's own, with a hook at every step of its way."""

from __future__ import annotations

from sharpend.workers import serve
from tests.crashing import hook_worker


def main(daemon_pid: str) -> None:
    """Put the hooks in place, then serve as every worker does."""
    hook_worker()
    serve.main(daemon_pid)
