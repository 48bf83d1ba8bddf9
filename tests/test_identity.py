"""Nothing is done again or doubled by a restore, a move, a lost state or a second one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.cli import main
from sharpend.errors import ExitCode
from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import Product, State
from tests.conftest import drop
from tests.daemons import WITHIN_S, running, surroundings, toml, until
from tests.fakes import Shop
from tests.renumbering import renumbering

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Networks

pytestmark = pytest.mark.slow

NAMES = ["a.png", "b.png", "sub/c.png"]


@dataclass
class Place:
    """A folder with inputs, outputs and a state directory of a shop."""

    base: Path
    model: Path

    def config(self, state: str = "state", **folder: object) -> Path:
        """A configuration of one folder whose files settle at once."""
        settings: dict[str, dict[str, object]] = {
            "model": {"name": self.model, "precision": "float32", "runtime": "torch"},
            "workers": {"count": 1},
            "agreement": {"sample": 0},
        }
        ways = {"input": self.base / "in", "output": self.base / "out", "settle_s": 0.1}
        path = self.base / f"{state}.toml"
        path.write_text(toml(self.base / state, settings, ways | folder))
        return path

    def once(self, state: str = "state", **folder: object) -> Run:
        """A run of `sharpend once` over what is there."""
        return self.run("sharpend", self.config(state, **folder))

    def run(
        self, module: str, config: Path, status: ExitCode = ExitCode.OK, **environment: str
    ) -> Run:
        """The same by another entry point, or with another end."""
        ended = subprocess.run(
            [sys.executable, "-m", module, "once", "--config", config, "--json"],
            check=False,
            capture_output=True,
            text=True,
            env=surroundings(environment),
            timeout=WITHIN_S,
        )
        assert ended.returncode == status, ended.stderr
        *lines, _ = map(json.loads, ended.stdout.splitlines())
        events = [json.loads(line) for line in ended.stderr.splitlines()]
        return Run(Counter(line["outcome"] for line in lines), events)

    def outputs(self, folder: str = "out") -> dict[str, tuple[int, bytes]]:
        """The outputs: inode number and bytes by name."""
        root = self.base / folder
        files = (path for path in root.rglob("*") if path.is_file())
        return {
            str(path.relative_to(root)): (path.stat().st_ino, path.read_bytes()) for path in files
        }


@dataclass
class Run:
    """The outcomes and events of one run."""

    outcomes: Counter[str]
    events: list[dict[str, Any]]

    def of(self, event: str) -> list[dict[str, Any]]:
        """The events of a kind."""
        return [one for one in self.events if one["event"] == event]


@pytest.fixture
def place(tmp_path: Path, networks: Networks) -> Place:
    """Three images, sharpened once."""
    made = Place(tmp_path, networks.student)
    for seed, name in enumerate(NAMES):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        drop(path.parent, path.name, seed=seed)
    assert made.once().outcomes == {"sharpened": 3}
    assert sorted(made.outputs()) == NAMES
    return made


def restore(folder: Path) -> None:
    """Put a folder back from a backup, as `cp -a` does: the same files with other inodes."""
    numbers = {path.stat().st_ino for path in folder.rglob("*.png")}
    subprocess.run(["/bin/cp", "-a", folder, f"{folder}.backup"], check=True)
    shutil.rmtree(folder)
    Path(f"{folder}.backup").rename(folder)
    assert not numbers & {path.stat().st_ino for path in folder.rglob("*.png")}


def forget_digests(state: Path) -> None:
    """Make the ledger one of a version that recorded no digest."""
    with open_ledger(state) as ledger, ledger._store.transaction() as cursor:
        cursor.execute("UPDATE job SET digest = NULL")


# Inode numbers that change


@pytest.mark.parametrize("is_old", [False, True])
def test_restored_inputs_are_known(place: Place, *, is_old: bool) -> None:
    """After `cp -a` nothing is done again, with rows of an older version too."""
    before = place.outputs()
    if is_old:
        forget_digests(place.base / "state")
    restore(place.base / "in")
    assert place.once().outcomes == {"unchanged": 3}
    assert place.outputs() == before
    found = [(os.fsencode(name), fingerprint_of(place.base / "in" / name)) for name in NAMES]
    with LedgerReader.read_only(place.base / "state") as ledger:
        assert list(ledger.unknown("in", found)) == []  # no later scan has to read them


def test_a_restored_refusal_is_known(tmp_path: Path, networks: Networks) -> None:
    """What could not be sharpened is not tried again after a restore, and its digest is kept."""
    place = Place(tmp_path, networks.student)
    (tmp_path / "in").mkdir()
    bad = tmp_path / "in/bad.png"
    bad.write_text("no image")
    for refusals, status in ((1, ExitCode.SOME_QUARANTINED), (0, ExitCode.OK)):
        run = place.run("sharpend", place.config(), status)
        assert len(run.of("image.quarantined")) == refusals
        restore(tmp_path / "in")
    with LedgerReader.read_only(tmp_path / "state") as ledger:
        ((_, (job,)),) = ledger.candidates("in", [(b"bad.png", fingerprint_of(bad))])
    assert job.digest == hashlib.sha256(b"no image").hexdigest()


def test_outputs_that_were_carried_away_stay_away(place: Place) -> None:
    """An output that its owner took is not made again, although the inputs were restored."""
    (place.base / "out/a.png").rename(place.base / "taken.png")
    restore(place.base / "in")
    assert place.once().outcomes == {"unchanged": 3}
    assert sorted(place.outputs()) == NAMES[1:]


def test_another_content_is_sharpened(place: Place) -> None:
    """A file with the name, size and time of the one before is a new one if its bytes differ."""
    before = place.outputs()
    path = place.base / "in/a.png"
    status, content = path.stat(), bytearray(path.read_bytes())
    content[content.index(b"IEND") - 8 - 4 :] = content[content.index(b"IEND") - 8 - 4 :]
    other = drop(place.base / "elsewhere", "a.png", seed=9)
    new = other.read_bytes()
    size = max(len(new), status.st_size)
    for target, data in ((path, bytes(content)), (other, new)):
        target.write_bytes(data + bytes(size - len(data)))  # after the end of a PNG
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert place.once().outcomes["unchanged"] == 2  # the padding made a.png another file
    other.rename(path)
    assert place.once().outcomes == {"sharpened": 1, "unchanged": 2}
    assert sorted(place.outputs()) == NAMES
    assert place.outputs()["a.png"] != before["a.png"]


def test_renumbered_inputs_are_known(place: Place) -> None:
    """Where inode numbers do not last, size and time decide, and no file is read for it."""
    before = place.outputs()
    config = place.config()
    for _ in range(2):
        run = place.run("tests.renumbering", config, RENUMBERING="fuseblk")
        assert run.outcomes == {"unchanged": 3}
    assert place.outputs() == before


def test_a_daemon_on_a_renumbering_file_system(place: Place) -> None:
    """Its scans find nothing new; what is new is sharpened once, and its source removed."""
    config = place.config(source="delete", polling=True, poll_s=0.2)
    with running("--config", config, module="tests.renumbering", RENUMBERING="fuseblk") as daemon:
        daemon.wait_for("daemon.ready")
        drop(place.base / "in", "new.png", seed=7)
        daemon.wait_for("image.finished", path="new.png")
        until(lambda: not (place.base / "in/new.png").exists())
        assert len(daemon.events("image.finished")) == 1
    assert sorted(place.outputs()) == sorted([*NAMES, "new.png"])


@pytest.mark.parametrize("kind", ["fuseblk", "ext4"])
def test_twenty_thousand_files(
    tmp_path: Path, kind: str, record_property: Callable[[str, object], None]
) -> None:
    """None is done again where numbers change by themselves, or by a restore; no turn is long.

    The report has the times: of the first scan, in which numbers differ from those in the ledger,
    and of the second.
    """
    shop, found = Shop(tmp_path), []
    for number in range(20_000):
        path = tmp_path / "in" / str(number % 20) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%d" % number * 1000)
        status = path.stat()
        other = Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino + 1_000_000)
        output = os.fsencode(path.relative_to(tmp_path / "in"))
        found.append(((output, other), Product(output, other)))
    shop.ledger.adopt("in", found, 1.0)
    folder, longest_s = shop.dispatcher.folders["in"], 0.0
    layer = renumbering(kind) if kind == "fuseblk" else nullcontext()
    with layer:
        for scan in ("first", "second"):
            folder.restart()
            began_s = time.monotonic()
            shop.turn()
            while not folder.is_settled:
                turn_s = time.monotonic()
                shop.turn()
                longest_s = max(longest_s, time.monotonic() - turn_s)
            record_property(f"{scan}_scan_s", round(time.monotonic() - began_s, 2))
    record_property("longest_turn_s", round(longest_s, 2))
    assert shop.pool.submitted == []
    assert shop.count(State.DISPOSED) == 20_000
    assert longest_s < 5
    shop.close()


# Folders that move


@pytest.mark.parametrize("way", ["mv", "cp"])
def test_a_moved_input_is_recognised(place: Place, way: str) -> None:
    """A library at another path is known by its files; neither doubles nor what was taken come."""
    (place.base / "out/a.png").rename(place.base / "taken.png")
    before = place.outputs()
    new = place.base / "in-new"
    if way == "cp":
        restore(place.base / "in")
    (place.base / "in").rename(new)
    run = place.once(input=new)
    assert run.outcomes == {"unchanged": 3}
    assert [event["images"] for event in run.of("folder.adopted")] == [3]
    assert place.outputs() == before
    drop(new, "late.png", seed=8)
    assert place.once(input=new).outcomes == {"sharpened": 1, "unchanged": 3}


def test_move_records_an_input(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """`sharpend move` keeps all states; the old path is none of the ledger's any more."""
    before = place.outputs()
    old, new = place.base / "in", place.base / "in-new"
    old.rename(new)
    arguments = ["move", "--state", str(place.base / "state"), str(old), str(new)]
    assert main(arguments) == ExitCode.OK
    assert f"in: {new} -> {place.base / 'out'}" in capsys.readouterr().out
    assert place.once(input=new).outcomes == {"unchanged": 3}
    assert place.outputs() == before
    assert main(arguments) == ExitCode.INPUT_MISSING
    assert f"{old}: no folder of this state directory" in capsys.readouterr().err


