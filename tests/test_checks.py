"""The doctor's checks: from plain values to what is at fault and what to change."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.checks import device, folders, mounts, path_access, runner, state
from sharpend.checks.finding import Finding, Level, exit_code, fault, note, ok
from sharpend.checks.path_access import Content, PathAccess
from sharpend.checks.runner import Runner
from sharpend.commit.destination import Destination
from sharpend.daemon.folder_plan import FolderPlan
from sharpend.errors import ExitCode, UnavailableError
from sharpend.files.access import Access, name_of
from sharpend.files.mounts import Mount
from sharpend.intake.interface import FolderOptions
from sharpend.policies import SourcePolicy
from sharpend.task import Options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVICE = Runner("sharpend", 987, 987, frozenset({987, 100}))
NOBODY = Runner("nobody", 65534, 65534, frozenset({65534}))
USERS = f"group {name_of(100)}"
LOCAL, SHARE = Mount(b"/", "ext4"), Mount(b"/srv", "nfs4")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may ask as somebody else")


def sighted(path: str, **changes: Any) -> PathAccess:  # noqa: ANN401 - the fields of PathAccess
    """A folder that is as it should be."""
    sound = PathAccess(
        path,
        exists=True,
        is_folder=True,
        readable=True,
        writable=True,
        mode=0o755,
        uid=0,
        gid=0,
        free_bytes=5_000_000_000,
        ancestors=[("/", 0o755, 0), ("/srv", 0o755, 0)],
    )
    return replace(sound, **changes)


def plan(**destination: Any) -> FolderPlan:  # noqa: ANN401 - the fields of Destination
    """A folder of the settings."""
    way = Destination("in", b"/srv/in", b"/srv/out")
    return FolderPlan(replace(way, **destination), FolderOptions(b"/srv/in"), Options("lite"))


def examined(
    made: FolderPlan | None = None,
    *,
    content: Content | None = None,
    path_facts: Mapping[str, PathAccess] | None = None,
) -> dict[str, Finding]:
    """What is found of a folder, by its subject."""
    seen = {f"/srv/{name}": sighted(f"/srv/{name}") for name in ("in", "out", "archive")}
    seen |= {f"/srv/{name}": one for name, one in (path_facts or {}).items()}
    content = content or Content(directories=2, images=3, bytes=100)
    asked = folders.FolderFacts(made or plan(), SERVICE, seen, content, umask=0o022)
    return {one.subject.removeprefix("in: "): one for one in folders.folder(asked)}


def faults(found: dict[str, Finding]) -> dict[str, ExitCode]:
    """The exit status of each fault, by its subject."""
    return {name: one.status for name, one in found.items() if one.level is Level.FAULT}


def notes(found: dict[str, Finding]) -> list[str]:
    """The subjects of the notes."""
    return [name for name, one in found.items() if one.level is Level.NOTE]


def test_settings_are_changed_first() -> None:
    """Of several faults the configuration's status wins; notes end with 0."""
    some = [
        ok("a", ""),
        note("b", ""),
        fault("c", "", "", ExitCode.OUTPUT_FAILED),
        fault("d", "", "", ExitCode.UNAVAILABLE),
        fault("e", "", "", ExitCode.CONFIGURATION),
    ]
    assert [exit_code(some[:n]) for n in (2, 3, 4, 5)] == [0, 73, 69, 78]


# Folders


def test_a_sound_folder() -> None:
    """Nothing is at fault, and the images are counted."""
    found = examined()
    assert (faults(found), notes(found)) == ({}, [])
    assert found["input"].found == "/srv/in: 3 images in 2 folders, readable by sharpend"
    assert list(found) == ["input", "output", "readers", "space"]


