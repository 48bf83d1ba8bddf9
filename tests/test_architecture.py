"""Layering: permitted imports, the modules that may import a dependency, and size limits."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent

LAYERS = """
L0  backoff  errors  policies  machine  logs/
L1  files/  imaging/  task  attempt  model/  benchmark/  settings/  ledger/
L2  intake/  commit/  agreement/
L3  workers/
L4  daemon/
L5  checks/  web/  commands/  cli  __main__
"""
"""From the ground up: a module imports only what is before it here, by layer and order."""

PACKAGES = {
    "logs": "plain events operator_event_keys model_event_keys"
    " web_event_keys image_event_keys event_keys logs repeats",
    "files": "owner remote fingerprint patterns sidecars attributes name_faults objects"
    " objects.address disk_errors access atomic beneath digest lease mounts free_space"
    " mounted_roots preview_layout previews rotated objects.outage objects.client objects.bucket"
    " objects.download objects.uploads objects.condition_check",
    "agreement": "alarm summary opinion",
    "workers": "loading limits sandbox forking forkserver ahead skipping staging stages opening"
    " models observation pipeline worker jsoncodec framing trials messages serve process interface"
    " answers pool transfers cluster cluster.notices cluster.requests cluster.bodies"
    " cluster.actor cluster.driver cluster.driver_process cluster.connection cluster.actors"
    " cluster.raypool",
    "settings": "values section folder hook schema layers sources problems overlaps load",
    "imaging": "compiled formats depth reading inflating filters backprojection enlarged tensors"
    " libraries extras crops"
    " metadata metadata.ifd metadata.blocks metadata.xmp metadata.exifblock metadata.exif"
    " metadata.photoshop metadata.pngtext metadata.provenance metadata.icc metadata.thumbnail"
    " metadata.tagnames"
    " color picture losses transparency source"
    " containers containers.container containers.pillow containers.trailers"
    " containers.codecwarnings containers.surplus containers.lzw"
    " containers.jpeglayout containers.jpegmpf containers.jpegwalk"
    " containers.jpegpixels containers.jpegdamage"
    " containers.jpegmetadata containers.jpegquality containers.jpeg"
    " containers.pngrows containers.pngchunks containers.pngheader containers.pngpixels"
    " containers.apng containers.png"
    " containers.vp8 containers.riff containers.webp"
    " containers.isobmff containers.itemplaces containers.items containers.isotracks"
    " containers.geometry"
    " containers.itemflags containers.itemsupport containers.itemdata containers.codedunits"
    " containers.overlays containers.leftout containers.itemlists containers.itemedit"
    " containers.avifdeep"
    " containers.avif containers.heic"
    " containers.jxlheader containers.jxlframes containers.jxljpeg containers.jxl"
    " containers.gifblocks containers.gif containers.bmpheader containers.bmp containers.pnm"
    " containers.tifftags containers.tiffpages containers.tiffpage containers.tiffcarried"
    " containers.tiffcoding containers.tiffsamples containers.tiffstack containers.tiffstrips"
    " containers.tiffout containers.tiff"
    " detection codec files contents preview metadata_policy unrecoded sheet",
    "model": "folding cues conditioning cells blurs plain_packing passes packing networks tiling"
    " crispness shipped weights trial installed automatic runtimes openvino_runtime cuda_runtime"
    " device ssim bands spectrum measuring softness leastgain sharpener precision",
    "benchmark": "figures memory process rounds images serve networks live once whole batches"
    " watched cluster peer peers plain codecs compression sections plots",
    "ledger": "sql counts_sql operator_sql case_folding schema clean_shutdown candidates records"
    " long_steps store copies scheduling reader pages_sql pages registration operator_state ledger"
    " opening figures",
    "intake": "junk tally scan patience interface wall_clock file_times settle_time watch schedule"
    " listen folder remote threaded",
    "commit": "portable names interface place side_by_side syncs destination stale source results"
    " relocate sidecars local_folder local_place remote places ownership disposal shards adoption"
    " publication disposer committer emptied reason_files quarantine ages retention",
    "daemon": "signals systemd snapshot state_outage context attempts report agreement_samples"
    " preview_upkeep early_reads only_new engine_faults intended_pauses registrar_interface"
    " folder_plan folder lost_attempts overview roots refused_sources store_upkeep"
    " results outcomes pending_results assignment maintenance content_comparison registrar writers"
    " dispatcher_config folder_upkeep dispatcher history status image_history hook_runs hooked_log"
    " settings_values worker_settings engine assembly run_mode operations daemon",
    "checks": "finding runner path_access folders mounts state unit model_probe device nodes",
    "web": "metric_list metrics address tokens sessions client_address access_control forms"
    " formatting chart templates reading trends images event_stream links pages actions login"
    " probes app connections serve",
    "commands": "stdout selection overrides cluster_nodes inputs accept bench check doctor"
    " listing status retry pause move metrics inspect formats run dry_run once_output"
    " once demo web",
}
"""Inside a sub-package, the same."""

IMPORTERS = {
    "PIL": {
        "sharpend.benchmark.peer",
        "sharpend.benchmark.plain",
        "sharpend.imaging",
        "trainer.degradations.drawing",
        "trainer.degradations.lights",
    },
    "imagecodecs": {
        "sharpend.benchmark.plain",
        "sharpend.imaging.containers.avifdeep",
        "sharpend.imaging.containers.jpeg",
        "sharpend.imaging.containers.jpegpixels",
        "sharpend.imaging.containers.jxl",
        "sharpend.imaging.containers.jxljpeg",
        "sharpend.imaging.containers.jxlframes",
        "sharpend.imaging.containers.png",
        "sharpend.imaging.containers.pngpixels",
        "sharpend.imaging.containers.riff",
        "sharpend.imaging.containers.tiffstrips",
    },
    "tifffile": {"sharpend.imaging.metadata.tagnames"}
    | {
        f"sharpend.imaging.containers.{module}"
        for module in (
            "tiff",
            "tiffcarried",
            "tiffcoding",
            "tiffpage",
            "tiffsamples",
            "tiffstack",
            "tiffstrips",
        )
    },
    "boto3": {"sharpend.files.objects.client"},
    "botocore": {"sharpend.files.objects.client"},
    "cv2": {"sharpend.benchmark.peer"},
    "jinja2": {"sharpend.web.templates", "trainer.evaluation.mos.pages"},
    "matplotlib": {"sharpend.benchmark.plots", "trainer.figures"},
    "openvino": {"sharpend.model.openvino_runtime"},
    "pathspec": {"sharpend.files.patterns"},
    "prometheus_client": {"sharpend.web.metrics"},
    "pydantic": {"sharpend.settings"},
    "pydantic_core": {"sharpend.settings"},
    "pydantic_settings": {"sharpend.settings"},
    "pytorch_msssim": {"sharpend.model.ssim"},
    "ray": {"sharpend.workers.cluster.driver", "sharpend.workers.cluster.actor"},
    "safetensors": {
        "sharpend.model.weights",
        "trainer.training.checkpoint",
        "trainer.training.teacher",
    },
    "markupsafe": {"sharpend.web.chart", "sharpend.web.trends"},
    "scipy": {"trainer.evaluation.mos.intervals"},
    "spandrel": {"trainer.training.teacher"},
    "sqlite3": {
        f"sharpend.ledger.{module}" for module in ("copies", "long_steps", "opening", "store")
    },
    "starlette": {
        "sharpend.web",
        "trainer.evaluation.mos.app",
        "trainer.evaluation.mos.forms",
    },
    "structlog": {"sharpend.logs.logs"},
    "torchvision": {"trainer.degradations.reduction"},
    "tqdm": {"sharpend.commands.once_output", "trainer.training.progress"},
    "uvicorn": {"sharpend.web.connections", "sharpend.web.serve"},
    "watchdog": {"sharpend.intake.watch"},
}
"""Who imports what others must not: a replacement touches one file."""

LAYERS_OF_TRAINER = """
degradations  mixture blur camera drawing lights reduction photo photo_mixtures registry
training  losses recipe record progress signals distributed split dataset batches
training  image_checks architectures checkpoint origin teacher models labels parts windows pool
training  crops step learner precision loop
evaluation  bench speed scores sets unsharp lineup partial measurements tables
evaluation  contact_sheet
evaluation.matrix  cells harm roc cell_masks comparison means real_harm real_photos sheets tables
evaluation.matrix  targets result
evaluation  front
evaluation.agreement  samples thresholds streams
evaluation.mos  protocol study order votes raters forms pages app stimuli ratings screening
evaluation.mos  intervals results tables
publishing  matrix_section model_card rewriting weights_card calibration
figures  canvas curves front scene drawing diagram pair opinions
commands  options calibrate matrix evaluate alarm degrade export figure label line pool prepare
commands  train mos
"""
"""Packages of the trainer from the ground up: a module imports only what is before it."""

MOST_PACKAGES = 15
LOOSE = {"__main__", "attempt", "backoff", "cli", "errors", "machine", "policies", "task"}
"""Modules of sharpend in no package: all layers use them, or they are where a program starts."""
LONGEST_CHAIN = 12
"""Modules in a row, each importing the next, for types too."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "handler", "misc"}
LONGEST_FUNCTION = 45
LONGEST_MODULE = 300
MOST_ENTRIES_OF_TRAINER = 8
QUESTION = re.compile(r"(What|Whatever|Who|Whose|Which|How|Whether|Where|When|Why)\b")


