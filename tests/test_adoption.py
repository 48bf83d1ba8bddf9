"""After the ledger was lost, outputs in place are recognised and foreign files are not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sharpend.commit.adoption import existing_output
from sharpend.commit.destination import Destination
from sharpend.commit.names import Naming
from sharpend.daemon.folder_plan import FolderPlan
from sharpend.daemon.registrar import Registrar
from sharpend.files.fingerprint import Fingerprint
from sharpend.intake.interface import FolderOptions
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.records import Owner, State
from sharpend.task import Options
from tests.fakes import ListLog

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_000_000.0
TAKEN_NS = 1_600_000_000_123_456_789


@pytest.mark.parametrize(
    ("content", "mtime_ns", "adopted"),
    [
        (b"sharp photo", TAKEN_NS, True),
        (b"copied", TAKEN_NS, False),
        (b"sharp photo", TAKEN_NS + 1, False),
        (None, 0, False),
    ],
)
def test_output_in_place(
    tmp_path: Path, content: bytes | None, mtime_ns: int, *, adopted: bool
) -> None:
    """An output has its source's time and another size; a copy, or an older file, is none."""
    for name in ("in", "out"):
        (tmp_path / name / "a").mkdir(parents=True)
    source = tmp_path / "in/a/x.png"
    source.write_bytes(b"photo!")
    os.utime(source, ns=(TAKEN_NS, TAKEN_NS))
    if content is not None:
        (tmp_path / "out/a/x.png").write_bytes(content)
        os.utime(tmp_path / "out/a/x.png", ns=(mtime_ns, mtime_ns))
    to = Destination("in", os.fsencode(tmp_path / "in"), os.fsencode(tmp_path / "out"))
    found = (b"a/x.png", Fingerprint.of(source.stat()))
    with open_ledger(tmp_path / "state") as ledger:
        ledger.folder("in", to.input_root, to.output_root)
        existing = existing_output(to, found)
        assert (existing is not None and existing.is_certain) == adopted
        if existing is not None and existing.is_certain:
            ledger.adopt("in", [(existing.found, existing.product)], NOW)
        assert (list(ledger.unknown("in", [found])) == []) == adopted
        assert ledger.counts()[State.DISPOSED] == adopted
        if adopted:
            made = Fingerprint.of((tmp_path / "out/a/x.png").stat())
            assert ledger.output_owner("in", made) == Owner("in", b"a/x.png")
        assert source.exists()


def test_one_output_is_adopted_once(tmp_path: Path) -> None:
    """Of two inputs with one time and one output name, only the first can have made it."""
    for path in ("in/x.png", "in/x.jpg", "out/x.out"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(path.encode())
        os.utime(tmp_path / path, ns=(TAKEN_NS, TAKEN_NS))
    roots = (os.fsencode(tmp_path / "in"), os.fsencode(tmp_path / "out"))
    to = Destination("in", *roots, naming=Naming("{stem}.out"))
    with open_ledger(tmp_path / "state") as ledger:
        ledger.folder("in", *roots)
        found = [
            (name, Fingerprint.of((tmp_path / "in" / name.decode()).stat()))
            for name in (b"x.png", b"x.jpg")
        ]
        plan = FolderPlan(to, FolderOptions(roots[0]), Options("lite"))
        Registrar(plan, ledger, ListLog(), wake=lambda: None).register(found)
        assert ledger.counts()[State.DISPOSED] == ledger.counts()[State.PENDING] == 1
        job = ledger.claim(NOW, ["in"])
        assert job is not None
        assert job.relative == b"x.jpg"


def test_missing_output_folder(tmp_path: Path) -> None:
    """Where there is no output folder yet, there is nothing to adopt."""
    to = Destination("in", b"/in", os.fsencode(tmp_path / "gone"))
    assert existing_output(to, (b"a/x.png", Fingerprint(1, 2, 3))) is None
