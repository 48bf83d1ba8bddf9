"""Training where the trainer is not installed, and on several devices: by the source tree alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sharpend.errors import UsageError
from trainer.training.checkpoint import read_checkpoint
from trainer.training.dataset import write_image
from trainer.training.distributed import ProcessGroup
from trainer.training.split import Split, write_split

ROOT = Path(__file__).parent.parent
RECIPE = """
[network]
kind = "teacher"
channels = 4
blocks = 1
[data]
crop_px = 16
batch = 4
validation_px = 16
[loss]
target_l1 = 1.0
target_ssim = 0.1
[schedule]
steps = 6
warm_up = 1
validate_every = 3
precision = "float32"
"""
LACKING = """
structlog pydantic pydantic_settings watchdog tqdm spandrel tensorboard matplotlib skimage
psutil scipy
"""
BARE = f"""
import sys
for name in {LACKING.split()}:
    sys.modules[name] = None
from trainer.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with four images, their split and a recipe."""
    for number in range(4):
        coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3))
        pixels = coarse.repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8)
        write_image(pixels, tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    write_split(Split(tuple(paths[:3]), tuple(paths[3:])), tmp_path / "split.json")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path


def ran(work: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own in the work folder, with the source tree on its path."""
    return subprocess.run(
        [sys.executable, *arguments, "teacher", "tiny.toml", "--device", "cpu"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.mark.slow
def test_training_needs_six_libraries_only(work: Path) -> None:
    """On a bare machine the loop runs from the source tree, and prints JSON lines."""
    done = ran(work, "-c", BARE)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["step"] for line in lines] == [3, 6]
    assert (work / "runs" / "tiny" / "best.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_processes_train_as_one(work: Path) -> None:
    """Torchrun's processes share each batch; the weights are those of one process."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    one = ran(work, "-m", "trainer")
    assert one.returncode == 0, one.stderr
    (work / "runs").rename(work / "alone")
    two = ran(work, *torchrun, "-m", "trainer")
    assert two.returncode == 0, two.stderr
    assert len([line for line in two.stdout.splitlines() if line.startswith("{")]) == 2
    cpu = torch.device("cpu")
    single, team = (
        read_checkpoint(work / runs / "tiny" / "last.safetensors", cpu)
        for runs in ("alone", "runs")
    )
    assert team.step == single.step == 6
    for name, value in single.network.state_dict().items():
        assert torch.allclose(team.network.state_dict()[name], value, atol=2e-5), name


def test_a_batch_is_shared_equally() -> None:
    """Every crop belongs to one process; a batch that does not divide is refused."""
    teams = [ProcessGroup(torch.device("cpu"), rank, 3) for rank in range(3)]
    shares = [list(range(9))[team.share(9)] for team in teams]
    assert sorted(crop for share in shares for crop in share) == list(range(9))
    with pytest.raises(UsageError, match=r"data\.batch: 8 crops cannot be shared by 3"):
        teams[0].share(8)