@pytest.mark.parametrize(
    ("path_facts", "expected"),
    [
        ({"in": {"exists": False}}, {"input": 66}),
        ({"in": {"is_folder": False}}, {"input": 66}),
        ({"in": {"readable": False}}, {"input": 66}),
        ({"out": {"writable": False}}, {"output": 73}),
        ({"out": {"writable": False, "exists": False}}, {"output": 73}),
        ({"out": {"is_folder": False}}, {"output": 73}),
        ({"out": {"free_bytes": 1_000_000}}, {"space": 73}),
        ({"archive": {"writable": False}}, {"archive": 73}),
        ({"in": {"writable": False}}, {}),
        ({"out": {"exists": False}}, {}),
    ],
)
def test_folders_that_cannot_be_worked_with(
    path_facts: dict[str, dict[str, Any]], expected: dict[str, int]
) -> None:
    """Each fault has the status that the daemon would end with, and says what to change."""
    changed = {name: sighted(f"/srv/{name}", **changes) for name, changes in path_facts.items()}
    found = examined(plan(archive_root=b"/srv/archive"), path_facts=changed)
    assert faults(found) == expected
    assert all(found[name].change for name in expected)


def test_sources_that_cannot_go() -> None:
    """A folder that nothing can be taken out of is a fault where sources are to go."""
    content = Content(directories=1, images=1, fixed=["/srv/in/old"])
    assert faults(examined(content=content)) == {}
    found = examined(plan(source=SourcePolicy.DELETE), content=content)
    assert faults(found) == {"source": 78}
    assert "/srv/in/old" in found["source"].found


def test_what_is_worth_a_note() -> None:
    """Unreadable images, an output for everybody, and more images than space."""
    assert notes(examined(content=Content(1, 1, 9, unreadable=["/srv/in/a.png"]))) == ["input"]
    assert notes(examined(path_facts={"out": sighted("/srv/out", mode=0o777)})) == ["output"]
    assert notes(examined(path_facts={"out": sighted("/srv/out", mode=0o1777)})) == []
    assert notes(examined(content=Content(1, 1, 6_000_000_000))) == ["space"]


@pytest.mark.parametrize(
    ("access", "out", "level", "said"),
    [
        (Access(100, 0o640), {"gid": 100, "mode": 0o750}, Level.OK, f"{USERS} and mode 0640"),
        (Access(100, None), {"mode": 0o755}, Level.OK, f"{USERS} and the source's mode"),
        (Access(5, 0o640), {}, Level.FAULT, "not in the group"),
        (Access(100, 0o600), {}, Level.NOTE, "cannot read mode 0600"),
        (Access(100, 0o640), {"gid": 7, "mode": 0o750}, Level.NOTE, "cannot enter /srv/out"),
        (Access(100, 0o640), {"gid": 100, "mode": 0o640}, Level.NOTE, "cannot enter /srv/out"),
        (
            Access(100, 0o640),
            {"mode": 0o755, "ancestors": [("/", 0o755, 0), ("/srv", 0o710, 0)]},
            Level.NOTE,
            "cannot enter /srv",
        ),
        (Access(None, 0o644), {}, Level.OK, "mode 0644"),
        (Access(None, 0o640), {}, Level.NOTE, "no one else can enter the folders"),
    ],
)
def test_who_can_read_the_outputs(
    access: Access, out: dict[str, Any], level: Level, said: str
) -> None:
    """A group must be the daemon's to give, may read the mode, and can enter the way down."""
    found = examined(plan(access=access), path_facts={"out": sighted("/srv/out", **out)})["readers"]
    assert found.level is level
    assert said in found.found
    assert bool(found.change) == (level is not Level.OK)


