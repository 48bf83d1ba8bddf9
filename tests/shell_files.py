"""Man page and shell completion of sharpend, made from its parser.

They are in config/shell/, where `make documents` writes them and `make install` takes them from.
The libraries that make them are needed for that alone.
"""

from __future__ import annotations

from pathlib import Path

import shtab
from argparse_manpage.manpage import Manpage

from sharpend import __version__
from sharpend.cli import EPILOG, parser
from tests.command_line import subcommands

FOLDER = Path(__file__).parent.parent / "config" / "shell"
MAN_PAGE = "sharpend.1"
COMPLETIONS = {"bash": "sharpend.bash", "zsh": "_sharpend", "fish": "sharpend.fish"}
"""The file for each shell, named as it looks for them."""

COMPLETED_BY = {"FILE": shtab.FILE, "PATH": shtab.FILE, "DIR": shtab.DIRECTORY}
"""What is offered for an argument with this name."""

SECTIONS = {
    "exit status": EPILOG.removeprefix("exit status: "),
    "files": """\
/etc/sharpend/sharpend.toml, ~/.config/sharpend/sharpend.toml: settings; config/README.md of the
source explains every key.

/var/lib/sharpend, ~/.local/state/sharpend: state of the service, and of your own daemon.""",
    "environment": """\
SHARPEND_CONFIG: file with the settings. SHARPEND_SECTION__KEY: one setting, as in
SHARPEND_REPORT__EVERY_S=2.""",
}


def write_shell_files() -> None:
    """Renew the man page and the completions."""
    FOLDER.joinpath(MAN_PAGE).write_text(man_page(), encoding="utf-8")
    for shell, name in COMPLETIONS.items():
        FOLDER.joinpath(name).write_text(completion(shell), encoding="utf-8")


def man_page() -> str:
    """Make the man page in roff; it has no date, so that it changes with the parser only."""
    top = parser()
    top.epilog = None
    for command in subcommands(top).values():
        command.description = None  # the list of commands says it
        command.usage = " ".join(command.format_usage().split()[1:])  # filled by man, not by us
    about = {
        "description": "sharpen the images that are dropped into folders",
        "version": __version__,
        "manual_title": "User Commands",
    }
    page = Manpage(top, about, format="single-commands-section")
    page.date = ""
    for heading, text in SECTIONS.items():
        page.add_section(heading, "=", text.replace("\n\n", "\n.PP\n"))
    return str(page)


def completion(shell: str) -> str:
    """Make the completion for `bash`, `zsh` or `fish`."""
    top = parser()
    for command in subcommands(top).values():
        for action in command._actions:
            if action.metavar in COMPLETED_BY:
                action.complete = COMPLETED_BY[action.metavar]  # type: ignore[attr-defined]
    return str(shtab.complete(top, shell))
