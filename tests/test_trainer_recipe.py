"""Recipes: what ships can be read, and a mistake is named with its file and key."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.errors import InputMissingError, UsageError
from trainer.training.recipe import SHIPPED, parsed, read_recipe

if TYPE_CHECKING:
    from pathlib import Path

SMALLEST = """
[network]
kind = "student"
channels = 4
[loss]
target_l1 = 1
[schedule]
steps = 10
"""


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_read_by_name(path: Path) -> None:
    """Each is whole, says in its first line what it is, and describes itself back into itself."""
    recipe = read_recipe(str(path.relative_to(SHIPPED).with_suffix("")))
    assert recipe.name == path.stem
    assert path.read_text().startswith("# ")
    assert parsed(recipe.described(), "again") == recipe


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    """Three tables are enough; the name is the file's; whole numbers serve as weights."""
    path = tmp_path / "small.toml"
    path.write_text(SMALLEST)
    recipe = read_recipe(str(path))
    assert (recipe.name, recipe.seed, recipe.data.crop_px) == ("small", 0, 128)
    assert recipe.loss.target_l1 == 1.0


WHOLE: dict[str, Any] = {
    "name": "small",
    "network": {"kind": "student", "channels": 4},
    "loss": {"target_l1": 1.0},
    "schedule": {"steps": 10},
}
NET = {"kind": "student", "channels": 4}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            {"network": {"kind": "student", "chanels": 4}},
            "network.chanels: unknown key; did you mean channels?",
        ),
        ({"network": {"kind": "student"}}, "network.channels: missing"),
        ({"network": {**NET, "kind": "giant"}}, "network.kind: must be one of student, "),
        ({"network": {**NET, "channels": "many"}}, "network.channels: must be int, not 'many'"),
        ({"network": {**NET, "channels": True}}, "network.channels: must be int, not True"),
        ({"network": 3}, "network: must be a table"),
        ({"seed": 1.5}, "seed: must be int"),
        ({"data": {"crop_px": 130}}, "data.crop_px: must be a multiple of 4"),
        ({"data": {"batch": 0}}, "data.batch: must be 1 or more"),
        ({"data": {"validation_px": 8}}, "data.validation_px: must be 11 or more"),
        ({"seed": -1}, "seed: must be 0 or more"),
        ({"network": {**NET, "branches": -1}}, "network.branches: must be 0 or more"),
        ({"network": {**NET, "kind": "report-student", "blocks": 2}}, "network: the report's"),
        ({"schedule": {"steps": -5, "minutes": 1.0}}, "schedule.steps: must be 0 or more"),
        ({"schedule": {"minutes": math.inf}}, "schedule.minutes: must be 0 or more"),
        ({"loss": {"target_l1": -1.0}}, "loss.target_l1: must be 0 or more"),
        ({"loss": {"target_l1": math.inf}}, "loss.target_l1: must be 0 or more"),
        ({"loss": {}}, "loss: all weights are zero"),
        ({"loss": {"teacher_l1": 1.0}}, "data.labels: a teacher term needs labels"),
        ({"schedule": {}}, "schedule: needs steps or minutes, as network.start is empty"),
        ({"network": {**NET, "start_average": "x"}}, "network.start_average: needs network.start"),
        ({"schedule": {"steps": 1, "minutes": 1.0}}, "schedule: needs either steps or minutes"),
        ({"schedule": {"steps": 1, "ema": 1.0}}, "schedule.ema: must be 0 or more and less than 1"),
        ({"schedule": {"steps": 1, "shape": "step"}}, "schedule.shape: must be cosine or constant"),
        ({"schedule": {"steps": 1, "precision": "int8"}}, "schedule.precision: must be one of"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(wrong: dict[str, Any], told: str) -> None:
    """The error says which file, which key and what must hold."""
    with pytest.raises(UsageError, match=re.escape(f"r.toml: {told}")):
        parsed({**WHOLE, **wrong}, "r.toml")


def test_what_is_no_toml_is_refused(tmp_path: Path) -> None:
    """The parser's own words, with the file's name."""
    (tmp_path / "r.toml").write_text("[network")
    with pytest.raises(UsageError, match=r"r\.toml: not TOML"):
        read_recipe(str(tmp_path / "r.toml"))


def test_a_recipe_that_is_not_there_names_those_that_are() -> None:
    """A missing file is a missing input, and the shipped names help."""
    with pytest.raises(InputMissingError, match=r"no such recipe; shipped are .*lite-x4"):
        read_recipe("heavy-x4")
