"""The model that `auto` takes: the larger one where its int8 makes up for its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sharpend.errors import UnavailableError
from sharpend.model import automatic
from sharpend.model.automatic import LARGER, SMALLER
from sharpend.settings.schema import Settings, automatic_choice, resolve_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VNNI = "flags : fpu sse2 avx2 avx512f avx512_vnni\n"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A processor with int8 instructions, and OpenVINO, until a test takes one away."""
    monkeypatch.setattr(automatic, "processor", lambda: VNNI)
    monkeypatch.setattr(automatic, "openvino_version", lambda: "2025.0")
    automatic._lacks_for_int8.cache_clear()
    yield
    automatic._lacks_for_int8.cache_clear()


def settings(folder: Path, *, engine: str = "local", **model: str) -> Settings:
    """Settings without folders."""
    values: dict[str, Any] = {"model": model, "engine": {"kind": engine}}
    return Settings(state=folder, **values)


@pytest.mark.parametrize("model", [{}, {"runtime": "openvino"}, {"precision": "int8"}])
def test_the_larger_model_is_taken_where_int8_can_run(
    tmp_path: Path, model: dict[str, str]
) -> None:
    """The shipped weights have ranges for it, and the settings leave it open or ask for it."""
    chosen = automatic_choice(settings(tmp_path, device="cpu", **model))
    assert (chosen.model, chosen.cause) == (LARGER, "OpenVINO can run it in int8")


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_a_named_gpu_takes_the_larger_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """Whatever the processor has."""
    monkeypatch.setattr(automatic, "openvino_version", lambda: None)
    assert automatic_choice(settings(tmp_path, device=device)).model == LARGER


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"runtime": "torch"}, "model.runtime is torch"),
        ({"precision": "bfloat16"}, "model.precision is bfloat16"),
        ({"engine": "ray"}, "the nodes of a cluster may differ"),
    ],
)
def test_settings_without_int8_take_the_smaller_model(
    tmp_path: Path, values: dict[str, str], cause: str
) -> None:
    """The reason names the setting."""
    chosen = automatic_choice(settings(tmp_path, **values))
    assert (chosen.model, chosen.cause) == (SMALLER, cause)


def absent(_model: str) -> bool:
    """Fail as a missing weights file does."""
    raise UnavailableError("no such model")


@pytest.mark.parametrize(
    ("name", "fake", "cause"),
    [
        ("openvino_version", lambda: None, "OpenVINO is not installed"),
        ("processor", lambda: "flags : fpu sse2 avx2\n", "no instructions for int8"),
        ("processor", lambda: "", "no instructions for int8"),
        ("has_ranges", lambda _model: False, "base-photo has no ranges for int8"),
        ("has_ranges", absent, "base-photo cannot be read: no such model"),
    ],
)
def test_a_machine_without_int8_takes_the_smaller_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fake: object, cause: str
) -> None:
    """The reason says what is lacking."""
    monkeypatch.setattr(automatic, name, fake)
    chosen = automatic_choice(settings(tmp_path))
    assert chosen.model == SMALLER
    assert cause in chosen.cause


def test_a_model_that_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    """`auto` alone is resolved."""
    made = settings(tmp_path)
    assert [resolve_model(name, made) for name in ("auto", "teacher-x4")] == [LARGER, "teacher-x4"]