# What the user sees


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An input with images in two folders, and things that are no images."""
    (tmp_path / "in/sub").mkdir(parents=True)
    for name, size in (("a.png", 10), ("sub/b.jpg", 20), ("notes.txt", 40)):
        (tmp_path / "in" / name).write_bytes(bytes(size))
    (tmp_path / "in/link.png").symlink_to("a.png")
    return tmp_path


def test_an_input_is_counted(tree: Path) -> None:
    """Images by their suffix, folders below only where they belong to it."""
    assert path_access.walk(str(tree / "in"), recursive=True) == Content(2, 2, 30)
    assert path_access.walk(str(tree / "in"), recursive=False) == Content(1, 1, 10)


def test_what_is_missing_is_judged_by_what_is_above(tree: Path) -> None:
    """A folder that is not there can be made where the nearest one above can be written."""
    there, missing = path_access.look(str(tree)), path_access.look(str(tree / "x/y"))
    assert (missing.exists, missing.is_folder, missing.writable) == (False, True, True)
    assert min(missing.free_bytes, there.free_bytes) > 0
    assert (there.ancestors[0][0], there.ancestors[-1][0]) == ("/", str(tree.parent))
    assert not path_access.look(str(tree / "in/a.png")).is_folder


def test_we_are_asked_in_another_process(tree: Path) -> None:
    """The answer of a child is the same as our own, names that are not UTF-8 included."""
    odd = os.fsdecode(os.path.join(os.fsencode(tree), b"caf\xe9"))
    os.mkdir(odd)
    path_facts, contents = path_access.examine(
        runner.ourselves(), [odd], [(str(tree / "in"), True)]
    )
    known = replace(
        path_access.look(odd), free_bytes=path_facts[odd].free_bytes
    )  # others write there too
    assert (path_facts, contents) == ({odd: known}, [Content(2, 2, 30)])


@needs_root
def test_a_sticky_folder_gives_nothing_away(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like /tmp: everybody may write, and only the owner may delete."""
    (tree / "in/sub").chmod(0o1777)
    assert path_access.walk(str(tree / "in"), recursive=True).fixed == []
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.uid)
    assert path_access.walk(str(tree / "in"), recursive=True).fixed == [str(tree / "in/sub")]


@needs_root
def test_a_user_is_asked_with_its_own_rights(tree: Path) -> None:
    """Root asks as the daemon's user: what that user cannot see or take is reported."""
    top = tree
    while top != top.parent:  # pytest's own folders are root's alone; any user may pass through
        top.chmod(top.stat().st_mode | 0o011)
        if top.name.startswith("pytest-of-"):
            break
        top = top.parent
    (tree / "in/a.png").chmod(0o600)
    (tree / "in/sub").chmod(0o700)
    paths = [str(tree / "in"), str(tree / "in/a.png")]
    path_facts, (content,) = path_access.examine(NOBODY, paths, [(paths[0], True)])
    folder, file = (path_facts[path] for path in paths)
    assert (folder.readable, folder.writable, file.readable) == (True, False, False)
    assert sorted(content.unreadable) == [str(tree / "in/a.png"), str(tree / "in/sub")]
    assert content.fixed == [str(tree / "in")]


def test_a_child_that_dies_is_said() -> None:
    """The last line of what it said is the message."""
    with pytest.raises(UnavailableError, match="No module named"):
        runner.ask(runner.ourselves(), "sharpend.checks.away", None)


def test_users_go_by_name_or_number() -> None:
    """As systemd takes them; what this machine lacks is a KeyError that names it."""
    us = pwd.getpwuid(os.geteuid())
    by_name = runner.user_named(us.pw_name, "", ["12345"])
    by_number = runner.user_named(str(us.pw_uid), str(us.pw_gid), [])
    assert by_name.uid == by_number.uid == us.pw_uid
    assert by_name.groups >= {us.pw_gid, 12345}
    assert by_number.is_us
    with pytest.raises(KeyError, match="no-such"):
        runner.user_named("no-such", "", [])
    with pytest.raises(KeyError, match="no-such"):
        runner.user_named(us.pw_name, "no-such", [])


# Changes


@pytest.mark.parametrize(
    ("polling", "mount", "level", "said"),
    [
        (None, LOCAL, Level.OK, "ext4: inotify"),
        (None, SHARE, Level.OK, "nfs4: polled every 5 s"),
        (True, LOCAL, Level.OK, "ext4: polled every 5 s"),
        (False, SHARE, Level.NOTE, "found every 60 s only"),
    ],
)
def test_how_changes_become_known(
    *, polling: bool | None, mount: Mount, level: Level, said: str
) -> None:
    """By the settings and the file system; a network file system that is not polled is noted."""
    found = mounts.input_mount("in", FolderOptions(b"/srv/in", polling=polling), mount)
    assert found.level is level
    assert said in found.found


def test_a_ledger_on_a_share_is_a_fault() -> None:
    """SQLite's locks cannot be trusted there; one in memory is noted."""
    assert mounts.state_mount("/run/s", Mount(b"/run", "tmpfs")).level is Level.NOTE
    assert mounts.state_mount("/srv/s", LOCAL).level is Level.OK
    bad = mounts.state_mount("/srv/s", SHARE)
    assert (bad.level, bad.status) == (Level.FAULT, ExitCode.CONFIGURATION)


