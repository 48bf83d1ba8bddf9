"""systemd unit checks: installation, user, start command and sandbox.

Calls `systemctl`, which merges drop-ins and expands specifiers, and evaluates a unit's
sandbox for a path. Source: systemd.exec(5). Reads only, also without root.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from sharpend.checks.finding import Finding, fault, note, ok
from sharpend.errors import ExitCode, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_RUNS = {"system": "/run/systemd/system", "user": "/run/user/{uid}/systemd"}
_PATTERN = "sharpend*.service"
_PATIENCE_S = 30
_SANDBOX = "unit: sandbox"
_STATES = "/var/lib"
_HOMES = ("/home", "/root", "/run/user")
_PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Search path of systemd for a program that ExecStart= names without one (systemd.service(5))."""
_PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108 - systemd's own list
_READ_ONLY = {
    "strict": ("/",),
    "full": ("/usr", "/boot", "/efi", "/etc"),
    "yes": ("/usr", "/boot", "/efi"),
}
_PROPERTIES = """
Id,LoadState,UnitFileState,ActiveState,ExecStart,User,Group,SupplementaryGroups,UMask,StateDirectory,
ProtectSystem,ProtectHome,PrivateTmp,ReadWritePaths,ReadOnlyPaths,InaccessiblePaths,BindPaths,
BindReadOnlyPaths
""".replace("\n", "")


class Reach(StrEnum):
    """Access to a path inside the unit."""

    WRITABLE = "writable"
    READ_ONLY = "read-only"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Unit:
    """A loaded unit: its properties as `systemctl show` prints them, and its manager."""

    properties: Mapping[str, str]
    manager: str = "system"
    """`system` or `user`."""

    def __getitem__(self, name: str) -> str:
        return self.properties.get(name, "")

    @property
    def command(self) -> list[str]:
        """First command of ExecStart: the program and its arguments."""
        _, _, rest = self["ExecStart"].partition("argv[]=")
        return rest.partition(" ; ")[0].split()

    @property
    def program(self) -> str:
        """Path of the program; the word itself if it is not found, empty without ExecStart.

        `systemctl show` gives the word as the unit has it: systemd looks it up at each start.
        """
        word = (self.command or [""])[0]
        return shutil.which(word, path=_PROGRAMS) or word

    @property
    def config(self) -> str | None:
        """File that --config names; None if the daemon looks for one itself."""
        for word, following in pairwise([*self.command, ""]):
            if word.startswith("--config"):
                return word.partition("=")[2] or following
        return None

    @property
    def state(self) -> str | None:
        """First StateDirectory= of a system unit, which it creates for the daemon."""
        names = self["StateDirectory"].split() if self.manager == "system" else []
        return os.path.join(_STATES, names[0]) if names else None

    def paths(self, name: str) -> list[str]:
        """Read a property that is a list of paths, without systemd's prefixes."""
        return [path.lstrip("+-") for path in shlex.split(self[name])]


def units() -> list[Unit] | None:
    """List the installed units of sharpend; None if systemd does not run.

    Raises:
        UnavailableError: systemd does not answer.
    """
    if shutil.which("systemctl") is None:
        return None
    managers = [
        manager for manager, sign in _RUNS.items() if os.path.isdir(sign.format(uid=os.getuid()))
    ]
    return [unit for manager in managers for unit in _shown(manager)] if managers else None


def _shown(manager: str) -> Iterator[Unit]:
    files = _systemctl(manager, "list-unit-files", "--no-legend", "--plain", _PATTERN)
    running = _systemctl(manager, "list-units", "--all", "--no-legend", "--plain", _PATTERN)
    names = {line.split()[0] for line in (*files, *running) if line.strip()}
    for name in sorted(name for name in names if "@." not in name):  # a template is no unit yet
        shown = _systemctl(manager, "show", "--property", _PROPERTIES, name)
        yield Unit(dict(line.partition("=")[::2] for line in shown), manager)


def _systemctl(manager: str, *arguments: str) -> list[str]:
    try:
        ran = subprocess.run(
            ["systemctl", f"--{manager}", *arguments],  # noqa: S607 - wherever it is installed
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"systemctl does not answer within {_PATIENCE_S} s") from error
    return ran.stdout.splitlines()


def chosen(found: Sequence[Unit], config: str | None) -> Unit | None:
    """Find the unit that runs these settings, if there is one."""
    fitting = [unit for unit in found if unit["LoadState"] == "loaded"]
    named = [unit for unit in fitting if unit.config is None or _same(unit.config, config)]
    return next(iter(named), None)


def _same(one: str, other: str | None) -> bool:
    return other is not None and os.path.realpath(one) == os.path.realpath(other)


def reach(unit: Unit, path: str) -> Reach:
    """Determine the access to a path under the unit's sandbox alone.

    The longest rule that fits wins; what is hidden as a whole is opened again by a bind mount only.
    """
    real = os.path.realpath(path)
    bound = dict.fromkeys(_targets(unit, "BindReadOnlyPaths"), Reach.READ_ONLY)
    bound |= dict.fromkeys(_targets(unit, "BindPaths"), Reach.WRITABLE)
    fitting = [at for at in bound if _within(real, at)]
    if fitting:
        return bound[max(fitting, key=len)]
    rules = _rules(unit)
    fitting = [at for at in rules if _within(real, at)]
    if any(rules[at] is Reach.HIDDEN for at in fitting):
        return Reach.HIDDEN
    return rules[max(fitting, key=len)] if fitting else Reach.WRITABLE


