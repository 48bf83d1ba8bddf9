"""`sharpend once`: a real run over good and bad inputs, and what it says of each."""

from __future__ import annotations

import json
import os
import struct
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageFilter
from skimage import data

from sharpend.cli import main
from sharpend.errors import ExitCode
from tests.conftest import drop, photograph
from tests.daemons import once, running, toml

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

BAD = {
    b"cut.jpg": "truncated",
    b"text.jpg": "not_an_image",
    b"nothing.png": "empty",
    b"sub/bomb.png": "too_many_pixels",
}


KEYS = ["input", "output", "outcome", "reason", "attempts", "seconds", "message", "setting"]
KEYS += ["notes", "losses", "warning", "sharpness", "earlier"]
"""Of a line of --json."""


def png_header(height: int, width: int) -> bytes:
    """A PNG that claims a size and ends there."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + b"IHDR" + header + crc


def mixed(folder: Path) -> list[bytes]:
    """Good and bad inputs and one that is none; returns the names of the good ones."""
    drop(folder, "a.png")
    (folder / "sub").mkdir()
    Image.fromarray(photograph(50, 70)).save(folder / "sub" / "b.JPG", quality=95)
    os.rename(drop(folder, "c.png", seed=2), os.path.join(os.fsencode(folder), b"caf\xe9.png"))
    (folder / "cut.jpg").write_bytes((folder / "sub" / "b.JPG").read_bytes()[:-900])
    (folder / "text.jpg").write_text("no picture")
    (folder / "nothing.png").write_bytes(b"")
    (folder / "sub" / "bomb.png").write_bytes(png_header(20_000, 20_000))
    (folder / "notes.txt").write_text("not for us")
    return [b"a.png", b"sub/b.JPG", b"caf\xe9.png"]


def configured(base: Path, model: Path, **folder: object) -> Path:
    """A configuration of one folder whose files settle at once."""
    config = base / "sharpend.toml"
    settings: dict[str, dict[str, object]] = {
        "model": {"name": model, "precision": "float32", "runtime": "torch"},
        "workers": {"count": 1},
        "agreement": {"sample": 0},
    }
    ways = {"input": base / "in", "output": base / "out", "settle_s": 0.1}
    config.write_text(toml(base / "state", settings, ways | folder))
    return config


def lines(output: str) -> tuple[dict[bytes, dict[str, Any]], dict[str, Any]]:
    """The lines of --json by input, and the summary."""
    *told, last = [json.loads(line) for line in output.splitlines()]
    by_input = {os.fsencode(line["input"]): line for line in told}
    assert len(by_input) == len(told)
    return by_input, last["summary"]


@pytest.mark.slow
def test_each_input_has_its_end(networks: Networks, tmp_path: Path) -> None:
    """Good inputs are sharpened, bad ones quarantined with a reason each; exit 65, JSON told."""
    good = mixed(tmp_path / "in")
    readable = {"mode": "0604", "group": str(os.getegid())}
    result = once("--config", configured(tmp_path, networks.student, **readable), "--json")
    assert (result.returncode, "Traceback" in result.stderr) == (65, False), result.stderr
    told, summary = lines(result.stdout)
    root = os.fsencode(tmp_path / "in")
    for name in good:
        line = told.pop(os.path.join(root, name))
        assert list(line) == KEYS
        assert (line["notes"], type(line["sharpness"])) == ([], float)
        assert (line["outcome"], line["reason"], line["attempts"]) == ("sharpened", None, 1)
        output = os.fsencode(line["output"])
        assert output == os.path.join(os.fsencode(tmp_path / "out"), name)
        with Image.open(os.path.join(root, name)) as before, Image.open(output) as after:
            assert (after.size, after.format) == (before.size, before.format)
            assert after.tobytes() != before.tobytes()
        above = os.path.dirname(output)
        assert [os.stat(path).st_mode & 0o777 for path in (output, above)] == [0o604, 0o705]
    for name, reason in BAD.items():
        line = told.pop(os.path.join(root, name))
        assert (line["outcome"], line["reason"], line["output"]) == ("quarantined", reason, None)
        note = tmp_path / "state" / "quarantine" / "in" / (os.fsdecode(name) + ".reason.json")
        said = json.loads(note.read_text())
        assert said["code"] == reason
        assert said["attempts"] == 1
        assert said["message"] == line["message"]
        assert said["setting"] == line["setting"]
        assert os.path.exists(os.path.join(root, name))
    assert told == {}
    assert set(summary) == {
        *("counts", "quarantined_earlier", "left", "left_at_start", "left_alone"),
        *("seconds", "megapixels", "agreement"),
    }
    assert (summary["left"], summary["left_alone"]) == (0, {".txt": 1})
    assert summary["counts"] == {"sharpened": 3, "unchanged": 0, "quarantined": 4}


@pytest.mark.slow
def test_what_is_sharp_passes_untouched(networks: Networks, tmp_path: Path) -> None:
    """With --skip-sharp its copy has the same bytes; what is soft is sharpened, crisply."""
    photo = Image.fromarray(data.astronaut()[:128, 150:278])  # type: ignore[no-untyped-call]
    (tmp_path / "in").mkdir()
    photo.save(tmp_path / "in" / "sharp.jpg", quality=92, comment=b"as it was")
    photo.filter(ImageFilter.GaussianBlur(1.5)).save(tmp_path / "in" / "soft.png")
    config = configured(tmp_path, networks.student)
    options = ("--skip-sharp", "--skip-sharp-above", "-0.9", "--crispness", "0.5", "--json")
    result = once("--config", config, *options)
    assert result.returncode == 0, result.stderr
    told, summary = lines(result.stdout)
    root = os.fsencode(tmp_path / "in")
    sharp, soft = (told[os.path.join(root, name)] for name in (b"sharp.jpg", b"soft.png"))
    assert (sharp["outcome"], soft["outcome"]) == ("unchanged", "sharpened")
    assert sharp["sharpness"] > -0.9 > soft["sharpness"]
    assert "above model.skip_sharp_above = -0.9: copied unchanged" in sharp["notes"][0]
    assert summary["counts"] == {"sharpened": 1, "unchanged": 1, "quarantined": 0}
    for name, same in (("sharp.jpg", True), ("soft.png", False)):
        before, after = (tmp_path / folder / name for folder in ("in", "out"))
        assert (before.read_bytes() == after.read_bytes()) is same
    events = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    finished = {one["path"]: one for one in events if one["event"] == "image.finished"}
    assert finished["sharp.jpg"]["sharpness"] == sharp["sharpness"]
    assert finished["sharp.jpg"]["notes"] == sharp["notes"]
    assert "measure_s" in finished["soft.png"]


def test_dry_run_writes_nothing(
    networks: Networks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--dry-run says what would be done and makes neither outputs nor a state directory."""
    drop(tmp_path / "in", "a.png")
    drop(tmp_path / "in" / "sub", "b\n.png")
    config = configured(tmp_path, networks.student)
    assert main(["once", "--config", str(config), "--dry-run"]) == ExitCode.OK
    *inputs, folder, _ = capsys.readouterr().out.splitlines()
    assert sorted(inputs) == [
        f"{tmp_path}/in/a.png: would be sharpened",
        f"{tmp_path}/in/sub/b\\n.png: would be sharpened",
    ]
    assert folder == "in: 2 would be sharpened (0.01 megapixels)"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "sharpend.toml"]