def order() -> list[str]:
    """All modules of sharpend from the ground up."""
    modules = ["sharpend"]
    for line in LAYERS.strip().splitlines():
        for package in line.split()[1:]:
            name = f"sharpend.{package.rstrip('/')}"
            modules.append(name)
            if package.endswith("/"):
                modules += [f"{name}.{module}" for module in PACKAGES[package.rstrip("/")].split()]
    return modules


def order_of_trainer() -> list[str]:
    """All modules of the trainer from the ground up."""
    modules = ["trainer"]
    for line in LAYERS_OF_TRAINER.strip().splitlines():
        below, *names = line.split()
        package = f"trainer.{below}"
        modules += [package] * (package not in modules) + [f"{package}.{name}" for name in names]
    return [*modules, "trainer.cli", "trainer.__main__"]


@cache
def tree(module: str) -> ast.Module:
    """The parsed source of a module."""
    return ast.parse(files()[module].read_text())


@cache
def files() -> dict[str, Path]:
    """Every module of ours by its dotted name; a package stands for its `__init__`."""
    found = {}
    for package in ("sharpend", "trainer"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """All that a module imports anywhere in it, for types too, as full dotted names."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in files() else node.module)
    return frozenset(found)


def ours(module: str) -> set[str]:
    """The modules of ours that a module imports."""
    return {name for name in imports(module) if name in files()}


def everything_behind(module: str) -> set[str]:
    """What a module imports, directly or through modules of ours."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        for name in imports(waiting.pop()) - seen:
            seen.add(name)
            if name in files():
                waiting.append(name)
    return seen


@cache
def longest_chain(module: str) -> list[str]:
    """A module and the longest row of imports below it."""
    below = (longest_chain(name) for name in ours(module))
    return [module, *max(below, key=len, default=[])]


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a module."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def docstrings(module: str) -> Iterator[str]:
    """The docstrings of a module, of its functions and classes, and below its values."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield str(node.value.value).strip()


IN_ORDER = order()
EVERYTHING = sorted(files())
TRAINER_IN_ORDER = order_of_trainer()
TRAINER = [name for name in EVERYTHING if name.split(".")[0] == "trainer"]
SHARPEND = [name for name in EVERYTHING if name.split(".")[0] == "sharpend"]


def test_every_module_has_a_place() -> None:
    """The table names each module of sharpend once, and nothing that is gone."""
    assert sorted(IN_ORDER) == sorted(SHARPEND)


def test_imports_go_down_only() -> None:
    """A module imports only what is before it, so that there is no cycle."""
    above = {module: ours(module) - set(IN_ORDER[:at]) for at, module in enumerate(IN_ORDER)}
    assert {module: names for module, names in above.items() if names} == {}


def test_few_packages_and_short_import_chains() -> None:
    """Few packages, few modules beside them, and no long chain of imports."""
    at_the_top = {name.split(".")[1] for name in SHARPEND if "." in name}
    assert at_the_top - set(PACKAGES) == LOOSE
    assert len(PACKAGES) <= MOST_PACKAGES
    chain = max((longest_chain(module) for module in SHARPEND), key=len)
    assert len(chain) <= LONGEST_CHAIN, " > ".join(chain)


def test_the_daemon_does_not_know_the_trainer() -> None:
    """The trainer imports sharpend, never the reverse."""
    for module in SHARPEND:
        assert not [name for name in imports(module) if name.split(".")[0] == "trainer"], module


SERVER = {
    f"sharpend.web.{module}" for module in ("address", "client_address", "connections", "serve")
}
"""Server of pages, which knows nothing of the daemon: the rating page has the same one."""


def test_the_trainer_uses_the_lower_layers_only() -> None:
    """Nothing of the daemon's files, queue or settings reaches into training."""
    allowed = {*IN_ORDER[: IN_ORDER.index("sharpend.agreement.opinion") + 1], *SERVER}
    barred = {"sharpend.settings", "sharpend.ledger", "sharpend.intake", "sharpend.commit"}
    for module in TRAINER:
        used = {name for name in ours(module) if name.split(".")[0] == "sharpend"}
        assert used <= allowed, module
        assert not {name for name in used if ".".join(name.split(".")[:2]) in barred}, module


def test_every_module_of_the_trainer_has_a_place() -> None:
    """The table names each module of the trainer once, and nothing that is gone."""
    assert sorted(TRAINER_IN_ORDER) == sorted(TRAINER)


def test_imports_of_the_trainer_go_one_way() -> None:
    """Training knows no evaluation, and neither of them what is published, drawn or typed."""
    for at, module in enumerate(TRAINER_IN_ORDER):
        used = {name for name in ours(module) if name.split(".")[0] == "trainer"}
        assert used - set(TRAINER_IN_ORDER[:at]) == set(), module


def test_trainer_has_few_top_level_packages() -> None:
    """A few packages at the top, beside the trainer's own two files and its README."""
    entries = {path.name for path in (ROOT / "trainer").iterdir()}
    entries -= {"__init__.py", "__main__.py", "__pycache__", "py.typed", "README.md"}
    assert len(entries) <= MOST_ENTRIES_OF_TRAINER, entries


def test_docstrings_name_their_subject() -> None:
    """Docstrings begin with a verb or a noun, so that a search for the trade's word finds them."""
    for module in EVERYTHING:
        for text in docstrings(module):
            assert not QUESTION.match(text), f"{module}: {text}"


@pytest.mark.parametrize("dependency", sorted(IMPORTERS))
def test_a_dependency_is_imported_by_its_own_modules_alone(dependency: str) -> None:
    """A dependency is imported by its own modules and nowhere else, and is imported there."""
    importers = {
        module
        for module in EVERYTHING
        if any(name.split(".")[0] == dependency for name in imports(module))
    }
    allowed = IMPORTERS[dependency]
    strangers = {
        module
        for module in importers
        if not any(module == one or module.startswith(f"{one}.") for one in allowed)
    }
    assert strangers == set()
    assert importers


def test_nothing_is_unpickled() -> None:
    """What another process says is parsed: no module knows a way to make any object of bytes."""
    for module in SHARPEND:
        used = {name.split(".")[0] for name in imports(module)}
        assert not used & {"pickle", "marshal", "shelve", "dill", "multiprocessing"}, module


@pytest.mark.parametrize("package", ["sharpend.model", "sharpend.imaging"])
def test_lower_packages_need_no_logger_and_no_settings(package: str) -> None:
    """Models and images need no logger, no settings and no watcher, not even indirectly."""
    for module in (name for name in SHARPEND if name.startswith(package)):
        behind = {name.split(".")[0] for name in everything_behind(module)}
        assert not behind & {"structlog", "pydantic", "pydantic_settings", "watchdog"}, module


def test_formats_need_no_decoder() -> None:
    """The intake's table of suffixes imports neither Pillow nor numpy."""
    behind = {name.split(".")[0] for name in everything_behind("sharpend.imaging.formats")}
    assert not behind & {"PIL", "numpy", "torch"}


def test_the_parent_process_loads_neither_torch_nor_pillow() -> None:
    """Starting the command line and the daemon's modules leaves the heavy ones to the workers."""
    code = (
        "import sys, sharpend, sharpend.cli, sharpend.daemon.daemon; "
        "print(sorted({'torch', 'PIL', 'numpy', 'safetensors'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_modules_say_what_they_are() -> None:
    """Each begins with a docstring, has a name that says something, and is short."""
    for module in EVERYTHING:
        assert ast.get_docstring(tree(module)), module
        assert not VAGUE & set(module.split(".")), module
        assert len(files()[module].read_text().splitlines()) <= LONGEST_MODULE, module
        for function in functions(module):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            assert lines <= LONGEST_FUNCTION, f"{module}: {function.name} has {lines} lines"


@pytest.mark.parametrize("module", [name for name in SHARPEND if "sharpend.daemon" in name])
def test_attributes_are_set_in_init(module: str) -> None:
    """What a part has, it has from the start: nobody has to ask whether it is there yet."""
    for one in (node for node in ast.walk(tree(module)) if isinstance(node, ast.ClassDef)):
        methods = [node for node in one.body if isinstance(node, ast.FunctionDef)]
        of_class = {
            ast.unparse(node.target) for node in one.body if isinstance(node, ast.AnnAssign)
        }
        begins = [node for node in methods if node.name == "__init__"]
        given = of_class | {name for node in begins for name in set_on_self(node)}
        for method in methods:
            assert set_on_self(method) <= given, f"{one.name}.{method.name}"
            assert "getattr(self" not in ast.unparse(method), f"{one.name}.{method.name}"


def set_on_self(method: ast.FunctionDef) -> set[str]:
    """The attributes of itself that a method sets."""
    return {
        node.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and node.value.id == "self"
    }


def test_packages_are_empty() -> None:
    """A package's `__init__` holds a docstring alone; only sharpend's own has the version too."""
    packages = {name for name, path in files().items() if path.name == "__init__.py"}
    for package in packages - {"sharpend", "trainer"}:
        assert len(tree(package).body) == 1, package
