"""Previews in the state directory: whole or not there, within bounds, no danger to images."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sharpend.attempt import Failure
from sharpend.daemon.preview_upkeep import (
    MOST_SAVED_S,
    SAVED_FOR_A_QUEUE_S,
    SMALL_BATCH,
    PreviewLimits,
)
from sharpend.errors import Reason
from sharpend.files.preview_layout import DESCRIPTION, IMAGES, MOST_BYTES, Layout
from sharpend.files.previews import FOLDER, Previews, UnfitPreviewError, write_images
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from tests.fakes import Shop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONTENT = tuple(name.encode() * 10 for name in IMAGES)
SIZES = tuple(map(len, CONTENT))
LAYOUT = Layout((1, 2, 64, 32), 640, 480, SIZES)


def published(previews: Previews, job_id: int) -> None:
    """A preview as a worker and the daemon make it."""
    folder = previews.new_folder()
    assert write_images(folder, CONTENT) == SIZES
    assert previews.publish(folder, job_id, LAYOUT) == sum(SIZES)


def test_a_published_preview_is_found(tmp_path: Path) -> None:
    """A reader gets geometry and files of the job; a newer preview replaces it."""
    previews = Previews(tmp_path)
    assert previews.find(7) is None
    for _ in range(2):
        published(previews, 7)
        found = previews.find(7)
        assert found is not None
        assert (found.crop, found.width, found.height) == ((1, 2, 64, 32), 640, 480)
        assert [found.path(name).read_bytes() for name in IMAGES] == list(CONTENT)
        with pytest.raises(KeyError):
            found.path(DESCRIPTION)
    assert os.listdir(tmp_path / FOLDER) == ["7"]


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _as(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def _linked(folder: Path) -> None:
    (folder / "aside").write_bytes(CONTENT[0])
    (folder / IMAGES[0]).unlink()
    (folder / IMAGES[0]).symlink_to(folder / "aside")


@pytest.mark.parametrize(
    "damage",
    [
        _without(IMAGES[3]),
        _without(DESCRIPTION),
        _as(IMAGES[1], b""),
        _as(DESCRIPTION, b""),
        _as(DESCRIPTION, b"[]"),
        _as(DESCRIPTION, b'{"crop": [1, 2, 3], "width": 1, "height": 1, "sizes": [1, 1, 1, 1]}'),
        _as(DESCRIPTION, b'{"crop": "abcd", "width": 1, "height": 1, "sizes": [1, 1, 1, 1]}'),
        _linked,
    ],
)
def test_half_a_preview_is_none(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    """A crash or a full disk may have cut any file: nothing of such a preview is shown."""
    previews = Previews(tmp_path)
    published(previews, 7)
    damage(tmp_path / FOLDER / "7")
    assert previews.find(7) is None


@pytest.mark.parametrize("lie", ["more", "fewer", "size", "link", "folder"])
def test_what_a_worker_wrote_is_checked(tmp_path: Path, lie: str) -> None:
    """Other files than told, a link, another size: no preview."""
    previews = Previews(tmp_path)
    folder = previews.new_folder()
    write_images(folder, CONTENT)
    inside = tmp_path / FOLDER / os.fsdecode(folder)
    if lie == "more":
        (inside / "index.html").write_bytes(b"x")
    elif lie == "fewer":
        (inside / IMAGES[0]).unlink()
    elif lie == "size":
        (inside / IMAGES[0]).write_bytes(b"")
    elif lie == "link":
        _linked(inside)
        (inside / "aside").rename(tmp_path / "aside")
    else:
        inside.rename(tmp_path / "elsewhere")
        inside.symlink_to(tmp_path / "elsewhere")
    with pytest.raises((UnfitPreviewError, OSError)):
        previews.publish(folder, 7, LAYOUT)
    assert previews.find(7) is None


def test_nothing_is_left_of_a_preview_that_fails(tmp_path: Path) -> None:
    """A worker takes back what it began, and overwrites nothing that is there."""
    previews = Previews(tmp_path)
    with pytest.raises(UnfitPreviewError):
        write_images(previews.new_folder(), (*CONTENT[:3], bytes(MOST_BYTES + 1)))
    with pytest.raises(TypeError):
        write_images(previews.new_folder(), (*CONTENT[:3], "text"))  # type: ignore[arg-type]
    published(previews, 7)
    with pytest.raises(FileExistsError):
        write_images(os.fsencode(tmp_path / FOLDER / "7"), CONTENT)
    assert os.listdir(tmp_path / FOLDER) == ["7"]
    assert previews.find(7) is not None


# In the daemon


@pytest.fixture
def previews(tmp_path: Path) -> Previews:
    """Those of the shop's state directory."""
    return Previews(tmp_path / "state")


