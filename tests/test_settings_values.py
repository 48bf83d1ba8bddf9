"""From settings to plain values: nothing is lost or invented on the way."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sharpend import machine
from sharpend.agreement.alarm import MEASURABLE_FROM
from sharpend.commit.ages import Limits, Retention
from sharpend.commit.names import Naming
from sharpend.daemon import settings_values, worker_settings
from sharpend.files.access import Access
from sharpend.policies import CollisionPolicy, ExistingPolicy, SourcePolicy
from sharpend.settings.folder import FolderSettings
from sharpend.settings.schema import Settings, automatic_choice
from sharpend.workers.loading import LoadedModel

if TYPE_CHECKING:
    from pathlib import Path


def settings(home: Path, *folders: dict[str, Any], **tables: Any) -> Settings:  # noqa: ANN401 - tables
    """Settings with these folders, or one, and these tables."""
    wanted = folders or ({},)
    made = tuple(
        FolderSettings(**({"input": home / f"in{n}", "output": home / f"out{n}"} | folder))
        for n, folder in enumerate(wanted)
    )
    return Settings.model_validate({"state": home / "state", "folder": made} | tables)


def loaded(**lines: float | None) -> LoadedModel:
    """What a worker says of a model whose card has these lines."""
    return replace(LoadedModel("lite", "digest", "cpu", 128, 4, None, "teacher"), **lines)  # type: ignore[arg-type]


def test_a_folder_by_default(tmp_path: Path) -> None:
    """What is not set has the documented meaning: keep, suffix, automatic settling and polling."""
    made = settings(tmp_path)
    (plan,) = settings_values.folder_plans(made)
    assert plan.destination.folder == "in0"
    assert plan.destination.input_root == plan.intake.root == os.fsencode(tmp_path / "in0")
    assert plan.destination.output_root == os.fsencode(tmp_path / "out0")
    assert plan.destination.source is SourcePolicy.KEEP
    assert plan.destination.existing is ExistingPolicy.SUFFIX
    assert plan.destination.naming == Naming(
        "{stem}{suffix}{ext}", "", "in0", automatic_choice(made).model
    )
    assert plan.destination.collision is CollisionPolicy.NUMBER
    assert not plan.destination.portable_names
    assert plan.destination.access == Access(None, None)
    assert (plan.intake.settle_s, plan.intake.polling, plan.intake.rescan_s) == (None, None, 60)
    assert plan.intake.threaded is None
    assert plan.options.model == automatic_choice(made).model
    assert (plan.options.max_pixels, plan.options.max_bytes) == (200_000_000, 1_000_000_000)
    assert (plan.reprocess, plan.newest_first) == (False, False)


def test_a_folder_with_everything(tmp_path: Path) -> None:
    """Every key of a folder reaches its plan."""
    (plan,) = settings_values.folder_plans(
        settings(
            tmp_path,
            {
                "name": "scans",
                "recursive": False,
                "source": "archive",
                "archive": tmp_path / "archive",
                "existing": "skip",
                "output_name": "{folder}-{stem}{suffix}{ext}",
                "suffix": "-sharp",
                "collision": "refuse",
                "portable_names": True,
                "group": "0",
                "mode": "0640",
                "model": "base",
                "strength": 0.25,
                "crispness": 0.5,
                "skip_sharp": True,
                "skip_sharp_above": -1,
                "overshoot": 12,
                "settle_s": 0,
                "polling": True,
                "poll_s": 7,
                "reprocess": True,
                "order": "newest",
            },
            limits={"max_megapixels": 0.5, "max_megabytes": 2},
            intake={"rescan_s": 11},
        )
    )
    way_out, intake = plan.destination, plan.intake
    assert (way_out.folder, way_out.source) == ("scans", SourcePolicy.ARCHIVE)
    assert way_out.archive_root == os.fsencode(tmp_path / "archive")
    assert way_out.existing is ExistingPolicy.SKIP
    assert way_out.naming == Naming("{folder}-{stem}{suffix}{ext}", "-sharp", "scans", "base")
    assert (way_out.collision, way_out.portable_names) == (CollisionPolicy.REFUSE, True)
    assert way_out.access == Access(group=0, mode=0o640)
    assert (intake.recursive, intake.settle_s, intake.polling) == (False, 0, True)
    assert intake.threaded
    assert (intake.poll_s, intake.rescan_s) == (7, 11)
    assert (plan.options.model, plan.options.strength) == ("base", 0.25)
    assert (plan.options.crispness, plan.options.skip_sharp_above) == (0.5, -1)
    assert plan.options.overshoot == 12
    assert (plan.options.max_pixels, plan.options.max_bytes) == (500_000, 2_000_000)
    assert (plan.reprocess, plan.newest_first) == (True, True)


def test_folders_inherit_the_model(tmp_path: Path) -> None:
    """What a folder says of model, strength and overshoot wins; 0 says something."""
    common = {"name": "lite", "strength": 0.5, "overshoot": 20}
    made = settings(tmp_path, {}, {"model": "base", "strength": 0.0, "overshoot": 0}, model=common)
    told = [
        (plan.options.model, plan.options.strength, plan.options.overshoot)
        for plan in settings_values.folder_plans(made)
    ]
    assert told == [("lite", 0.5, 20), ("base", 0.0, 0)]


def test_folders_inherit_crispness_and_what_passes(tmp_path: Path) -> None:
    """The line alone lets nothing pass, and a folder may switch off what all others do."""
    common = {"crispness": 0.4, "skip_sharp": True}
    folders: tuple[dict[str, object], ...] = (
        {},
        {"crispness": 0, "skip_sharp": False},
        {"skip_sharp_above": -0.5},
        {"crispness": 1},
    )
    made = settings_values.folder_plans(settings(tmp_path, *folders, model=common))
    told = [(plan.options.crispness, plan.options.skip_sharp_above) for plan in made]
    assert told == [(0.4, -0.8), (0, None), (0.4, -0.5), (1, -0.8)]
    (only_line,) = settings_values.folder_plans(
        settings(tmp_path, {}, model={"skip_sharp_above": -0.5})
    )
    assert only_line.options.skip_sharp_above is None
    outside = settings_values.default_options(settings(tmp_path, model=common))
    assert (outside.crispness, outside.skip_sharp_above) == (0.4, -0.8)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("base-x4", "base-x4"),
        ("/srv/nets/fine.v2.safetensors", "fine.v2"),
        ("nets/odd", "odd"),
    ],
)
def test_a_network_given_as_a_path_lends_its_stem(tmp_path: Path, model: str, name: str) -> None:
    """What stands for {model} in a file name never has a folder in it."""
    (plan,) = settings_values.folder_plans(settings(tmp_path, {"model": model}))
    assert plan.destination.naming.model == name


def test_networks_are_listed_once(tmp_path: Path) -> None:
    """Each model in use is loaded once, the first folder's first."""
    made = settings(tmp_path, {"model": "base"}, {}, {"model": "base"}, model={"name": "lite"})
    assert worker_settings.models(made) == ["base", "lite"]


