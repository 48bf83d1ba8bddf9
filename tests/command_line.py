"""Commands and options of a program, read from its argparse parser."""

from __future__ import annotations

import argparse


def all_options(one: argparse.ArgumentParser) -> frozenset[str]:
    """List the options of a parser and of those below it."""
    own = {option for action in one._actions for option in action.option_strings}
    return frozenset(own.union(*map(all_options, subcommands(one).values())))


def subcommands(one: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Map a parser's commands to their parsers."""
    for action in one._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