@pytest.mark.parametrize(
    ("watched", "change"),
    [
        ([50, 30], ["", ""]),
        ([50, 50], ["fs.inotify.max_user_watches=256", ""]),
        ([1] * 10, ["", "fs.inotify.max_user_instances=32"]),
    ],
)
def test_inotify_limits_name_their_sysctl(watched: list[int], change: list[str]) -> None:
    """Where the directories are more than may be watched, the line says which limit and how far."""
    found = list(mounts.inotify(mounts.InotifyLimits(watches=100, instances=10), watched))
    assert [one.level is Level.NOTE for one in found] == [bool(wanted) for wanted in change]
    assert all(wanted in one.change for one, wanted in zip(found, change, strict=True))
    (none,) = mounts.inotify(None, watched)
    assert none.level is Level.NOTE


# State and daemon


def test_the_state_directory() -> None:
    """It must be writable by the daemon and by nobody else, and have some space."""

    def found(*, made_by_unit: bool = False, **changes: Any) -> list[Any]:  # noqa: ANN401 - as sighted
        one = sighted("/var/s", **{"mode": 0o750} | changes)
        told = list(state.directory(one, SERVICE, made_by_unit=made_by_unit))
        return [(one.level.value, int(one.status)) for one in told]

    sound = ("ok", 0)
    assert found() == [sound, sound]
    assert found(mode=0o777) == [("fault", 78), sound]
    assert found(mode=0o755) == [("note", 0), sound]
    assert found(writable=False) == [("fault", 73), sound]
    assert found(exists=False, mode=0o755) == [sound, sound]
    assert found(exists=False, writable=False) == [("fault", 73), sound]
    assert found(exists=False, writable=False, made_by_unit=True) == [sound, sound]
    assert found(is_folder=False) == [("fault", 73)]
    assert found(free_bytes=1000) == [sound, ("fault", 73)]


def test_the_configuration_is_nobody_elses() -> None:
    """Who may write it decides what is deleted; the daemon must be able to read it."""
    assert state.configuration(None, SERVICE).level is Level.NOTE
    assert state.configuration(sighted("/etc/s", mode=0o644), SERVICE).level is Level.OK
    for changes in ({"mode": 0o666}, {"readable": False}):
        bad = state.configuration(sighted("/etc/s", **changes), SERVICE)
        assert (bad.level, bad.status) == (Level.FAULT, ExitCode.CONFIGURATION)


def test_a_daemon_that_runs_is_asked_how_it_is() -> None:
    """Its last report says it; one that is too old is a fault."""
    last = {"state": "running", "pid": 7, "version": "1", "at": 1000.0, "health": "ok"}
    last |= {"paused": {}, "queue_depth": 4, "state_fault": None}

    def told(*, running: bool = True, now_s: float = 1001, **changes: object) -> Finding:
        return state.daemon(last | changes, is_running=running, now_s=now_s, every_s=60)

    assert told(running=False).found == "not running with this state directory"
    assert told().found == "process 7 of version 1: health ok, 4 waiting"
    assert told(now_s=1200).status is ExitCode.UNAVAILABLE
    paused = told(health="degraded", paused={"in": "disk full"})
    assert (paused.level, paused.change) == (Level.NOTE, "in: disk full")
    assert "agreement" in told(health="degraded").change
    for said in ("paused", "running"):
        full = told(state=said, health="fail", state_fault="disk full")
        assert full.status is ExitCode.OUTPUT_FAILED
        assert full.found == "process 7 of version 1: all work is paused: disk full"
    assert told(state="stopped").level is Level.NOTE
    assert state.daemon(None, is_running=True, now_s=0, every_s=60).level is Level.NOTE


# The device

LOADED: dict[str, Any] = {"model": "lite", "device": "cpu float32", "tile_px": 512, "teacher": None}
LOADED |= {"precision": "float32", "precision_cause": "as set", "refused": []}
LOADED |= {"confined_by": ["no_new_privileges", "system_calls"]}
TORCH: dict[str, Any] = {"version": "2.9", "built_for_cuda": None, "devices": [], "threads": 2}
TORCH |= {"capability": "AVX512", "amx": True, "mkldnn": True}
LIBRARIES = dict.fromkeys(device._ALWAYS, "1.0") | {"pillow-heif": None}