def finish(shop: Shop, *, seconds: float = 0.0) -> int:
    """End the running task with a preview, as a worker does; return its job."""
    task = shop.pool.tasks[0]
    assert task.preview is not None
    write_images(task.preview, CONTENT)
    shop.pool.stage(preview=LAYOUT, stages_s={"preview": seconds})
    shop.turn()
    return task.job_id


def test_the_oldest_go_first(tmp_path: Path, previews: Previews) -> None:
    """Bounded by number and by bytes, also after a restart with narrower bounds."""
    shop = Shop(tmp_path, previews=PreviewLimits(count=3))
    jobs = []
    for name in "abcd":
        shop.take(f"{name}.png")
        jobs.append(finish(shop))
    assert list(previews.sizes()) == jobs[1:]
    shop.previews = PreviewLimits(most_bytes=sum(previews.sizes().values()) - 1)
    shop.reload()
    assert list(previews.sizes()) == jobs[2:]
    shop.previews = PreviewLimits(count=0)
    shop.reload()
    assert previews.sizes() == {}
    shop.take("e.png")
    assert shop.pool.tasks[0].preview is None


def test_previews_cost_a_share_of_the_time(tmp_path: Path) -> None:
    """A small batch gets them all; under load an image gets one when the clock has paid for it."""
    shop = Shop(tmp_path, previews=PreviewLimits(share=0.01))
    for name in ("a.png", "b.png"):
        shop.take(name)
        finish(shop, seconds=MOST_SAVED_S / 2)
    shop.take("c.png")
    assert shop.pool.tasks[0].preview is None
    shop.pool.stage()
    shop.turn(after_s=MOST_SAVED_S / 2 * 100)
    shop.take("d.png")
    assert shop.pool.tasks[0].preview is not None


def test_a_long_queue_gets_few_previews(tmp_path: Path) -> None:
    """What an idle time has saved does not slow it, neither at its begin nor at its end."""
    shop = Shop(tmp_path)
    for number in range(2 * SMALL_BATCH):
        shop.drop(f"{number}.png")
    shop.settle()
    drawn = []
    while shop.pool.tasks:
        drawn.append(shop.pool.tasks[0].preview is not None)
        if drawn[-1]:
            finish(shop, seconds=SAVED_FOR_A_QUEUE_S / 2)
        else:
            shop.pool.stage()
            shop.turn(after_s=0.0)
    assert len(drawn) == 2 * SMALL_BATCH
    assert drawn == [True] * 2 + [False] * (2 * SMALL_BATCH - 2)


def test_a_preview_in_work_is_paid_for(tmp_path: Path) -> None:
    """Where one is affordable, several workers do not all draw one."""
    shop = Shop(tmp_path, workers=3)
    shop.take("a.png")
    finish(shop, seconds=MOST_SAVED_S / 2)
    for name in "bcd":
        shop.drop(f"{name}.png")
    shop.settle()
    assert [task.preview is not None for task in shop.pool.tasks] == [True, False, False]
    shop.pool.fail(Failure.REFUSED, Reason.DAMAGED)
    shop.take("e.png")
    assert shop.pool.tasks[-1].preview is not None