def test_move_records_an_output(place: Place) -> None:
    """Outputs at another path are known: a changed input replaces its own, and none is doubled."""
    old, new = place.base / "out", place.base / "out-new"
    old.rename(new)
    assert main(["move", "--state", str(place.base / "state"), str(old), str(new)]) == ExitCode.OK
    with open_ledger(place.base / "state") as ledger:  # the disk of the new path is another one
        assert list(ledger.root_identities("in")) == [os.fsencode(place.base / "in")]
    drop(place.base / "in", "a.png", seed=9)
    assert place.once(output=new).outcomes == {"sharpened": 1, "unchanged": 2}
    assert sorted(place.outputs("out-new")) == NAMES
    assert not old.exists()


def test_move_of_what_holds_the_folders(place: Place) -> None:
    """The folder above inputs and outputs stands for both; a late move ends what began anew."""
    base, new = place.base / "shop", place.base / "shop-new"
    base.mkdir()
    for name in ("in", "out"):
        (place.base / name).rename(base / name)
    assert place.once(input=base / "in", output=base / "out").of("folder.adopted")
    base.rename(new)
    with open_ledger(place.base / "state") as ledger:  # a daemon had begun with the new paths
        roots = (os.fsencode(new / "in"), os.fsencode(new / "out"))
        name = ledger.folder("in", *roots)
        found = (b"a.png", fingerprint_of(new / "in/a.png"))
        assert ledger.add(name, [found], 1.0).jobs == 1
    assert main(["move", "--state", str(place.base / "state"), str(base), str(new)]) == ExitCode.OK
    assert place.once(input=new / "in", output=new / "out").outcomes == {"unchanged": 3}
    assert sorted(place.outputs("shop-new/out")) == NAMES