def test_without_folders_the_main_network_is_meant(tmp_path: Path) -> None:
    """Something can be tried even where no folder is configured."""
    made = Settings(state=tmp_path / "state")
    assert worker_settings.models(made) == [automatic_choice(made).model]
    assert settings_values.folder_plans(made) == []


@pytest.mark.parametrize(
    ("device", "cores", "machine_gb", "count", "threads"),
    [
        ("cpu", 1, 24, 1, 1),
        ("cpu", 2, 24, 2, 1),
        ("cpu", 4, 8, 2, 2),
        ("cpu", 8, 1, 1, 8),
        ("cpu", 96, 1000, 64, 1),
        ("cuda", 1, 24, 1, 1),
        ("cuda:1", 8, 24, 4, 2),
        ("mps", 64, 24, 4, 16),
    ],
)
def test_automatic_workers_follow_the_cores_and_the_memory(  # noqa: PLR0913 - a table's columns
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    device: str,
    cores: int,
    machine_gb: int,
    count: int,
    threads: int,
) -> None:
    """On a CPU each core has a worker of one thread, if they have the memory; on a GPU few do."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(worker_settings, "available_bytes", lambda: machine_gb * 10**9)
    made = settings(tmp_path, model={"device": device})
    assert worker_settings.worker_count(made) == count
    assert worker_settings.worker_options(made).threads == threads


@pytest.mark.parametrize(("there", "count"), [(True, 4), (False, 8)])
def test_a_machine_that_may_have_a_gpu_has_few_workers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: bool,  # noqa: FBT001
    count: int,
) -> None:
    """Only a worker knows the device that `auto` means, so a driver is enough."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(worker_settings, "available_bytes", lambda: 10**12)
    monkeypatch.setattr(machine, "_SIGNS_OF_A_GPU", (tmp_path if there else tmp_path / "none",))
    monkeypatch.setattr(sys, "platform", "linux")
    assert worker_settings.worker_count(settings(tmp_path)) == count


