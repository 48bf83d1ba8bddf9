"""The functions of sharpend as syntax trees, with what is assigned and called in them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parent.parent / "sharpend"
FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A function of sharpend."""

    module: str
    node: FunctionNode

    @property
    def place(self) -> tuple[str, str]:
        """Where it is, as its module and its name."""
        return self.module, self.node.name

    @property
    def named(self) -> list[str]:
        """Its named parameters but `self`."""
        arguments = self.node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        return [one.arg for one in every if one.arg != "self"]

    @property
    def rest(self) -> str | None:
        """Its `**values`."""
        return self.node.args.kwarg.arg if self.node.args.kwarg else None

    def calls(self) -> tuple[ast.Call, ...]:
        """The calls in it."""
        return calls(self.node)

    def local(self, name: str) -> list[ast.expr]:
        """What is assigned to a name in it, or merged into it."""
        return [value for target, value in assigned(self.node) if is_name(target, name)]


@cache
def modules() -> dict[str, ast.Module]:
    """Every module by its name below sharpend."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text())
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@cache
def functions() -> tuple[Function, ...]:
    """Every function and method."""
    return tuple(
        Function(module, node)
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, FunctionNode)
    )


@cache
def calls(tree: ast.AST) -> tuple[ast.Call, ...]:
    """All calls."""
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Call))


@cache
def assigned(tree: ast.AST) -> tuple[tuple[ast.expr, ast.expr], ...]:
    """Targets and values of all assignments."""
    return tuple(_assigned(tree))


def _assigned(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield from ((target, node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and node.value is not None:
            yield node.target, node.value


def is_name(node: ast.expr, name: str) -> bool:
    """Whether this is a variable of that name."""
    return isinstance(node, ast.Name) and node.id == name