def _rules(unit: Unit) -> dict[str, Reach]:
    """Collect the sandbox's rules by path; a later rule replaces an earlier one."""
    rules = dict.fromkeys(_READ_ONLY.get(unit["ProtectSystem"], ()), Reach.READ_ONLY)
    home = {"yes": Reach.HIDDEN, "tmpfs": Reach.HIDDEN, "read-only": Reach.READ_ONLY}
    if unit["ProtectHome"] in home:
        rules |= dict.fromkeys(_HOMES, home[unit["ProtectHome"]])
    if unit["PrivateTmp"] in {"yes", "disconnected"}:
        rules |= dict.fromkeys(_PRIVATE, Reach.HIDDEN)
    rules |= dict.fromkeys(unit.paths("ReadOnlyPaths"), Reach.READ_ONLY)
    states = [os.path.join(_STATES, name) for name in unit["StateDirectory"].split()]
    rules |= dict.fromkeys([*states, *unit.paths("ReadWritePaths")], Reach.WRITABLE)
    return rules | dict.fromkeys(unit.paths("InaccessiblePaths"), Reach.HIDDEN)


def _targets(unit: Unit, name: str) -> list[str]:
    """Parse the targets of bind mounts: SOURCE[:TARGET[:OPTIONS]]."""
    entries = [path.split(":") for path in unit.paths(name)]
    return [parts[1] if parts[1:] else parts[0] for parts in entries]


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith(os.path.join(above, ""))


def installed(found: Sequence[Unit] | None, unit: Unit | None) -> Iterator[Finding]:
    """Check that there is a unit for these settings, and that it can start."""
    if found is None:
        yield note("unit", "systemd is not running: not checked")
        return
    if unit is None:
        there = f"; there are {', '.join(one['Id'] for one in found)}" if found else ""
        yield note("unit", f"no unit runs this configuration{there}", "README: Leave it running")
        return
    name, program = unit["Id"], unit.program
    if not os.access(program, os.X_OK):
        what = f"{name}: ExecStart {program} does not exist, or is not executable"
        change = f"install sharpend there, or systemctl edit {name}"
        yield fault("unit", what, change, ExitCode.CONFIGURATION)
    else:
        user = unit["User"] or ("root" if unit.manager == "system" else "you")
        yield ok("unit", f"{name} starts {program} as {user}: {unit['ActiveState']}")
    if unit["UnitFileState"] in {"disabled", "masked"}:
        change = f"systemctl enable --now {name}"
        yield note("unit", f"{name} is {unit['UnitFileState']}: not started at boot", change)


def sandbox(unit: Unit, *, writes: Sequence[str], reads: Sequence[str]) -> Iterator[Finding]:
    """Check that the unit lets the daemon access its folders.

    Args:
        unit: the one in use.
        writes: what must be writable.
        reads: what must be seen; its program and its configuration are added.
    """
    own = [path for path in (unit.program, unit.config) if path]
    found = {path: reach(unit, path) for path in dict.fromkeys((*writes, *reads, *own))}
    bad = [path for path in found if found[path] is Reach.HIDDEN]
    bad += [path for path in dict.fromkeys(writes) if found[path] is Reach.READ_ONLY]
    for path in bad:
        change = _opening(unit, path, hidden=found[path] is Reach.HIDDEN)
        what = f"{unit['Id']}: {path} is {found[path]} in the unit"
        yield fault(_SANDBOX, what, change, ExitCode.CONFIGURATION)
    gone = [path for path in _required(unit) if not os.path.exists(path)]
    for path in gone:
        what = f"{unit['Id']}: ReadWritePaths={path} does not exist, so the unit does not start"
        yield fault(_SANDBOX, what, f"create it, or write -{path}", ExitCode.CONFIGURATION)
    if not bad and not gone:
        yield ok(_SANDBOX, f"all {len(found)} paths are accessible as required")


def _required(unit: Unit) -> list[str]:
    """List the paths that a start requires; those with a leading `-` are optional."""
    given = shlex.split(unit["ReadWritePaths"])
    return [path.lstrip("+") for path in given if not path.lstrip("+").startswith("-")]


def _opening(unit: Unit, path: str, *, hidden: bool) -> str:
    edit = f"systemctl edit {unit['Id']}: "
    if not hidden:
        return f"{edit}ReadWritePaths={path}"
    if any(_within(os.path.realpath(path), home) for home in _HOMES):
        return f"{edit}ProtectHome=no and ReadWritePaths={path}"
    if any(_within(os.path.realpath(path), private) for private in _PRIVATE):
        return f"{edit}BindPaths={path}, or use a folder that is not temporary"
    return f"{edit}take it out of InaccessiblePaths="
