"""The pages: each command, option, key, variable, event, path and link that they name exists."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from sharpend.cli import parser
from sharpend.errors import ExitCode
from sharpend.logs.events import Event
from sharpend.settings.folder import FolderSettings
from sharpend.settings.hook import HookSettings
from sharpend.settings.schema import Settings
from tests.command_line import all_options, subcommands
from tests.outside_tools import PROVIDES, packages
from trainer.cli import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
TOPS = ("sharpend", "trainer", "config", "systemd", "tests")
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in [*ROOT.glob("*.md"), *(p for top in TOPS for p in (ROOT / top).rglob("README.md"))]
)
LONGEST_LANDING_PAGE = 150
FENCED = re.compile(r"(?ms)^```\w*\n(.*?)^```$")
INDENTED = re.compile(r"(?m)(?:^ {4}.*\n)+")
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
OPTION = re.compile(r"--[a-z][a-z-]*")
BESIDE = {"tests.campaign": "tests/campaign/__main__.py", "tests.soak": "tests/soak.py"}
"""Programs among the tests, and where their options are."""
FOREIGN = {"--help", "--version", "--no-install-recommends", "--now", "--user"}
FOREIGN |= {"--build-arg", "--env", "--format", "--memory", "--stop-timeout", "--userns"}
"""Options of other programs, and those that every command has."""
FILES = {"conf", "db", "json", "md", "pdf", "png", "pt", "py", "service", "toml", "txt"}
"""Endings that tell the name of a file from a key or an event."""


# What the pages say


@cache
def text(page: str) -> str:
    """A page."""
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def blocks(page: str) -> list[str]:
    """Code blocks, fenced or indented."""
    indented = INDENTED.findall(FENCED.sub("\n", text(page)))
    return FENCED.findall(text(page)) + [re.sub(r"(?m)^ {4}", "", one) for one in indented]


@cache
def spans(page: str) -> list[str]:
    """Code inside sentences; what is broken over two lines is one."""
    rest = INDENTED.sub("\n", FENCED.sub("\n", text(page)))
    return [" ".join(one.split()) for one in SPAN.findall(rest)]


def lines(page: str) -> Iterator[list[str]]:
    """What may be a command line, as words."""
    for block in blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            yield words(line)
    for span in spans(page):
        yield words(span)


def words(line: str) -> list[str]:
    """A shell's words, without a prompt and what is before the program."""
    try:
        found = shlex.split(line, comments=True)
    except ValueError:  # an apostrophe: no command line
        found = line.split()
    while found and (found[0] in {"$", "sudo"} or re.fullmatch(r"[A-Z_]+=\S*", found[0])):
        found = found[1:]
    if "-m" in found[:5] and found[0].rsplit("/", 1)[-1] in {"python", "torchrun"}:
        found = found[found.index("-m") + 1 :]
    return [found[0].removeprefix(".venv/bin/"), *found[1:]] if found else []


# What there is


@cache
def options_of(program: str, command: str) -> frozenset[str]:
    """The options of a command, by its real parser."""
    if program == "sharpend":
        return all_options(subcommands(parser())[command])
    own = argparse.ArgumentParser()
    import_module(f"trainer.commands.{COMMANDS[command][0]}").add_arguments(own)
    return all_options(own)


def commands_of(program: str) -> set[str]:
    """The commands of a program of ours."""
    return set(subcommands(parser()) if program == "sharpend" else COMMANDS)


def options_beside(module: str) -> set[str]:
    """The options of a program among the tests, by its source."""
    return set(OPTION.findall((ROOT / BESIDE[module]).read_text()))


@cache
def targets() -> frozenset[str]:
    """The targets of the Makefile."""
    return frozenset(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))


@cache
def known_options() -> frozenset[str]:
    """Every option of every program."""
    ours = {o for p in ("sharpend", "trainer") for c in commands_of(p) for o in options_of(p, c)}
    return frozenset(ours.union(FOREIGN, *map(options_beside, BESIDE)))


@cache
def settings() -> dict[str, frozenset[str]]:
    """The keys of each section; those of no section below an empty name."""
    found = {
        "folder": frozenset(FolderSettings.model_fields),
        "hook": frozenset(HookSettings.model_fields),
    }
    for section, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found[section] = frozenset(field.annotation.model_fields)
    return {"": frozenset(set(Settings.model_fields) - set(found)), **found}


@cache
def recipe_keys() -> frozenset[str]:
    """The keys that the shipped recipes of the trainer set."""
    recipes = [tomllib.loads(p.read_text()) for p in (ROOT / "trainer/recipes").rglob("*.toml")]
    tables = [(name, table) for recipe in recipes for name, table in recipe.items()]
    return frozenset(
        f"{s}.{key}" for s, table in tables if isinstance(table, dict) for key in table
    )


@cache
def sources() -> str:
    """Everything that may read a variable of the environment or name a constant."""
    files = [ROOT / "Makefile", ROOT / ".ci/run", *(ROOT / "systemd").rglob("*.*")]
    files += [
        path for top in ("sharpend", "trainer", "tests") for path in (ROOT / top).rglob("*.py")
    ]
    here = Path(__file__)
    return "\n".join(path.read_text() for path in files if path.is_file() and path != here)


# The checks: each returns what is wrong


