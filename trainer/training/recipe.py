"""Recipes: all parameters of a training, in one TOML file that becomes part of the weights.

Owns the keys, their defaults and checks. Paths of images, labels and runs do not affect the result,
so the command line can replace them.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from sharpend.errors import InputMissingError, UsageError
from sharpend.model.networks import GRID_PX
from sharpend.model.ssim import WINDOW_PX
from sharpend.model.weights import REDUCTION
from trainer.degradations.reduction import SOFTENED_BY
from trainer.degradations.registry import DEGRADATIONS
from trainer.training.losses import LossWeights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHIPPED = Path(__file__).parents[1] / "recipes"
NETWORK_KINDS = ("student", "teacher", "report-student", "report-teacher")
SHAPES = ("cosine", "constant")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The network that is trained."""

    kind: str
    """One of NETWORK_KINDS; the report's own two have neither blocks nor a choice of biases."""
    channels: int
    blocks: int = 0
    """Residual blocks."""
    bias_free: bool = False
    """No biases, and the local mean subtracted from the input: flat areas stay flat."""
    branches: int = 0
    """Over-parameterise each 3x3 convolution by this many hidden channels, folded at export."""
    cued: bool = False
    """Condition the network on the softness of the whole image, with an adaptive mask beside it."""
    scaled_blocks: bool = True
    """Let the cues scale each residual block; else the first and last convolution alone."""
    start: str = ""
    """Initial weights: a shipped name, a file or a run's folder; others stay random."""
    start_average: str = ""
    """A second model of this architecture: the initial weights are the mean of both (model soups,
    Wortsman et al. 2022, arXiv:2203.05482)."""
    start_tail: float = 1.0
    """Factor on the last convolution of these weights; below 1 starts closer to the input."""


@dataclass(frozen=True, slots=True)
class Data:
    """Images, degradation and crops."""

    split: str = "split.json"
    """Split of `trainer prepare`."""
    degradation: str = REDUCTION
    """A name in `trainer.degradations.registry`: the degradation of the inputs."""
    pool: str = ""
    """Folder of degraded windows, by `trainer pool`; needed by every mixture but the report's."""
    untouched: float = 0.0
    """Share of crops from windows that were not softened, 0..1; 0: as the pool has them."""
    labels: str = ""
    """Folder of a teacher's labels, by `trainer label`; empty trains without a teacher."""
    crop_px: int = 128
    """Side of the square crops, full resolution."""
    batch: int = 8
    """Crops a step, over all devices together."""
    validation_px: int = 256
    """Side of the middle crops that validate."""
    factor: int = 4
    """Factor of the bicubic reduction that the network undoes."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Budget, learning rate, averaging and validation."""

    steps: int = 0
    """The budget in batches, or ..."""
    minutes: float = 0.0
    """... in minutes of training, over all resumed parts; one of the two, or neither: then the
    initial weights are validated and stay as they are."""
    learning_rate: float = 1e-3
    """Adam's peak rate."""
    shape: str = "cosine"
    """`cosine` down to 1e-6 (SGDR, arXiv:1608.03983, without restarts), or `constant`."""
    warm_up: int = 200
    """Steps of a linear rise up to the peak."""
    ema: float = 0.999
    """Decay of the moving average that is validated and exported; 0 takes the network itself."""
    clip: float = 0.5
    """Largest norm of the gradient; 0 does not clip."""
    validate_every: int = 250
    """Steps between validations, each of which writes a checkpoint."""
    precision: str = "auto"
    """Precision of the forward pass: auto, float32 or bfloat16; losses are float32 always."""

    @property
    def has_budget(self) -> bool:
        """True if there is anything to train."""
        return self.steps > 0 or self.minutes > 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """All parameters of one run."""

    name: str
    network: NetworkConfig
    data: Data = field(default_factory=Data)
    loss: LossWeights = field(default_factory=LossWeights)
    schedule: Schedule = field(default_factory=Schedule)
    seed: int = 0

    def described(self) -> dict[str, Any]:
        """The recipe as plain values, for checkpoints and cards; `parsed` takes it back."""
        return asdict(self)


def read_recipe(recipe: str) -> Recipe:
    """Read a recipe by the name of a shipped one, or by path.

    Raises:
        InputMissingError: there is no such file.
        UsageError: it is no TOML, or a key is unknown, missing or impossible; names file and key.
    """
    path = Path(recipe)
    if path.suffix != ".toml":
        path = SHIPPED / f"{recipe}.toml"
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        names = ", ".join(sorted(str(p.relative_to(SHIPPED))[:-5] for p in SHIPPED.rglob("*.toml")))
        raise InputMissingError(f"{path}: no such recipe; shipped are {names}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML ({error})") from error
    return parsed({"name": path.stem, **values}, str(path))


def parsed(values: Mapping[str, Any], file: str) -> Recipe:
    """A recipe from plain values.

    Args:
        values: as TOML has them.
        file: named in errors.

    Raises:
        UsageError: a key is unknown, missing or impossible.
    """
    recipe: Recipe = _filled(Recipe, values, file, "")
    for wrong, key, reason in _impossible(recipe):
        if wrong:
            raise UsageError(f"{file}: {key}: {reason}")
    return recipe


