"""Folders in object storage with the real daemon and its commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sharpend.cli import main
from sharpend.errors import ExitCode
from sharpend.imaging.files import save_png
from tests.daemons import configured, once, running
from tests.store_server import (
    NO_CONDITIONS,
    StoreServer,
    objects,
    open_uploads,
    put,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks


@pytest.fixture
def photo(tmp_path: Path) -> bytes:
    """A PNG of 8 x 8."""
    path = tmp_path / "photo.png"
    save_png(np.full((8, 8, 3), 128, np.uint8), path)
    return path.read_bytes()


def images(bucket: str) -> set[str]:
    """The keys of all objects but the records of who writes an output."""
    return {key for key in objects(bucket) if not key.endswith("/.sharpend-states.json")}


@pytest.mark.slow
def test_once_from_bucket_to_bucket_and_disk(
    store: StoreServer, tmp_path: Path, networks: Networks, photo: bytes
) -> None:
    """Each image is done once, under a free name; a bad one stays, and nothing else is left."""
    bucket = store.bucket()
    for key in ("in/a.png", "in/ü/ä b.png", "in/../up.png"):
        put(bucket, key, photo)
    put(bucket, "in/bad.png", b"no image")
    put(bucket, "out/a.png", b"foreign")
    config = configured(
        tmp_path,
        networks.student,
        {"input": f"s3://{bucket}/in", "output": f"s3://{bucket}/out"},
        {"input": tmp_path / "in", "output": f"s3://{bucket}/of-disk", "name": "up"},
        {"input": f"s3://{bucket}/to-disk", "output": tmp_path / "out"},
    )
    (tmp_path / "in/c.png").write_bytes(photo)
    put(bucket, "to-disk/d.png", photo)
    ran = once("--config", config, "--json")
    assert ran.returncode == ExitCode.SOME_QUARANTINED, ran.stderr
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    outputs = {one["output"] for one in told if one.get("output")}
    assert f"s3://{bucket}/out/ü/ä b.png" in outputs
    assert f"s3://{bucket}/in/bad.png" in {one.get("input") for one in told}
    made = sorted(key for key in images(bucket) if key.startswith(("out/", "of-disk/")))
    assert made == ["of-disk/c.png", "out/a-2.png", "out/a.png", "out/ü/ä b.png"]
    assert objects(bucket)["out/a.png"] == b"foreign"
    assert (tmp_path / "out/d.png").stat().st_mode & 0o777 == 0o644
    assert (open_uploads(bucket), list((tmp_path / "state/spool").iterdir())) == (0, [])
    assert "in/bad.png" in objects(bucket)


@pytest.mark.slow
def test_a_store_that_goes_and_comes(
    store: StoreServer, tmp_path: Path, networks: Networks, photo: bytes
) -> None:
    """A folder pauses with one line, or both by one of the store; workers have no keys."""
    bucket = store.bucket()
    folder: dict[str, object] = {
        "input": f"s3://{bucket}/in",
        "output": f"s3://{bucket}/out",
        "source": "archive",
        "archive": f"s3://{bucket}/archive",
    }
    intake: dict[str, object] = {"rescan_s": 1}
    other = {"input": tmp_path / "in", "output": f"s3://{bucket}/other", "name": "other"}
    config = configured(tmp_path, networks.student, folder, other, intake=intake)
    put(bucket, "in/a.png", photo)
    with running("--config", config) as daemon:
        daemon.wait_for("image.finished", path="a.png")
        (worker,) = daemon.workers()
        assert not any(key.startswith("AWS_") for key in worker.environ())
        store.refuses = lambda _: (403, "ExpiredToken")
        paused = daemon.wait_for("folder.paused")
        assert "have expired" in paused["reason"]
        put_later = (bucket, "in/b.png", photo)
        store.refuses = lambda _: None
        put(*put_later)
        daemon.wait_for("folder.resumed")
        daemon.wait_for("image.finished", path="b.png")
        store.refuses = lambda _: (503, "SlowDown")
        (tmp_path / "in/c.png").write_bytes(photo)
        assert len(daemon.wait_for("store.paused")["folders"]) == 2
        store.refuses = lambda _: None
        daemon.wait_for("store.resumed")
        daemon.wait_for("image.finished", path="c.png")
    assert [len(daemon.events(name)) for name in ("folder.paused", "store.paused")] == [1, 1]
    assert daemon.events("image.quarantined") == []
    assert sorted(images(bucket)) == [
        "archive/a.png",
        "archive/b.png",
        "other/c.png",
        "out/a.png",
        "out/b.png",
    ]


def test_check_refuses_a_store_that_ignores_conditions(
    store: StoreServer, tmp_path: Path, networks: Networks, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is written there; a good one passes."""
    bucket = store.bucket()
    folder: dict[str, object] = {"input": tmp_path / "in", "output": f"s3://{bucket}/out"}
    config = str(configured(tmp_path, networks.student, folder))
    assert main(["check", "--config", config]) == ExitCode.OK
    assert f"-> s3://{bucket}/out" in capsys.readouterr().out
    store.ignores = NO_CONDITIONS
    assert main(["check", "--config", config]) == ExitCode.OUTPUT_FAILED
    assert "the store ignores If-None-Match" in capsys.readouterr().err
    assert objects(bucket) == {}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('input = "s3://bucket"\noutput = "out"\npolling = true', "polling: has no effect"),
        ('input = "s3://bucket"\noutput = "out"\nsettle_s = 3', "settle_s: has no effect"),
        (
            'input = "s3://bucket"\noutput = "out"\nremove_empty_folders = true',
            "remove_empty_folders: has no effect",
        ),
        ('input = "in"\noutput = "s3://bucket"\nmode = "0640"', "mode: has no effect on an output"),
        ('input = "in"\noutput = "s3://bucket"\nsidecars = "copy"', 'sidecars: cannot be "copy"'),
        ('input = "in"\noutput = "s3://x"', "output: must be an address such as s3://"),
        (
            'input = "in"\noutput = "out"\nsource = "archive"\narchive = "s3://bucket/a"',
            "archive: must be in object storage where the input is",
        ),
        (
            'input = "s3://bucket/a"\noutput = "s3://bucket/a/out"',
            "s3://bucket/a/out is inside folder.1.input (s3://bucket/a)",
        ),
        ('input = "s3://bucket"\noutput = "s3://bucket/"', "is the same folder as"),
        (
            'input = "s3://bucket/in"\noutput = "out"\n[engine]\nkind = "ray"',
            'object storage needs engine.kind = "local"',
        ),
    ],
)
def test_settings_that_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: str, told: str
) -> None:
    """Settings without effect on object storage are refused, and folders that overlap."""
    (tmp_path / "in").mkdir()
    config = tmp_path / "sharpend.toml"
    config.write_text(f'state = "state"\n[[folder]]\n{keys}\n')
    assert main(["check", "--config", str(config)]) == ExitCode.CONFIGURATION
    assert told in capsys.readouterr().err


def test_a_state_in_object_storage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ledger has to be on a disk."""
    config = tmp_path / "sharpend.toml"
    config.write_text('state = "s3://bucket/state"\n')
    assert main(["check", "--config", str(config)]) == ExitCode.CONFIGURATION
    assert "state: must name a folder" in capsys.readouterr().err