def wrong_command(found: list[str]) -> str:
    """What does not exist of a command line."""
    program, rest = found[0], found[1:]
    if program in {"sharpend", "trainer"} and rest and re.fullmatch(r"[a-z]+", rest[0]):
        if rest[0] not in commands_of(program):
            return f"no command {rest[0]}"
        known = options_of(program, rest[0])
    elif program in BESIDE:
        known = frozenset(options_beside(program))
    elif program == "make":
        asked = [word for word in rest if re.fullmatch(r"[a-z-]+", word)]
        return ", ".join(f"no target {word}" for word in asked if word not in targets())
    else:
        return ""
    given = {word.split("=")[0] for word in rest if OPTION.match(word)}
    return ", ".join(f"no option {option}" for option in sorted(given - known - {"--help"}))


def wrong_name(span: str) -> str:
    """What does not exist of a key, event, option or table that a code span names."""
    if OPTION.match(span):
        option = re.split(r"[ =]", span)[0]
        return "" if option in known_options() else "no such option"
    if found := re.match(r"\[{1,2}([a-z_]+)\]{1,2}(?: ([a-z_]+))?", span):
        section, key = found[1], found[2]
        known = section in settings() and (key is None or key in settings()[section])
        return "" if known else "no such section or key"
    if found := re.match(r"([a-z_]+) = ", span):
        known = any(found[1] in keys for keys in settings().values())
        return "" if known else "no such key"
    if found := re.fullmatch(r"([a-z_]+)\.([a-z_0-9]+)", span):
        return "" if found[2] in FILES or is_dotted_name(*found.groups()) else "no key or event"
    return ""


def is_dotted_name(first: str, second: str) -> bool:
    """Whether this is a key of the settings or of a recipe, or an event."""
    return (
        second in settings().get(first, ())
        or f"{first}.{second}" in {event.value for event in Event}
        or f"{first}.{second}" in recipe_keys()
    )


def wrong_path(span: str) -> str:
    """A file or folder of the repository that is not there."""
    named = re.fullmatch(rf"((?:{'|'.join(TOPS)}|\.ci)/[\w./@-]*)", span)
    if named is None or (ROOT / span).exists():
        return ""
    return "no such file"


def wrong_link(page: str, target: str) -> str:
    """A relative link that leads nowhere."""
    path, _, anchor = target.partition("#")
    if re.match(r"[a-z]+:", target):
        return ""
    there = (ROOT / page).parent / path if path else ROOT / page
    if not there.exists():
        return "no such file"
    return "" if not anchor or anchor in anchors(there) else "no such heading"


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", one).strip().lower().replace(" ", "-") for one in headings}


# The tests


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page: str) -> None:
    """Every command line of ours is one that the parsers and the Makefile know."""
    wrong = {
        " ".join(line): fault for line in lines(page) if line and (fault := wrong_command(line))
    }
    assert wrong == {}


@pytest.mark.parametrize("page", PAGES)
def test_keys_events_and_paths_exist(page: str) -> None:
    """Every key, table, event, option and path in a sentence exists."""
    wrong = {span: fault for span in spans(page) if (fault := wrong_name(span) or wrong_path(span))}
    assert wrong == {}


@pytest.mark.parametrize("page", PAGES)
def test_variables_exist(page: str) -> None:
    """Every variable of ours is one of a setting; every other is read or set somewhere."""
    code = "\n".join([*blocks(page), *spans(page)])
    ours = {f"SHARPEND_{s}__{key}".upper() for s, keys in settings().items() for key in keys}
    ours |= {"SHARPEND_CONFIG", "SHARPEND_STATE"}
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_+[A-Z0-9]+)+\b", code))
    wrong = {one for one in named if one not in (ours if "SHARPEND_" in one else sources())}
    assert wrong == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link has its file, and its heading."""
    wrong = {one: fault for one in LINK.findall(text(page)) if (fault := wrong_link(page, one))}
    assert wrong == {}


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_settings_are_settings(page: str) -> None:
    """A block that has a table of the settings is TOML that names keys which exist."""
    for block in blocks(page):
        if re.search(rf"(?m)^\[+(?:{'|'.join(filter(None, settings()))})\]+", block):
            for section, table in tomllib.loads(block).items():
                tables = table if isinstance(table, list) else [table]
                assert all(set(one) <= settings()[section] for one in tables), block


def test_the_landing_page_is_short() -> None:
    """README.md is read in a minute; everything else is a link away."""
    assert len(text("README.md").splitlines()) <= LONGEST_LANDING_PAGE


def test_the_reference_is_complete() -> None:
    """config/README.md names every key, event and exit status."""
    page = "config/README.md"
    named = set(spans(page))
    events = {event.value for event in Event}
    assert events - named == set()
    for section, keys in settings().items():
        bare = section in {"", "folder", "hook", "model", "pictures"}
        wanted = {key if bare else f"{section}.{key}" for key in keys}
        assert wanted - named == set(), section
    for code in ExitCode:
        assert f"| {code.value} | " in text(page), code


def test_each_package_of_ci_is_known_by_what_it_brings() -> None:
    """The list in `.ci/run` and the table that reports what is missing are the same packages."""
    assert sorted(packages()) == sorted(PROVIDES)
