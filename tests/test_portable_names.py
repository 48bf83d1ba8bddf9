"""Portable names: what Windows or a disk does not take is rewritten, the same each time."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpend.commit import sidecars
from sharpend.commit.names import Naming, numbered
from sharpend.commit.portable import is_portable
from sharpend.commit.quarantine import Quarantine
from sharpend.errors import Reason
from sharpend.ledger.records import QuarantineReason, State
from sharpend.policies import SourcePolicy
from tests.mounts import windows_disk
from tests.shop import NOW, CommitShop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = b"/nowhere"
PORTABLE = ["x.png", "caf\u00e9 1.jpg", "a..jpg", "console.jpg", "com10.png", "-x #&+,;=@[].png"]
NOT_PORTABLE = {
    "what?.png": "what_~{}.png",
    "1:2.png": "1_2~{}.png",
    "a<b>|c*.png": "a_b__c_~{}.png",
    "back\\slash.png": "back_slash~{}.png",
    "new\nline.png": "new_line~{}.png",
    "CON.png": "_CON~{}.png",
    "aux.tar.png": "_aux.tar~{}.png",
    "lpt1.png": "_lpt1~{}.png",
    "com\u00b9.png": "_com\u00b9~{}.png",
    "\udcff.png": "_~{}.png",
}
FOLDERS = {"2019-05-01 12:30": "2019-05-01 12_30~{}", "end. ": "end~{}__", "nul": "_nul~{}"}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[CommitShop]:
    """A shop with portable names."""
    made = CommitShop(tmp_path)
    made.to = replace(made.to, portable_names=True)
    yield made
    made.ledger.close()


def rewritten(name: str, pattern: str) -> bytes:
    """A pattern with the digest of the name."""
    return os.fsencode(pattern.format(hashlib.sha256(os.fsencode(name)).hexdigest()[:8]))


def reason(note: bytes) -> dict[str, object]:
    """The content of a reason file."""
    with open(note, "rb") as file:
        return dict(json.load(file))


def made(relative: bytes, naming: Naming, most: int = 1) -> list[bytes]:
    """The best names."""
    return list(islice(numbered(ROOT, relative, naming, portable=True), most))


@pytest.mark.parametrize("name", PORTABLE)
def test_portable_names_stay(name: str) -> None:
    """Whatever Windows takes is mirrored."""
    assert made(os.fsencode(name), Naming()) == [os.fsencode(name)]


@pytest.mark.parametrize(("name", "pattern"), NOT_PORTABLE.items())
def test_other_names_are_rewritten_with_a_digest(name: str, pattern: str) -> None:
    """The suffix stays, and the digest is that of the whole name."""
    assert made(os.fsencode(name), Naming()) == [rewritten(name, pattern)]


@pytest.mark.parametrize(("folder", "pattern"), FOLDERS.items())
def test_folders_are_rewritten_alike(folder: str, pattern: str) -> None:
    """Those above keep their place."""
    path = os.fsencode(f"ok/{folder}/x.png")
    assert made(path, Naming()) == [b"ok/" + rewritten(folder, pattern) + b"/x.png"]


def test_the_template_decides_what_is_portable() -> None:
    """A device's name with more after it is none, and a template's own fault needs no digest."""
    assert made(b"con.png", Naming(suffix="-sharp")) == [b"con-sharp.png"]
    assert made(b"x.png", Naming("{stem}: sharp{ext}")) == [b"x_ sharp.png"]
    assert made(b"x.png", Naming("{stem}. ")) == [b"x__"]


def test_numbers_follow_the_digest() -> None:
    """As they follow any stem."""
    first, second = made(b"a?.png", Naming(suffix="-s"), most=2)
    assert second == first.replace(b"-s.png", b"-2-s.png")


@given(st.binary(min_size=1, max_size=255).filter(lambda one: not {0, 47} & set(one)))
def test_every_name_becomes_a_portable_one(name: bytes) -> None:
    """Of at most 255 bytes, and not that of another input that differs in one character."""
    (portable,) = made(b"d/" + name, Naming())
    assert is_portable(portable.removeprefix(b"d/"))
    assert len(portable) <= 257
    (other,) = made(b"d/" + (b"y" if name[:1] == b"x" else b"x") + name[1:], Naming())
    assert other != portable


def test_two_names_that_look_alike_have_two_outputs(shop: CommitShop) -> None:
    """Each the same again when it is done again; an input with the rewritten name is numbered."""
    first = os.fsdecode(rewritten("a?.png", "a_~{}.png"))
    second = os.fsdecode(rewritten("a*.png", "a_~{}.png"))
    for turn in (b"1", b"2"):
        for name in ("a?.png", "a*.png", first):
            shop.drop(name, os.fsencode(name) + turn)
            assert shop.run().rewritten is (name != first)
        assert shop.files("out") == {
            first: b"sharp a?.png" + turn,
            second: b"sharp a*.png" + turn,
            first.replace(".png", "-2.png"): b"sharp " + os.fsencode(first) + turn,
        }


def test_without_the_setting_names_are_mirrored(shop: CommitShop) -> None:
    """A disk that takes any name gets the names of the inputs."""
    shop.to = replace(shop.to, portable_names=False)
    shop.drop("a?.png")
    done = shop.run()
    assert (done.output, done.rewritten, dict(done.finished_keys)) == (b"a?.png", False, {})


# On a real NTFS that takes the names of Windows only

BAD = ["what?.png", "2019-05-01 12:30/a.png", "\udcff.png", "sub/1:2.png"]


def test_outputs_and_originals_reach_a_windows_disk(
    shop: CommitShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are rewritten, and reported; a second look finds nothing to do."""
    with windows_disk(tmp_path) as disk:
        for name in ("o", "originals"):
            (disk / name).mkdir()
        shop.to = replace(
            shop.to,
            output_root=os.fsencode(disk / "o"),
            archive_root=os.fsencode(disk / "originals"),
            source=SourcePolicy.ARCHIVE,
        )
        for name in (*BAD, "good.png"):
            shop.drop(name, os.fsencode(name))
        (shop.home / "in/what?.xmp").write_bytes(b"rating")
        monkeypatch.setattr(sidecars, "SETTLED_S", 0.0)
        shop.run_all()
        assert shop.ledger.counts()[State.DISPOSED] == len(BAD) + 1
        assert shop.files("in") == {}
        for root, stamp in (("o", b"sharp "), ("originals", b"")):
            images = {path.read_bytes() for path in (disk / root).rglob("*.png") if path.is_file()}
            assert images == {stamp + os.fsencode(name) for name in (*BAD, "good.png")}
        (sidecar,) = (disk / "originals").rglob("*.xmp")
        assert sidecar.name.encode() == rewritten("what?.png", "what_~{}.xmp")
        for path in disk.rglob("*"):
            assert is_portable(os.fsencode(path.name))


