"""What the source of sharpend logs: each event with its levels and keys, read from its calls.

A call of a Log is one of a method named like a level whose first argument is an event. Mappings are
followed to where they are built. What the source alone does not tell is listed here, by function.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from tests.functions import Function, assigned, functions, is_name, modules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LEVELS = frozenset({"debug", "info", "warning", "error"})

MAKERS = {
    "publish": "daemon.report",
    "current_figures": "daemon.report",
    "precision_figures": "daemon.report",
    "summary": "agreement.alarm",
    "figures": "daemon.agreement_samples",
    "recovery_paths": "ledger.opening",
    "finished_keys": "commit.results",
    "event_keys": "daemon.folder",
}
"""Functions and attributes that give a mapping of keys, and the module that builds it."""
GIVEN_BY_CALLER = {("daemon.status", "publish", "window"): "publish"}
"""Parameters that another module fills, and which of MAKERS makes what it gives."""
PASS_ON = {("logs.logs", "write")}
"""Log events as they were given: no keys and no levels of their own."""
AT_THEIR_LEVEL = ("logs.repeats", "_sum_up")
"""Logs at the level of the events that it stands for: those of `_OF_ONE_FILE`."""
BY_STAGE = ("daemon.outcomes", "finished")
"""Makes keys `{stage}_s` of the stages that a worker measures."""
OF_LIBRARIES = ("logs.logs", "_name_the_library")
"""Makes an event of a library's record, at the record's level; the standard library and structlog
add the traceback and the stack that a record may have."""
LEVELS_OF_LIBRARIES = {"warning", "error", "critical"}
KEYS_OF_RECORDS = {"exception", "stack_info"}


@dataclass
class Emitted:
    """The levels and keys of an event, over all its calls."""

    levels: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Site:
    """A call of a function that logs with an event or values that it was given."""

    function: Function
    call: ast.Call


# Events and levels


def events_in(nodes: Iterable[ast.AST]) -> set[str]:
    """The members of `Event` that expressions name."""
    return {
        node.attr
        for top in nodes
        for node in ast.walk(top)
        if isinstance(node, ast.Attribute) and is_name(node.value, "Event")
    }


def events_of(argument: ast.expr, function: Function) -> set[str]:
    """The events that an argument may be: named in it, or assigned to it before."""
    if isinstance(argument, ast.Name):
        return events_in(function.local(argument.id))
    return events_in([argument])


def levels_of(method: ast.expr, function: Function) -> set[str]:
    """The levels of a call: its method's name, or the methods assigned to a variable."""
    nodes = function.local(method.id) if isinstance(method, ast.Name) else [method]
    tops = [node for top in nodes for node in (top, *ast.iter_child_nodes(top))]
    return {node.attr for node in tops if isinstance(node, ast.Attribute)} & LEVELS


def is_dynamic(method: ast.expr) -> bool:
    """Whether a call's method is looked up by name: `getattr(log, level)(...)`."""
    return isinstance(method, ast.Call) and is_name(method.func, "getattr")


def is_log(method: ast.expr) -> bool:
    """Whether a call's method is one of a variable or attribute that is named as a Log is."""
    return isinstance(method, ast.Attribute) and ast.unparse(method.value).endswith("log")


# Keys


def keys_of(call: ast.Call, function: Function) -> set[str]:
    """The keys that a call gives, without those that its function was given."""
    found: set[str] = set()
    for keyword in call.keywords:
        if keyword.arg is not None:
            found.add(keyword.arg)
        elif function.rest is None or not is_name(keyword.value, function.rest):
            found |= keys_in(keyword.value, function)
    return found


def keys_in(value: ast.expr, function: Function) -> set[str]:
    """The keys of a mapping, by the expressions that build it."""
    match value:
        case ast.Dict():
            return keys_of_table(value, function)
        case ast.BinOp(op=ast.BitOr()):
            return keys_in(value.left, function) | keys_in(value.right, function)
        case ast.IfExp():
            return keys_in(value.body, function) | keys_in(value.orelse, function)
        case ast.Name():
            return keys_of_variable(value.id, function)
        case ast.DictComp(key=ast.JoinedStr()) if function.place == BY_STAGE:
            return {f"{stage}_s" for stage in stages()}
        case (
            ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) | ast.Attribute(attr=name)
        ) if name in MAKERS:
            return keys_made_by(name)
    raise AssertionError(f"{function.place}: what keys has {ast.unparse(value)}? See {__name__}")


def keys_of_table(table: ast.Dict, function: Function) -> set[str]:
    """The keys of a table in braces."""
    found: set[str] = set()
    for key, value in zip(table.keys, table.values, strict=True):
        if key is None:
            found |= keys_in(value, function)
        else:
            found.add(ast.literal_eval(key))
    return found


