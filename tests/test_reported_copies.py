"""Ways of files into a folder that public reports of other daemons report, with real programs."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.imaging.files import load_rgb
from tests.conftest import drop
from tests.daemons import Daemon, configured, running, until
from tests.outside_tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Networks

pytestmark = pytest.mark.slow

SMB = """[global]
    interfaces = lo
    bind interfaces only = yes
    map to guest = bad user
    disable spoolss = yes
    lock directory = {base}
    state directory = {base}
    cache directory = {base}
    pid directory = {base}
    private dir = {base}
    log file = {base}/log
[share]
    path = {share}
    guest ok = yes
    force user = {user}
    read only = no
    strict allocate = yes
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A base with an input folder and a folder of images that are to be copied."""
    (tmp_path / "in").mkdir()
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        drop(tmp_path / "new", name, seed=seed)
    return tmp_path


def finish(daemon: Daemon, *names: str) -> None:
    """Wait until these are finished."""
    for name in names:
        daemon.wait_for("image.finished", path=name)


def require_once(daemon: Daemon, *names: str) -> None:
    """Each of these was finished once, nothing else was, and nothing stays refused."""
    finished = [event["path"] for event in daemon.events("image.finished")]
    assert sorted(finished) == sorted(names)
    # A writer that a busy machine holds up for longer than a file settles is judged too early.
    refused = {event["path"] for event in daemon.events("image.quarantined")}
    assert refused <= {event["path"] for event in daemon.events("image.changed")}


def rsync(*arguments: str | Path) -> None:
    """A finished rsync."""
    subprocess.run([need("rsync"), "--whole-file", *map(str, arguments)], check=True)


def test_a_copy_by_rsync(networks: Networks, place: Path) -> None:
    """Every file is done once, also with partial files in a folder of their own."""
    with running("--config", configured(place, networks.student)) as daemon:
        daemon.wait_for("daemon.ready")
        rsync("-a", "--partial-dir=.rsync-partial", f"{place}/new/", place / "in")
        finish(daemon, "a.png", "b.png", "c.png")
    require_once(daemon, "a.png", "b.png", "c.png")


def test_a_file_that_rsync_overwrites_in_place(networks: Networks, place: Path) -> None:
    """The output follows the new content."""
    with running("--config", configured(place, networks.student)) as daemon:
        daemon.wait_for("daemon.ready")
        rsync("-a", place / "new" / "a.png", place / "in")
        finish(daemon, "a.png")
        drop(place / "new", "a.png", height=80, width=90, seed=7)
        rsync("-a", "--inplace", place / "new" / "a.png", place / "in")
        finish(daemon, "a.png")
        until(lambda: load_rgb(place / "out" / "a.png").shape == (80, 90, 3))


@contextmanager
def shared(base: Path) -> Iterator[int]:
    """A port on which a real SMB server offers the input folder, as "share"."""
    server = base / "smb"
    server.mkdir()
    user = pwd.getpwuid(os.getuid()).pw_name
    (server / "smb.conf").write_text(SMB.format(base=server, share=base / "in", user=user))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            *(need("smbd"), "--foreground", "--no-process-group"),
            *(f"--configfile={server}/smb.conf", f"--port={port}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # it ends its whole process group
    )
    try:
        until(lambda: _is_open(port) or process.poll() is not None)
        if process.poll() is not None:
            pytest.skip("smbd cannot run here")
        yield port
    finally:
        process.terminate()
        process.wait()


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_copy_over_the_network_of_windows(networks: Networks, place: Path) -> None:
    """A server that allocates the whole file first, and a new folder: each file is done once."""
    client = need("smbclient")
    with shared(place) as port, running("--config", configured(place, networks.student)) as daemon:
        daemon.wait_for("daemon.ready")
        orders = f"lcd {place}/new; put a.png; mkdir new; cd new; put b.png; put c.png"
        subprocess.run(
            [client, "//127.0.0.1/share", "-N", "-p", str(port), "-c", orders],
            check=True,
            capture_output=True,
        )
        finish(daemon, "a.png", "new/b.png", "new/c.png")
    require_once(daemon, "a.png", "new/b.png", "new/c.png")


def test_a_copy_by_the_finder(networks: Networks, place: Path) -> None:
    """A file that was found empty is done once its content is there; `._` files never are."""
    content = (place / "new" / "a.png").read_bytes()
    with running("--config", configured(place, networks.student)) as daemon:
        daemon.wait_for("daemon.ready")
        (place / "in" / "a.png").write_bytes(b"")
        (place / "in" / "._a.png").write_bytes(content[:100])
        assert daemon.wait_for("image.quarantined", path="a.png")["error_code"] == "empty"
        with (place / "in" / "a.png").open("r+b", buffering=0) as file:  # one change and no more
            file.write(content)
        finish(daemon, "a.png")
    assert len(daemon.events("image.finished")) == 1
    assert len(daemon.events("image.quarantined")) == 1


def deepest(base: Path, level: bytes, levels: int) -> int:
    """Make folders in each other; return a descriptor of the last."""
    folder = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(level, dir_fd=folder)
        below = os.open(level, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = below
    return folder


@pytest.mark.parametrize(("level", "levels"), [(b"d", 300), (b"long-name-" * 20, 30)])
def test_a_deep_tree(networks: Networks, place: Path, level: bytes, levels: int) -> None:
    """300 levels, and a path of 6,000 bytes: mirrored, though no system call takes such a path."""
    content = (place / "new" / "a.png").read_bytes()
    with running("--config", configured(place, networks.student)) as daemon:
        daemon.wait_for("daemon.ready")
        folder = deepest(place / "in", level, levels)
        file = os.open(b".new", os.O_WRONLY | os.O_CREAT, dir_fd=folder)
        os.write(file, content)
        os.close(file)
        os.rename(b".new", b"a.png", src_dir_fd=folder, dst_dir_fd=folder)
        os.close(folder)
        path = b"/".join([level] * levels + [b"a.png"]).decode()
        finish(daemon, path)
    require_once(daemon, path)


def test_hard_links_of_one_file(networks: Networks, place: Path) -> None:
    """Each name has an output, and `delete` removes the names and nothing beside the folder."""
    folder: dict[str, Any] = {"input": place / "in", "output": place / "out", "settle_s": 0.1}
    config = configured(place, networks.student, folder | {"source": "delete"})
    content = (place / "new" / "a.png").read_bytes()
    for name in ("1.png", "2.png"):
        os.link(place / "new" / "a.png", place / "in" / name)
    with running("--config", config) as daemon:
        finish(daemon, "1.png", "2.png")
        until(lambda: not list((place / "in").iterdir()))
    assert (place / "new" / "a.png").read_bytes() == content
    require_once(daemon, "1.png", "2.png")


def test_a_folder_that_is_renamed_while_its_files_wait(networks: Networks, place: Path) -> None:
    """A tree is moved in and renamed at once: every file has an output under its last name."""
    with running("--config", configured(place, networks.student)) as daemon:
        daemon.wait_for("daemon.ready")
        (place / "new").rename(place / "in" / "first")
        (place / "in" / "first").rename(place / "in" / "last")
        finish(daemon, "last/a.png", "last/b.png", "last/c.png")
    assert daemon.events("image.quarantined") == []
    made = {path.name for path in (place / "out" / "last").iterdir()}
    assert made == {"a.png", "b.png", "c.png"}


def point(link: Path, at: Path) -> None:
    """Point a link elsewhere in one step, so that it is never missing."""
    new = link.with_name("new-link")
    new.symlink_to(at)
    new.rename(link)


def test_an_input_link_that_is_pointed_elsewhere(networks: Networks, place: Path) -> None:
    """The folder is not the one of the start: it pauses and says so, until it is back."""
    other = place / "other"
    other.mkdir()
    point(place / "link", place / "in")
    folder: dict[str, Any] = {"input": place / "link", "output": place / "out", "settle_s": 0.1}
    with running("--config", configured(place, networks.student, folder)) as daemon:
        daemon.wait_for("daemon.ready")
        drop(place / "in", "a.png")
        finish(daemon, "a.png")
        point(place / "link", other)
        drop(other, "b.png", seed=3)
        assert "replaced" in daemon.wait_for("folder.paused")["reason"]
        point(place / "link", place / "in")
        daemon.wait_for("folder.resumed")
        drop(place / "in", "c.png", seed=4)
        finish(daemon, "c.png")
    require_once(daemon, "a.png", "c.png")
