"""config/cluster/kuberay.yaml: its parts agree, and its command lines are accepted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.cli import parser
from sharpend.settings.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator

yaml = pytest.importorskip("yaml", reason="needs the extra ray: pip install ray")
FILE = Path(__file__).parent.parent / "config/cluster/kuberay.yaml"
PARTS: list[dict[str, Any]] = list(yaml.safe_load_all(FILE.read_text()))
CLUSTER, DAEMON = PARTS
HEAD, (NODES,) = CLUSTER["spec"]["headGroupSpec"], CLUSTER["spec"]["workerGroupSpecs"]
(CONTAINER,) = DAEMON["spec"]["template"]["spec"]["containers"]
STARTS, RUNS = CONTAINER["args"][0].split("&&")
ENVIRONMENT = {one["name"]: one.get("value") for one in CONTAINER["env"]}


def pods() -> Iterator[dict[str, Any]]:
    """The specification of each kind of pod."""
    for group in (HEAD, NODES, DAEMON["spec"]):
        yield group["template"]["spec"]


def parameters(group: dict[str, Any]) -> list[str]:
    """Arguments of `ray start` that KubeRay makes of a group's."""
    found = group["rayStartParams"].items()
    return [f"--{name}" if value == "true" else f"--{name}={value}" for name, value in found]


def test_ray_accepts_each_start() -> None:
    """Of the head, of the nodes, and of the daemon's own container."""
    needs = "needs the extra ray: pip install ray"
    scripts = pytest.importorskip("ray.scripts.scripts", reason=needs)  # its import takes long
    address = f"--address={CLUSTER['metadata']['name']}-head-svc:6379"
    words = shlex.split(STARTS)
    assert words[:2] == ["ray", "start"]
    assert address in words
    for arguments in (
        ["--head", *parameters(HEAD)],
        [address, *parameters(NODES)],
        words[2:],
    ):
        assert scripts.start.make_context("start", ["--block", *arguments]).params["block"]


def test_sharpend_accepts_its_command_and_settings() -> None:
    """The daemon's options and variables."""
    words = shlex.split(RUNS)
    assert words[:3] == ["exec", "sharpend", "run"]
    parser().parse_args(words[2:])
    told = {name: value for name, value in ENVIRONMENT.items() if name.startswith("SHARPEND_")}
    assert load(None, {}, environment=told).engine.kind == "ray"


def test_the_parts_agree() -> None:
    """One image, folders under the same paths, the token's secret, the probed ports."""
    assert {one["containers"][0]["image"] for one in pods()} == {CONTAINER["image"]}
    secret = CONTAINER["env"][-1]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": CLUSTER["metadata"]["name"], "key": "auth_token"}
    folders: list[dict[str, str]] = []
    for pod in pods():
        mounts = {
            one["name"]: one["mountPath"] for one in pod["containers"][0].get("volumeMounts", [])
        }
        claimed = {one["name"] for one in pod.get("volumes", [])}
        assert mounts.keys() - claimed <= {"state"}
        folders.append({name: mounts[name] for name in claimed})
    assert folders[0] == {}
    assert folders[1] == folders[2] == {"images": "/images", "sharp": "/sharp"}
    probe = NODES["template"]["spec"]["containers"][0]["livenessProbe"]["tcpSocket"]["port"]
    assert str(probe) == NODES["rayStartParams"]["node-manager-port"]
    assert DAEMON["spec"]["replicas"] == 1