def _filled(section: type[Any], values: Mapping[str, Any], file: str, at: str) -> Any:  # noqa: ANN401 - any of our sections
    """An instance of a dataclass from a TOML table, every key checked."""
    kinds = get_type_hints(section)
    known = [one.name for one in fields(section)]
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"{file}: {at}{key}: unknown key{hint}")
        given[key] = _value(kinds[key], value, file, f"{at}{key}")
    for one in fields(section):
        if one.name not in given and one.default is MISSING and one.default_factory is MISSING:
            raise UsageError(f"{file}: {at}{one.name}: missing")
    return section(**given)


def _value(kind: type[Any], value: object, file: str, at: str) -> object:
    if hasattr(kind, "__dataclass_fields__"):
        if not isinstance(value, dict):
            raise UsageError(f"{file}: {at}: must be a table")
        return _filled(kind, value, file, f"{at}.")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise UsageError(f"{file}: {at}: must be {kind.__name__}, not {value!r}")
    return value


def _impossible(recipe: Recipe) -> list[tuple[bool, str, str]]:
    """Every rule between values: (is broken, key, message)."""
    network, data, plan, loss = recipe.network, recipe.data, recipe.schedule, recipe.loss
    weights = {f"loss.{one.name}": getattr(loss, one.name) for one in fields(loss)}
    ours = network.blocks or network.bias_free or network.branches
    return [
        *_out_of_range(recipe, weights),
        (
            network.kind not in NETWORK_KINDS,
            "network.kind",
            f"must be one of {', '.join(NETWORK_KINDS)}",
        ),
        (
            network.kind.startswith("report") and bool(ours),
            "network",
            "the report's own networks have neither blocks nor branches, and always biases",
        ),
        (not any(weights.values()), "loss", "all weights are zero"),
        (data.crop_px % GRID_PX > 0, "data.crop_px", f"must be a multiple of {GRID_PX}"),
        (
            data.validation_px % GRID_PX > 0,
            "data.validation_px",
            f"must be a multiple of {GRID_PX}",
        ),
        (plan.steps > 0 and plan.minutes > 0, "schedule", "needs either steps or minutes"),
        (not 0 <= plan.ema < 1, "schedule.ema", "must be 0 or more and less than 1"),
        (plan.shape not in SHAPES, "schedule.shape", f"must be {' or '.join(SHAPES)}"),
        (
            plan.precision not in PRECISIONS,
            "schedule.precision",
            f"must be one of {', '.join(PRECISIONS)}",
        ),
        (
            loss.needs_teacher and not data.labels and not data.pool,
            "data.labels",
            "a teacher term needs labels: run `trainer label`",
        ),
        (bool(data.labels) and data.factor != SOFTENED_BY, "data.factor", "must be 4 with labels"),
        *_impossible_starts(recipe),
        *_impossible_mixtures(recipe),
    ]


def _impossible_starts(recipe: Recipe) -> list[tuple[bool, str, str]]:
    """The rules between budget and initial weights."""
    network, trains = recipe.network, recipe.schedule.has_budget
    lacks = not network.start
    return [
        (lacks and not trains, "schedule", "needs steps or minutes, as network.start is empty"),
        (
            lacks and bool(network.start_average),
            "network.start_average",
            "needs network.start, the model that it is averaged with",
        ),
    ]


def _impossible_mixtures(recipe: Recipe) -> list[tuple[bool, str, str]]:
    """The rules between the mixture, its pool and the network."""
    network, data = recipe.network, recipe.data
    return [
        (
            data.degradation not in DEGRADATIONS,
            "data.degradation",
            f"must be one of {', '.join(DEGRADATIONS)}",
        ),
        (
            data.degradation != REDUCTION and not data.pool,
            "data.pool",
            f"the {data.degradation} mixture needs a pool: run `trainer pool`",
        ),
        (network.cued and not data.pool, "data.pool", "a cued network needs a pool"),
        (data.untouched >= 1, "data.untouched", "must be less than 1"),
        (
            network.cued and network.kind.startswith("report"),
            "network.cued",
            "the report's own networks have no cues",
        ),
    ]


def _out_of_range(recipe: Recipe, weights: Mapping[str, float]) -> Iterator[tuple[bool, str, str]]:
    network, data, plan = recipe.network, recipe.data, recipe.schedule
    least = {
        "seed": (recipe.seed, 0),
        "network.channels": (network.channels, 1),
        "network.blocks": (network.blocks, 0),
        "network.branches": (network.branches, 0),
        "network.start_tail": (network.start_tail, 0),
        "data.untouched": (data.untouched, 0),
        "data.crop_px": (data.crop_px, WINDOW_PX),
        "data.batch": (data.batch, 1),
        "data.validation_px": (data.validation_px, WINDOW_PX),
        "data.factor": (data.factor, 1),
        "schedule.steps": (plan.steps, 0),
        "schedule.minutes": (plan.minutes, 0),
        "schedule.learning_rate": (plan.learning_rate, 0),
        "schedule.warm_up": (plan.warm_up, 0),
        "schedule.clip": (plan.clip, 0),
        "schedule.validate_every": (plan.validate_every, 1),
        **{key: (value, 0) for key, value in weights.items()},
    }
    for key, (value, lowest) in least.items():
        yield not lowest <= value < math.inf, key, f"must be {lowest} or more"