def test_workers_as_set(tmp_path: Path) -> None:
    """What is set is taken as it is."""
    made = settings(
        tmp_path,
        workers={"count": 3, "threads": 5},
        model={"device": "cpu", "precision": "float32", "tile_px": 128},
        agreement={"crop_px": 64},
    )
    options = worker_settings.worker_options(made)
    assert worker_settings.worker_count(made) == 3
    assert (options.device, options.precision) == ("cpu", "float32")
    assert (options.tile_px, options.threads, options.crop_px) == (128, 5, 64)


@pytest.mark.parametrize(
    ("memory_mb", "machine_gb", "workers", "wanted_mb"),
    [
        (500, 24, 1, 500),
        ("auto", 1000, 1, 1074 + 200 * 96),
        ("auto", 10, 1, 8000),
        ("auto", 10, 4, 2000),
        ("auto", 1, 4, 1074),
    ],
)
def test_memory_for_a_picture(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    memory_mb: int | str,
    machine_gb: int,
    workers: int,
    wanted_mb: int,
) -> None:
    """As set; else what the largest image needs, within a share of the machine."""
    monkeypatch.setattr(worker_settings, "available_bytes", lambda: machine_gb * 10**9)
    made = settings(tmp_path, workers={"memory_mb": memory_mb, "count": workers})
    found = worker_settings.worker_options(made).memory_bytes
    assert found is not None
    assert round(found / 1e6) == wanted_mb


def test_automatic_tiles_are_left_to_the_worker(tmp_path: Path) -> None:
    """Only the worker knows its device's memory."""
    assert worker_settings.worker_options(settings(tmp_path)).tile_px is None


def test_by_default_nothing_of_a_users_goes(tmp_path: Path) -> None:
    """Only what the ledger remembers of what is gone, and old backups of the ledger."""
    kept = settings_values.retention(settings(tmp_path))
    assert kept.quarantine.keep_everything
    assert kept.archive.keep_everything
    assert (kept.ledger_days, kept.backups) == (90, 2)


def test_retention_as_set(tmp_path: Path) -> None:
    """Each limit reaches its place."""
    table = {
        "quarantine_days": 30,
        "quarantine_megabytes": 0.5,
        "archive_days": 365,
        "archive_megabytes": 5000,
        "ledger_days": "never",
        "backups": 0,
    }
    kept = settings_values.retention(settings(tmp_path, retention=table))
    assert kept == Retention(Limits(30, 0.5), Limits(365, 5000), None, 0)


def test_retry_as_set(tmp_path: Path) -> None:
    """Attempts and waits reach the outcomes."""
    retry = settings_values.retry_options(
        settings(tmp_path, retry={"attempts": 2, "first_s": 1, "longest_s": 9})
    )
    assert (retry.attempts, retry.first_s, retry.longest_s) == (2, 1, 9)


@pytest.mark.parametrize(
    ("wanted", "card", "below"),
    [("auto", 0.9, 0.9), ("auto", None, None), (0.5, 0.9, 0.5), (0.0, 0.9, 0.0)],
)
def test_the_alarm_line(
    tmp_path: Path, wanted: str | float, card: float | None, below: float | None
) -> None:
    """The card draws the line unless the settings do; 0 is a line that is never crossed."""
    made = settings(
        tmp_path, agreement={"alarm_below": wanted, "sample": 0.2, "budget": 0.1, "window": 7}
    )
    alarm = settings_values.alarm_options(made, loaded(alarm_below=card))
    assert (alarm.below, alarm.sample, alarm.budget, alarm.window) == (below, 0.2, 0.1, 7)
    assert alarm.is_below_own is (wanted != "auto")


@pytest.mark.parametrize(
    ("wanted", "card", "above"),
    [("auto", 0.3, 0.3), ("auto", None, None), (0.5, 0.3, 0.5), (2, None, 2)],
)
def test_the_line_of_the_residual_ratio(
    tmp_path: Path, wanted: str | float, card: float | None, above: float | None
) -> None:
    """The card draws it unless the settings do; what is measurable is the card's to say."""
    made = settings(tmp_path, agreement={"alarm_residual": wanted})
    alarm = settings_values.alarm_options(made, loaded(residual_above=card, measurable_from=4.5))
    assert (alarm.residual_above, alarm.measurable_from) == (above, 4.5)
    assert not alarm.is_below_own
    assert settings_values.alarm_options(made, loaded()).measurable_from == MEASURABLE_FROM
