"""Weights files round-trip, and everything that is not one is refused with what to do."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from sharpend.errors import UnavailableError
from sharpend.model import weights
from sharpend.model.networks import StudentNet
from sharpend.model.shipped import CARD_KEY, DIGEST_KEY
from sharpend.model.weights import Card

if TYPE_CHECKING:
    from pathlib import Path

CARD = Card(
    name="tiny",
    kind="student",
    channels=4,
    blocks=1,
    halo_px=16,
    teacher="large",
    teacher_digest="ab" * 32,
    alarm_below=0.9625,
    data="own pictures\nCC0",
    license="CC0-1.0",
    commit="f00ba4",
    recipe={"steps": 3, "loss": {"target_l1": 1.0}},
    scores={"validation": {"psnr": 30.5}},
)


@pytest.fixture
def network() -> StudentNet:
    """A model with weights of its own."""
    torch.manual_seed(1)
    return StudentNet(4, 1)


@pytest.fixture
def file(tmp_path: Path, network: StudentNet) -> Path:
    """A good weights file."""
    path = tmp_path / "tiny.safetensors"
    weights.save_network(path, network, CARD)
    return path


def test_network_and_card_come_back_as_they_were(file: Path, network: StudentNet) -> None:
    """Loading gives the same tensors and the same card, in inference mode."""
    loaded = weights.load(str(file))
    assert loaded.card == CARD
    assert not loaded.network.training
    assert not any(values.requires_grad for values in loaded.network.parameters())
    for name, values in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], values)


def test_digest_is_of_the_tensors_alone(file: Path, network: StudentNet, tmp_path: Path) -> None:
    """Another card keeps the digest, another value changes it; memory layout does not matter."""
    other = tmp_path / "other.safetensors"
    weights.save_network(other, network, replace(CARD, license="MIT"))
    assert weights.load(str(other)).digest == weights.load(str(file)).digest
    assert other.read_bytes() != file.read_bytes()
    before = weights.digest(network.state_dict())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,unused-ignore]
    assert weights.digest(network.state_dict()) == before
    with torch.no_grad():
        network.head.weight[0, 0, 0, 0] += 1e-3
    assert weights.digest(network.state_dict()) != before


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_file_cut_short_is_refused(file: Path, keep: int) -> None:
    """Every truncation is an UnavailableError that names the file."""
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(UnavailableError, match=r"tiny\.safetensors: not a sharpend weights file"):
        weights.load(str(file))


def test_a_flipped_bit_is_refused(file: Path) -> None:
    """Damage inside the tensors, which safetensors itself does not notice, is found."""
    data = bytearray(file.read_bytes())
    data[-3] ^= 0x40
    file.write_bytes(data)
    with pytest.raises(UnavailableError, match="tensors are damaged"):
        weights.load(str(file))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """Neither shipped nor a file: the error says what would do."""
    with pytest.raises(UnavailableError, match="no such model; shipped models are"):
        weights.load(str(tmp_path / "none.safetensors"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 8},
        {"blocks": 2},
        {"kind": "poet"},
        {"halo_px": 4},
        {"colour": "blue"},
        {"channels": "four"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_card_that_does_not_describe_the_tensors_is_refused(
    file: Path, wrong: dict[str, object]
) -> None:
    """A card for another model, or with a field that we do not know, is an UnavailableError."""
    tensors = load_file(file)
    card = {"name": "t", "kind": "student", "channels": 4, "blocks": 1, "halo_px": 16, **wrong}
    metadata = {CARD_KEY: json.dumps(card), DIGEST_KEY: weights.digest(tensors)}
    save_file(tensors, file, metadata)
    with pytest.raises(UnavailableError, match="not a sharpend weights file"):
        weights.load(str(file))


@pytest.mark.parametrize("metadata", [None, {CARD_KEY: "no JSON"}, {CARD_KEY: "[]"}])
def test_a_foreign_safetensors_file_is_refused(file: Path, metadata: dict[str, str] | None) -> None:
    """Tensors without our card are not ours."""
    save_file(load_file(file), file, metadata)
    with pytest.raises(UnavailableError, match="trainer export"):
        weights.load(str(file))


def test_a_pickle_is_never_read(tmp_path: Path, network: StudentNet) -> None:
    """A torch.save file is refused without being unpickled."""
    path = tmp_path / "model.pt"
    torch.save(network.state_dict(), path)
    with pytest.raises(UnavailableError, match="not a sharpend weights file"):
        weights.load(str(path))