def test_move_refuses_another_folder(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A new path that is missing, or has none of the files, is refused; --anyway takes it."""
    old, new = place.base / "in", place.base / "empty"
    arguments = ["move", "--state", str(place.base / "state"), str(old), str(new)]
    assert main(arguments) == ExitCode.INPUT_MISSING
    assert "no such folder" in capsys.readouterr().err
    new.mkdir()
    assert main(arguments) == ExitCode.INPUT_MISSING
    assert "none of 3 known files is there" in capsys.readouterr().err
    assert main([*arguments, "--anyway"]) == ExitCode.OK


def test_move_beside_a_daemon(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """While a daemon works the command says who it is, and changes nothing."""
    with running("--config", place.config()) as daemon:
        daemon.wait_for("daemon.ready")
        paths = [str(place.base / name) for name in ("in", "in-new")]
        assert main(["move", "--state", str(place.base / "state"), *paths]) == ExitCode.STATE_LOCKED
        assert f"in use by process {daemon.process.pid}: stop it" in capsys.readouterr().err


# States that are lost, or two


def test_a_lost_state_doubles_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Outputs that a new state directory finds are recognised by name and time."""
    before = place.outputs()
    shutil.rmtree(place.base / "state")
    assert main(["once", "--config", str(place.config()), "--dry-run"]) == ExitCode.OK
    assert "in: 3 done" in capsys.readouterr().out
    run = place.once()
    assert run.outcomes == {"unchanged": 3}
    assert [event["images"] for event in run.of("folder.adopted")] == [3]
    assert place.outputs() == before
    assert place.once().of("folder.adopted") == []


def test_outputs_are_recognised_by_their_record(tmp_path: Path, networks: Networks) -> None:
    """Where a copy lost the times, the provenance record says which input an output is of."""
    place = Place(tmp_path, networks.student)
    drop(tmp_path / "in", "a.png")
    drop(tmp_path / "in", "b.png", seed=1)
    assert place.once(provenance=True).outcomes == {"sharpened": 2}
    shutil.rmtree(tmp_path / "state")
    for path in (tmp_path / "out").iterdir():
        os.utime(path)
    shutil.copy(tmp_path / "out/a.png", tmp_path / "out/b.png")  # of another input
    run = place.once(provenance=True)
    assert run.outcomes == {"sharpened": 1, "unchanged": 1}
    assert [event["images"] for event in run.of("folder.adopted")] == [1]
    assert sorted(place.outputs()) == ["a.png", "b-2.png", "b.png"]


def test_what_is_made_again_is_not_doubled(place: Place) -> None:
    """Where nothing but its bytes identifies an output, the same bytes take its name."""
    shutil.rmtree(place.base / "state")
    for name in NAMES:
        os.utime(place.base / "out" / name)
    assert place.once().outcomes == {"sharpened": 3}
    assert sorted(place.outputs()) == NAMES


def test_copies_of_sharp_images_are_not_doubled(tmp_path: Path, networks: Networks) -> None:
    """An output that is its input, byte for byte, is made again after a loss, under its name."""
    place = Place(tmp_path, networks.student)
    drop(tmp_path / "in", "a.png")
    sharp: dict[str, Any] = {"skip_sharp": True, "skip_sharp_above": -10.0}
    assert place.once(**sharp).outcomes == {"unchanged": 1}
    shutil.rmtree(tmp_path / "state")
    assert place.once(**sharp).outcomes == {"unchanged": 1}
    assert sorted(place.outputs()) == ["a.png"]


def test_two_states_are_reported_to_each_other(attributes: Path, networks: Networks) -> None:
    """Two installations with one output make each image once, and each log names the other."""
    place = Place(attributes, networks.student)
    for seed, name in enumerate(("a.png", "b.png")):
        drop(attributes / "in", name, seed=seed)
    first = place.once()
    assert first.outcomes == {"sharpened": 2}
    assert first.of("output.shared") == []
    second = place.once("other")
    assert second.outcomes == {"unchanged": 2}
    third = place.once()
    assert [event["state"] for event in second.of("output.shared")] == [str(attributes / "state")]
    assert [event["state"] for event in third.of("output.shared")] == [str(attributes / "other")]
    assert sorted(path.name for path in (attributes / "out").iterdir()) == ["a.png", "b.png"]
    shutil.rmtree(attributes / "other")
    assert place.once().of("output.shared") == []


def test_two_daemons_make_one_output(place: Place) -> None:
    """Both sharpen what comes; the second finds its own bytes under the name."""
    with (
        running("--config", place.config()) as one,
        running("--config", place.config("other")) as other,
    ):
        for daemon in (one, other):
            daemon.wait_for("daemon.ready")
        for seed in range(5):
            drop(place.base / "in", f"new-{seed}.png", seed=20 + seed)
        for daemon in (one, other):
            for seed in range(5):
                daemon.wait_for("image.finished", path=f"new-{seed}.png")
    assert sorted(place.outputs()) == sorted([*NAMES, *(f"new-{seed}.png" for seed in range(5))])


def test_a_new_output_is_warned_of(place: Place) -> None:
    """A reload with another output says how many images come again, and what prevents it."""
    config = place.config()
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        place.config(output=place.base / "out-new")
        daemon.send(signal.SIGHUP)
        told = daemon.wait_for("folder.repeated")
        assert (told["images"], told["earlier"]) == (3, str(place.base / "out"))
        assert f"sharpend move {place.base / 'out'} {place.base / 'out-new'}" in told["message"]
        assert 'existing = "skip"' in told["message"]
        daemon.wait_for("config.reloaded")
    with running("--config", place.config(output=place.base / "out-new")) as daemon:
        daemon.wait_for("daemon.ready")


def fingerprint_of(path: Path) -> Fingerprint:
    """The fingerprint of a file."""
    return Fingerprint.of(path.stat())
