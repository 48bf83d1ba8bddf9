"""Man page and shell completion in config/shell: complete, current and accepted."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sharpend.cli import parser
from tests.command_line import all_options, subcommands

FOLDER = Path(__file__).parent.parent / "config" / "shell"
MAN_PAGE, BASH, ZSH, FISH = "sharpend.1", "sharpend.bash", "_sharpend", "sharpend.fish"
FILES = (MAN_PAGE, BASH, ZSH, FISH)
CHECKED_BY = {
    MAN_PAGE: ("mandoc", "-T", "lint", "-W", "error"),
    BASH: ("bash", "-n"),
    ZSH: ("zsh", "-n"),
    FISH: ("fish", "--no-execute"),
}
RENEW = "out of date: make documents"


def text(name: str) -> str:
    """Read a file, without roff's escaped hyphens."""
    return (FOLDER / name).read_text(encoding="utf-8").replace("\\-", "-")


def words(told: str) -> str:
    """Reduce a text to its words: each program has its own quotes and escapes."""
    return " ".join(re.findall(r"[\w-]+", re.sub(r"\\f[IRB]|'\"'\"'", "", told)))


def part_of(name: str, command: str) -> str:
    """Cut out of a file what is about one command."""
    if name == MAN_PAGE:
        return text(name).split(f".SS \\fBsharpend {command}\\fR")[1].split("\n.S")[0]
    if name == FISH:
        return "\n".join(re.findall(rf"(?m)^.*_shtab_sharpend_using {command}['; ].*$", text(name)))
    lists = re.findall(rf"(?ms)^_shtab_sharpend_{command}_option\w*=\(\n?(.*?)\)$", text(name))
    return "\n".join(lists)


def has_option(name: str, option: str, part: str) -> bool:
    """Tell whether a part offers an option; fish writes it as `-l state`."""
    spelled = re.sub("^--", "-l ", option) if name == FISH else option
    return re.search(rf"(?<![\w-]){re.escape(spelled)}(?![\w-])", part) is not None


@pytest.mark.parametrize("name", FILES)
def test_each_command_and_option_is_there(name: str) -> None:
    """Every subcommand has a part, and it offers every option of the parser."""
    for command, one in subcommands(parser()).items():
        part = part_of(name, command)
        wanted = all_options(one) - {"-h", "--help"}
        missing = {option for option in wanted if not has_option(name, option, part)}
        assert missing == set(), f"{name}: {command}: {RENEW}"
        assert part or not wanted, f"{name}: {command}: {RENEW}"
        assert command in text(name), f"{name}: {RENEW}"


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_offered_that_is_gone(name: str) -> None:
    """Every option in a file is one of the parser."""
    lines = text(name)
    if name == FISH:
        lines = "\n".join(re.findall("(?m)^complete .*", lines)).replace(" -l ", " --")
    offered = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", lines))
    assert offered - all_options(parser()) - {"--help"} == set(), f"{name}: {RENEW}"
    assert len(offered) > 10


@pytest.mark.parametrize("name", [MAN_PAGE, ZSH, FISH])
def test_the_help_is_the_parsers(name: str) -> None:
    """Every help text of an option is in the file; bash shows none."""
    found = words(text(name))
    for one in subcommands(parser()).values():
        options = (action for action in one._actions if action.option_strings)
        for action in options:
            if action.help and not isinstance(action, argparse._HelpAction):
                assert words(action.help) in found, f"{name}: {RENEW}"


@pytest.mark.parametrize("name", FILES)
def test_its_program_accepts_it(name: str) -> None:
    """The shell or the formatter for which a file is made reads it without an error."""
    check = CHECKED_BY[name]
    if shutil.which(check[0]) is None:
        pytest.skip(f"{check[0]} is not installed")
    ran = subprocess.run([*check, FOLDER / name], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_bash_completes() -> None:
    """A real bash offers the commands, and the options of the command before the cursor."""
    asked = f"""
        source {FOLDER / BASH}
        COMP_WORDS=(sharpend st) COMP_CWORD=1; _shtab_sharpend sharpend st sharpend
        echo "${{COMPREPLY[@]}}"
        COMP_WORDS=(sharpend once --st) COMP_CWORD=2; _shtab_sharpend sharpend --st once
        echo "${{COMPREPLY[@]}}"
    """
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    ran = subprocess.run([bash, "-c", asked], check=True, capture_output=True, text=True)
    commands, options = (set(line.split()) for line in ran.stdout.splitlines())
    known = subcommands(parser())
    assert commands == {command for command in known if command.startswith("st")}
    assert options == {one for one in all_options(known["once"]) if one.startswith("--st")}