def machine(
    *, driver: bool = False, libraries: dict[str, str | None] | None = None, **torch: object
) -> list[Finding]:
    """What is found where a worker started and said this."""
    told = {"models": [LOADED], "errors": [], "torch": TORCH | torch}
    told["libraries"] = LIBRARIES if libraries is None else libraries
    return list(device.device(told, driver=driver))


def test_a_machine_that_is_well_used() -> None:
    """Network, sandbox, torch and codecs, one line each."""
    loaded, precision, worker, torch, codecs = machine()
    assert worker.found == "confined by no new privileges, system calls"
    assert loaded.found == "lite runs on cpu float32, tiles of 512 pixels, without its teacher"
    assert torch.found == "2.9, AVX512 and AMX, 2 threads a worker"
    assert codecs.found.endswith("avif 1.0; not installed: pillow-heif")
    assert precision.found == "lite in float32: as set"
    assert {one.level for one in (loaded, precision, worker, torch, codecs)} == {Level.OK}
    gpu = machine(built_for_cuda="13.0", devices=["H100"], driver=True)[3]
    assert (gpu.level, gpu.found.endswith("H100")) == (Level.OK, True)


@pytest.mark.parametrize(
    ("driver", "built_for", "said"),
    [
        (False, "13.0", "built for CUDA 13.0, but no driver is installed"),
        (True, "13.0", "torch finds no device"),
        (True, None, "torch is built without"),
    ],
)
def test_a_gpu_that_torch_does_not_reach(*, driver: bool, built_for: str | None, said: str) -> None:
    """Driver and build have to go together."""
    torch = machine(driver=driver, built_for_cuda=built_for)[3]
    assert torch.level is Level.NOTE
    assert said in torch.found


def test_what_is_missing_is_said() -> None:
    """A build of torch without oneDNN, and a Pillow without AVIF."""
    assert machine(mkldnn=False)[4].level is Level.NOTE
    codecs = machine(libraries=LIBRARIES | {"avif": None})[-1]
    assert (codecs.level, codecs.found.split(" not installed")[0]) == (Level.NOTE, "avif")


def test_a_machine_that_confines_nothing_is_noted() -> None:
    """Elsewhere than on Linux a worker gives nothing up."""
    told = {"models": [LOADED | {"confined_by": []}], "errors": [], "torch": TORCH}
    found = list(device.device(told | {"libraries": LIBRARIES}, driver=False))
    assert (found[2].level, "not sandboxed" in found[2].found) == (Level.NOTE, True)


def test_a_refused_precision_is_noted() -> None:
    """Where bfloat16 is set and its pixels are too unlike, float32 runs, and doctor says so."""
    refused = LOADED | {"refused": ["bfloat16"], "precision_cause": "SSIM 0.91"}
    told = {"models": [refused], "errors": [], "torch": TORCH, "libraries": LIBRARIES}
    found = list(device.device(told, driver=False))[1]
    assert (found.level, found.change[:15]) == (Level.NOTE, "model.precision")
    assert found.found.startswith("lite in float32: SSIM 0.91")
    assert found.found.endswith("refused: bfloat16")


def test_a_device_that_is_not_there_is_a_fault() -> None:
    """The worker's own words, divided into what was found and what to change."""
    told = {"models": [], "errors": ["model.device: cuda:7: not available; set it to cpu"]}
    found = next(device.device(told | {"torch": TORCH, "libraries": LIBRARIES}, driver=False))
    assert (found.found, found.change) == ("model.device: cuda:7: not available", "set it to cpu")
    (dead,) = device.device(UnavailableError("No module named 'torch'"), driver=False)
    assert {found.status, dead.status} == {ExitCode.UNAVAILABLE}


def test_more_threads_than_cores_are_noted() -> None:
    """Then the workers only wait for each other."""
    assert device.workers(2, 2, 4).level is Level.OK
    assert device.workers(3, 2, 4).level is Level.NOTE
