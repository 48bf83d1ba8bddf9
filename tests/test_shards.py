"""`once --shard I/N`: every image in one part, and what belongs together in the same one."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpend.cli import main
from sharpend.commit.destination import Destination, output_names
from sharpend.commit.names import Naming
from sharpend.commit.shards import Shard, ShardIndex, objection
from sharpend.errors import ExitCode
from sharpend.files.patterns import Patterns
from sharpend.policies import CollisionPolicy, ExistingPolicy
from tests.conftest import drop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Networks

CLUSTER = Path(__file__).parent.parent / "config/cluster"
TO = Destination("in", b"/in", b"/")
NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: not {b"/", b"\0"} & {bytes([byte]) for byte in name} and name not in {b".", b".."}
)


def number(relative: bytes, count: int, destination: Destination = TO) -> int:
    """The one part that has an input."""
    shards = [Shard(ShardIndex(part, count), destination) for part in range(count)]
    (found,) = [shard.index.number for shard in shards if shard.has(relative)]
    return found


@given(folder=NAMES, name=NAMES, count=st.integers(1, 20), portable=st.booleans())
def test_every_image_is_in_one_part(
    folder: bytes, name: bytes, count: int, *, portable: bool
) -> None:
    """The parts are disjoint, and together everything, whatever the names."""
    assert 0 <= number(folder + b"/" + name, count, replace(TO, portable_names=portable)) < count


@given(stem=st.text("aÄb-1.", min_size=1, max_size=8), count=st.integers(2, 20))
def test_what_wants_one_name_is_in_one_part(stem: str, count: int) -> None:
    """By any template, case and form; so a part gives out each first name that it may."""
    to = replace(TO, naming=Naming("{stem}.webp"))
    inputs = [f"d/x{stem}{suffix}".encode() for suffix in (".jpg", ".png", ".JPG", ".heic")]
    inputs.append(f"d/X{stem.upper()}.jpg".encode())
    assert len({number(one, count, to) for one in inputs}) == 1
    assert len({number(one, count) for one in inputs}) == 1


def test_a_sidecar_is_where_its_image_is() -> None:
    """`a.xmp` has the key of `a.jpg`."""
    names = [b"trip/%d" % each for each in range(50)]
    assert all(number(name + b".jpg", 7) == number(name + b".xmp", 7) for name in names)


def test_parts_are_about_equal() -> None:
    """Numbered scans are spread evenly."""
    parts = [number(b"box/scan-%08d.jpg" % each, 8) for each in range(4000)]
    assert all(400 < parts.count(part) < 600 for part in range(8))


def test_a_part_is_the_same_for_ever() -> None:
    """On every machine and in every version: a state belongs to its part."""
    assert [number(b"a/%d.jpg" % each, 16) for each in range(8)] == PARTS


PARTS = [13, 13, 14, 12, 4, 13, 14, 12]


def test_patterns_go_first() -> None:
    """What is excluded is in no part."""
    half = Patterns(("*.png",), (), Shard(ShardIndex(0, 1), TO).has)
    assert half.leaves_out(b"a.png")
    assert not half.leaves_out(b"a.jpg")


@pytest.mark.parametrize("text", ["", "1", "1/1", "4/4", "-1/4", "0/0", "a/b", "0/4/2", " 0/4"])
def test_what_is_no_part_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what it has to be."""
    (tmp_path / "in").mkdir()
    command = ["once", "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert main([*command, "--state", str(tmp_path / "s"), f"--shard={text}"]) == ExitCode.USAGE
    assert "must be I/N" in capsys.readouterr().err


@pytest.mark.parametrize("existing", ExistingPolicy)
@pytest.mark.parametrize("collision", CollisionPolicy)
def test_settings_under_which_parts_could_meet_are_refused(
    existing: ExistingPolicy, collision: CollisionPolicy
) -> None:
    """A numbered output of one part is a stranger's to the others: it must stay."""
    refused = objection(replace(TO, existing=existing, collision=collision)) is not None
    numbers = collision is CollisionPolicy.NUMBER
    assert refused == (numbers and existing is not ExistingPolicy.SUFFIX)


@pytest.mark.slow
def test_the_parts_of_a_run(
    tmp_path: Path, networks: Networks, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each image has one output, its sidecar follows it, and no part reports another's."""
    names = [f"d{each % 2}/{each}.png" for each in range(6)] + ["d0/0.PNG"]
    for each, name in enumerate(names):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        drop(tmp_path / "in", name, seed=each)
        (tmp_path / "in" / f"{name}.xmp").write_text("<x/>")
        os.utime(tmp_path / "in" / f"{name}.xmp", (1, 1))
    command = ["once", "--json", "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    command += ["--model", str(networks.student), "--state", str(tmp_path / "state")]
    made: list[str] = []
    for _ in range(2):
        for part in range(2):
            assert main([*command, "--shard", f"{part}/2"]) == ExitCode.OK
            printed = capsys.readouterr()
            assert "output.shared" not in printed.err
            lines = printed.out.splitlines()
            told = [json.loads(line) for line in lines]
            made += [one["input"] for one in told if "input" in one and not one.get("earlier")]
    assert sorted(made) == sorted(str(tmp_path / "in" / name) for name in names)
    outputs = sorted(str(path.relative_to(tmp_path / "out")) for path in tmp_path.rglob("out/*/*"))
    assert outputs == sorted(names)


# The examples


def of_kubernetes() -> tuple[str, int]:
    """The command line and the number of tasks of the Job."""
    text = (CLUSTER / "kubernetes-job.yaml").read_text()
    (count,) = re.findall(r"completions: (\d+)", text)
    return text, int(count)


def of_slurm() -> tuple[str, int]:
    """Those of the array."""
    script = CLUSTER / "slurm-array.sh"
    subprocess.run(["/bin/sh", "-n", script], check=True)
    (last,) = re.findall(r"--array=0-(\d+)", script.read_text())
    return script.read_text(), int(last) + 1


def of_aws() -> tuple[str, int]:
    """Those of the array job."""
    job = json.loads((CLUSTER / "aws-batch.json").read_text())
    return job["containerOverrides"]["command"][2], job["arrayProperties"]["size"]


@pytest.mark.parametrize("example", [of_kubernetes, of_slurm, of_aws])
def test_the_examples(
    example: Callable[[], tuple[str, int]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each command line is accepted for the first and the last task, and no part is left over."""
    text, count = example()
    line = re.sub(r"\\\n\s*", "", text)
    (found,) = re.findall(r"sharpend (once .*?)(?: \|\|| &\n)", line)
    (tmp_path / "images").mkdir()
    for index in (0, count - 1):
        values = {"JOB_COMPLETION_INDEX": index, "SLURM_ARRAY_TASK_ID": index, "USER": "me"}
        values |= {"AWS_BATCH_JOB_ARRAY_INDEX": index, "SLURM_CPUS_PER_TASK": 4}
        words = shlex.split(Template(found).substitute(values))
        assert f"{index}/{count}" in words
        words = [str(tmp_path / "images") if word.endswith("/images") else word for word in words]
        words = [str(tmp_path / "sharp") if word.endswith("/sharp") else word for word in words]
        words[words.index("--state") + 1] = str(tmp_path / "state")
        assert main([*words, "--dry-run"]) == ExitCode.OK
    capsys.readouterr()


def test_the_first_name_of_an_output_decides() -> None:
    """An input's part is that of the name that its output has where nothing collides."""
    to = replace(TO, naming=Naming("{stem}-sharp.webp"))
    assert next(output_names(to, b"a/x.png")) == b"a/x-sharp.webp"
    assert number(b"a/x.png", 9, to) == number(b"a/x-sharp.png", 9)
