"""Service user: find the user that runs the daemon, and run checks with its rights.

Owns the child process that drops root for the service's user: access lists, groups and read-only
mounts are then the kernel's answer and no guess from mode bits. Refuses to become another user
where this process is not root: the answers are then the caller's own.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sharpend.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Runner:
    """A user with the groups that the service manager, or the caller's session, gives it."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]
    """Of the user, `gid` included."""

    @property
    def is_us(self) -> bool:
        """True if this process has the same rights already."""
        return self.uid == os.geteuid()

    @property
    def can_be_asked(self) -> bool:
        """True if a child process can get this user's rights."""
        return self.is_us or os.geteuid() == 0

    def may_give_to(self, group: int) -> bool:
        """Return whether files may be given to a group."""
        return self.uid == 0 or group in self.groups


def ourselves() -> Runner:
    """Return the user that calls."""
    uid = os.geteuid()
    groups = frozenset({os.getegid(), *os.getgroups()})
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Runner(name, uid, os.getegid(), groups)


def user_named(name: str, group: str, supplementary: Iterable[str]) -> Runner:
    """Look up the user of a unit.

    Args:
        name: User=, a name or a number.
        group: Group=, empty for the user's own.
        supplementary: SupplementaryGroups=.

    Raises:
        KeyError: this machine lacks the user or one of the groups; the text says which.
    """
    entry = pwd.getpwuid(int(name)) if _is_number(name) else pwd.getpwnam(name)
    gid = _gid(group) if group else entry.pw_gid
    own = os.getgrouplist(entry.pw_name, gid)
    groups = frozenset({*own, *(_gid(one) for one in supplementary)})
    return Runner(entry.pw_name, entry.pw_uid, gid, groups)


def _gid(group: str) -> int:
    return int(group) if _is_number(group) else grp.getgrnam(group).gr_gid


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def ask(runner: Runner, module: str, question: object) -> Any:  # noqa: ANN401 - JSON
    """Run a module of sharpend as a process with the runner's rights, and return its answer.

    Args:
        runner: who is to answer; the caller where it cannot be asked.
        module: calls `answer` when it is run.
        question: what JSON can hold.

    Raises:
        UnavailableError: it died, with the last line that it lines.
    """
    becoming = None if runner.is_us else [runner.uid, runner.gid, sorted(runner.groups)]
    try:
        ran = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps([becoming if runner.can_be_asked else None, question]),
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"no answer within {_PATIENCE_S:g} s") from error
    if ran.returncode:
        lines = ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode}"]
        raise UnavailableError(lines[-1])
    return json.loads(ran.stdout)


def answer(respond: Callable[[Any], object]) -> None:
    """Switch to the user, in the child process, then answer the question."""
    becoming, question = json.load(sys.stdin)
    if becoming is not None:
        uid, gid, groups = becoming
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    json.dump(respond(question), sys.stdout)