@pytest.mark.parametrize(("share", "gets_one"), [(0, False), (1, True)])
def test_all_or_none(tmp_path: Path, share: float, *, gets_one: bool) -> None:
    """A share of 1 is every image, however long previews take; a share of 0 is none."""
    shop = Shop(tmp_path, previews=PreviewLimits(share=share))
    for name in ("a.png", "b.png"):
        shop.take(name)
        assert (shop.pool.tasks[0].preview is not None) == gets_one
        shop.pool.stage(stages_s={"preview": 3600.0})
        shop.turn()


def test_a_second_attempt_has_no_preview(tmp_path: Path, previews: Previews) -> None:
    """What kills a worker while it draws costs one attempt and no image; nothing is left of it."""
    shop = Shop(tmp_path)
    shop.take("a.png")
    (task,) = shop.pool.tasks
    assert task.preview is not None
    write_images(task.preview, CONTENT[:4])
    shop.pool.die()
    shop.turn(after_s=60)
    shop.turn(after_s=60)
    (task,) = shop.pool.tasks
    assert task.preview is None
    shop.pool.stage()
    shop.turn()
    assert shop.count(State.DISPOSED) == 1
    assert os.listdir(tmp_path / "state" / FOLDER) == []
    assert previews.find(task.job_id) is None


def test_a_refused_image_has_no_preview(tmp_path: Path) -> None:
    """What a worker wrote before it failed is removed."""
    shop = Shop(tmp_path)
    shop.take("a.png")
    (task,) = shop.pool.tasks
    assert task.preview is not None
    write_images(task.preview, CONTENT)
    shop.pool.fail(Failure.REFUSED, Reason.DAMAGED)
    shop.turn()
    assert os.listdir(tmp_path / "state" / FOLDER) == []


def test_leftovers_are_removed_at_a_start(tmp_path: Path, previews: Previews) -> None:
    """So are previews of jobs that another ledger had: its numbers mean other images now."""
    shop = Shop(tmp_path)
    shop.take("a.png")
    known = finish(shop)
    published(previews, known + 1000)
    write_images(previews.new_folder(), CONTENT)
    shop.reload()
    assert os.listdir(tmp_path / "state" / FOLDER) == [str(known)]


def test_folders_that_are_nested_without_end_stop_no_start(
    tmp_path: Path, previews: Previews
) -> None:
    """A worker that was taken over made them."""
    (tmp_path / "state").mkdir()
    made = previews.new_folder()
    os.mkdir(made)
    folder = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    previews.remove_leftovers()
    subprocess.run(["/bin/rm", "-rf", made], check=True)


def test_a_disk_without_space_costs_no_image(tmp_path: Path, previews: Previews) -> None:
    """Where no preview can be kept, images are finished, and the log says so once."""
    shop = Shop(tmp_path)
    (tmp_path / "state" / FOLDER).write_bytes(b"in the way")
    for name in ("a.png", "b.png"):
        shop.take(name)
        assert shop.pool.tasks[0].preview is None
        shop.pool.stage()
        shop.turn()
    assert shop.count(State.DISPOSED) == 2
    (told,) = shop.log.of(Event.PREVIEW_FAILED)
    assert FOLDER in str(told["reason"])
    (tmp_path / "state" / FOLDER).unlink()
    shop.take("c.png")
    assert previews.find(finish(shop)) is not None


def test_a_preview_that_is_not_as_announced_costs_no_image(
    tmp_path: Path, previews: Previews
) -> None:
    """A worker that announces what it did not write loses the preview alone."""
    shop = Shop(tmp_path)
    for number in range(3):
        shop.take(f"{number}.png")
        (task,) = shop.pool.tasks
        shop.pool.stage(preview=replace(LAYOUT, width=number))
        shop.turn()
        assert previews.find(task.job_id) is None
    assert shop.count(State.DISPOSED) == 3
    assert len(shop.log.of(Event.PREVIEW_FAILED)) == 1