@pytest.mark.slow
def test_again_there_is_nothing_to_do(networks: Networks, tmp_path: Path) -> None:
    """A second run reports `unchanged` with exit 0, from the command line's own folders too."""
    config = configured(tmp_path, networks.student)
    drop(tmp_path / "in", "a.png")
    drop(tmp_path / "in", "b.png", seed=1)
    first = once("--config", config, "--json")
    assert (first.returncode, lines(first.stdout)[1]["counts"]["sharpened"]) == (0, 2)
    before = [(path, path.stat()) for path in (tmp_path / "out").iterdir()]
    folders = ("--input", tmp_path / "in", "--output", tmp_path / "out")
    second = once(*folders, "--state", tmp_path / "state", "--model", networks.student, "--json")
    told, summary = lines(second.stdout)
    assert second.returncode == 0
    assert {line["outcome"] for line in told.values()} == {"unchanged"}
    assert summary["counts"] == {"sharpened": 0, "unchanged": 2, "quarantined": 0}
    assert [(path, path.stat()) for path, _ in before] == before


@pytest.mark.slow
def test_beside_a_daemon(networks: Networks, tmp_path: Path) -> None:
    """With another state it runs beside a daemon, with the same one it is refused with 75."""
    config = configured(tmp_path, networks.student)
    drop(tmp_path / "other", "a.png")
    (tmp_path / "in").mkdir()
    with running("--config", config) as daemon:
        daemon.wait_for("daemon.ready")
        folders = ("--input", tmp_path / "other", "--output", tmp_path / "other-out")
        model = ("--model", networks.student)
        assert once(*folders, *model, "--state", tmp_path / "state").returncode == 75
        beside = once(*folders, *model, "--state", tmp_path / "other-state")
        assert beside.returncode == 0
        assert "1 sharpened, 0 unchanged, 0 quarantined" in beside.stdout
        assert (tmp_path / "other-out" / "a.png").exists()


@pytest.mark.slow
def test_a_device_that_is_not_there(networks: Networks, tmp_path: Path) -> None:
    """A device that the worker does not find ends with 69 and one line; nothing is touched."""
    drop(tmp_path / "in", "a.png")
    result = once("--config", configured(tmp_path, networks.student), "--device", "cuda:7")
    assert (result.returncode, result.stdout) == (69, "")
    assert "cuda:7" in result.stderr
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "out").iterdir()) == []