def keys_of_variable(name: str, function: Function) -> set[str]:
    """The keys of a variable: of all that is assigned to it, and those that are set one by one."""
    found = set().union(*(keys_in(value, function) for value in function.local(name)))
    if (maker := GIVEN_BY_CALLER.get((*function.place, name))) is not None:
        found |= keys_made_by(maker)
    for target, _ in assigned(function.node):
        if isinstance(target, ast.Subscript) and is_name(target.value, name):
            found.add(ast.literal_eval(target.slice))
    return found


def keys_made_by(name: str) -> set[str]:
    """The keys of what a method returns, or of what is assigned to an attribute."""
    found: set[str] = set()
    for function in functions():
        if function.module == MAKERS[name]:
            found |= set().union(*(keys_in(one, function) for one in made_in(function, name)))
    assert found, name
    return found


def made_in(function: Function, name: str) -> Iterator[ast.expr]:
    """What a function returns where it has this name, or assigns to such an attribute."""
    for target, value in assigned(function.node):
        is_empty = isinstance(value, ast.Dict) and not value.keys
        if isinstance(target, ast.Attribute) and target.attr == name and not is_empty:
            yield value
    if function.node.name == name:
        for node in ast.walk(function.node):
            if isinstance(node, ast.Return) and node.value is not None:
                yield node.value


@cache
def stages() -> frozenset[str]:
    """The stages that a worker measures."""
    return frozenset(
        ast.literal_eval(call.args[0])
        for function in functions()
        if function.module.startswith("workers.")
        for call in function.calls()
        if isinstance(call.func, ast.Attribute) and call.func.attr == "stage"
        if len(call.args) == 1  # `Place.stage` has two
    )


# All together


def sites_of(function: Function) -> list[Site]:
    """Where a function is called in its own module."""
    return [
        Site(other, call)
        for other in functions()
        if other.module == function.module
        for call in other.calls()
        if isinstance(call.func, ast.Attribute) and call.func.attr == function.node.name
    ]


def emitted() -> dict[str, Emitted]:
    """Levels and keys by the name of the event's member."""
    found: defaultdict[str, Emitted] = defaultdict(Emitted)
    for function in functions():
        if function.place not in PASS_ON:
            for call in function.calls():
                note(call, function, found)
    found["EVENT_REPEATED"].levels |= set().union(
        *(found[event].levels for event in events_of_one_file())
    )
    found["LOGGED_BY_LIBRARY"] = Emitted(LEVELS_OF_LIBRARIES, keys_of_libraries())
    return dict(found)


def note(call: ast.Call, function: Function, found: dict[str, Emitted]) -> None:
    """Enter a call, where it is one of a Log."""
    levels = levels_of(call.func, function)
    if not call.args or not (levels or is_dynamic(call.func)):
        return
    first, own = call.args[0], events_of(call.args[0], function)
    given = isinstance(first, ast.Name) and first.id in function.named
    if not own and not given:
        assert not is_log(call.func), f"{function.place}: which event is {ast.unparse(first)}?"
        return
    assert levels or function.place == AT_THEIR_LEVEL, function.place
    keys = keys_of(call, function)
    for events, more in given_to(function, first) if given or passes_on(call, function) else []:
        enter(found, events or own, levels, keys | more)
    enter(found, own, levels, keys)


def passes_on(call: ast.Call, function: Function) -> bool:
    """Whether a call gives on the `**values` of its function."""
    rest = function.rest
    return rest is not None and any(is_name(one.value, rest) for one in call.keywords)


def given_to(function: Function, first: ast.expr) -> Iterator[tuple[set[str], set[str]]]:
    """The event and the further keys that each caller of a function gives it."""
    for site in sites_of(function):
        keys = keys_of(site.call, site.function) - set(function.named)
        events: set[str] = set()
        if isinstance(first, ast.Name) and first.id in function.named:
            events = events_of(site.call.args[function.named.index(first.id)], site.function)
            assert events, site.function.place
        yield events, keys


def enter(found: dict[str, Emitted], events: set[str], levels: set[str], keys: set[str]) -> None:
    """Add levels and keys to some events."""
    for event in events:
        found[event].levels |= levels
        found[event].keys |= keys


def events_of_one_file() -> set[str]:
    """The events that are limited, and summed up in one that is of their level."""
    tree = modules()[AT_THEIR_LEVEL[0]]
    return events_in(value for target, value in assigned(tree) if is_name(target, "_OF_ONE_FILE"))


def keys_of_libraries() -> set[str]:
    """The keys that a library's record gets."""
    function = next(one for one in functions() if one.place == OF_LIBRARIES)
    return keys_of_variable("message", function) | KEYS_OF_RECORDS