def test_the_quarantine_may_be_on_a_windows_disk(tmp_path: Path) -> None:
    """A refused input is moved there under a portable name, has its reason file, and comes back."""
    with windows_disk(tmp_path) as disk:
        shop = CommitShop(tmp_path)
        shop.to = replace(shop.to, source=SourcePolicy.DELETE)
        quarantine = Quarantine(shop.ledger, disk, shop.names)
        for name in BAD:
            shop.drop(name, os.fsencode(name))
        refusal = QuarantineReason(Reason.BIT_DEPTH, "refused")
        notes = []
        while job := shop.ledger.claim(NOW, {"in"}):
            notes.append(quarantine.complete(shop.to, quarantine.record(job, refusal, NOW)))
        assert shop.files("in") == {}
        sources = {reason(note)["source"] for note in notes}
        assert sources == {str(shop.home / "in" / name) for name in BAD}
        for note in notes:
            assert os.path.exists(note.removesuffix(b".reason.json"))
        for entry in list(shop.ledger.quarantined()):
            quarantine.retry(shop.to, entry)
        assert shop.files("in") == {name: os.fsencode(name) for name in BAD}
        shop.ledger.close()


def test_a_reason_file_needs_no_name_of_the_input(tmp_path: Path) -> None:
    """With kept sources nothing is moved, and the reason is written all the same."""
    with windows_disk(tmp_path) as disk:
        shop = CommitShop(tmp_path)
        quarantine = Quarantine(shop.ledger, disk, shop.names)
        shop.drop("what?.png")
        entry = quarantine.record(shop.claim(), QuarantineReason(Reason.DAMAGED, "refused"), NOW)
        note = quarantine.complete(shop.to, entry)
        assert reason(note)["source"] == str(shop.home / "in/what?.png")
        shop.ledger.close()
