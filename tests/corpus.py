"""Makes the corpus: hundreds of small files, each by the tool that its recipe names.

`python -m tests.corpus DIR` writes it into DIR, for a look at it or for another program's tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests import sources
from tests.recipe import PATH, Recipe
from tests.recipes import recipes

BASH = shutil.which("bash") or "/bin/bash"
LONGEST_S = 300.0
SURROUNDINGS = {
    "PATH": PATH,
    "OMP_NUM_THREADS": "1",
    "MAGICK_THREAD_LIMIT": "1",
    "VIPS_CONCURRENCY": "1",
}
"""Small images: threads only get in each other's way."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was made, and what could not be."""

    folder: Path
    made: tuple[Recipe, ...]
    skipped: dict[str, str]
    """Recipe's name to the reason: a tool or a profile that is not installed."""
    failed: dict[str, str]
    """Recipe's name to what its tool said: the recipe is wrong, or the tool too old."""


def make(folder: Path, wanted: list[Recipe] | None = None) -> Corpus:
    """Write every file whose tools are there into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    every = recipes() if wanted is None else wanted
    with tempfile.TemporaryDirectory() as bench:
        sources.write(Path(bench))
        skipped = {recipe.name: reason for recipe in every if (reason := _absent(recipe, bench))}
        able = [recipe for recipe in every if recipe.name not in skipped]
        with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
            said = list(pool.map(lambda recipe: _run(recipe, bench, folder), able))
        _tag([recipe for recipe in able if recipe.tags], bench, folder)
    failed = {recipe.name: text for recipe, text in zip(able, said, strict=True) if text}
    made = tuple(recipe for recipe in able if recipe.name not in failed)
    for recipe in made:
        if recipe.edit is not None:
            path = folder / recipe.name
            path.write_bytes(recipe.edit(path.read_bytes()))
    return Corpus(folder, made, skipped, failed)


def _absent(recipe: Recipe, bench: str) -> str:
    missing = [name for name in recipe.needs if not os.path.exists(os.path.join(bench, name))]
    missing += recipe.missing
    return f"not installed: {', '.join(missing)}" if missing else ""


def _run(recipe: Recipe, bench: str, folder: Path) -> str:
    """What went wrong, or nothing."""
    out = folder.absolute() / recipe.name
    names = {"out": str(out), "tmp": _temporary(recipe)}
    ran = subprocess.run(
        [BASH, "-c", f"set -o pipefail; {recipe.make}"],
        check=False,
        cwd=bench,
        env={**os.environ, **names, **SURROUNDINGS},
        capture_output=True,
        timeout=LONGEST_S,
    )
    if ran.returncode == 0 and out.exists():
        return ""
    out.unlink(missing_ok=True)
    return f"status {ran.returncode}: {ran.stderr.decode(errors='replace')[-300:]}"


def _temporary(recipe: Recipe) -> str:
    return f"tmp-{recipe.name.replace('.', '-')}"


def _tag(tagged: list[Recipe], bench: str, folder: Path) -> None:
    """Write metadata with one exiftool for all: it takes longer to start than to write."""
    if not tagged:
        return
    lines: list[str] = []
    for recipe in tagged:
        lines += [option.replace("$tmp", _temporary(recipe)) for option in recipe.tags]
        lines += [str(folder.absolute() / recipe.name), "-execute"]
    orders = Path(bench) / "exiftool.args"
    orders.write_text("\n".join(lines) + "\n")
    always = ["-common_args", "-overwrite_original", "-q", "-q", "-m", "-charset", "filename=UTF8"]
    ran = subprocess.run(
        ["exiftool", "-@", str(orders), *always],  # noqa: S607 - the one on the path is meant
        check=False,
        cwd=bench,
        capture_output=True,
        text=True,
    )
    if ran.stderr.strip():
        sys.stderr.write(ran.stderr)


def main() -> int:
    """Write the corpus into the folder that is named, and say how it went."""
    started_s = time.monotonic()
    corpus = make(Path(sys.argv[1]))
    seconds = time.monotonic() - started_s
    for title, names in (("skipped", corpus.skipped), ("failed", corpus.failed)):
        for name, reason in names.items():
            print(f"{title}: {name}: {reason}")  # noqa: T201
    print(f"{len(corpus.made)} files in {seconds:.1f} s")  # noqa: T201
    return bool(corpus.failed)


if __name__ == "__main__":
    sys.exit(main())
