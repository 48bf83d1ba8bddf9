"""Tables of test cases of which a part runs in the fast tests, and all in `make test`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _pytest.mark import ParameterSet


def fast_where(
    is_fast: Callable[..., bool], cases: Iterable[tuple[Any, ...]]
) -> list[ParameterSet]:
    """Mark the other cases of a table as slow.

    Args:
        is_fast: called with the values of a case.
        cases: rows of the table, for `pytest.mark.parametrize`.
    """
    return [pytest.param(*case, marks=() if is_fast(*case) else pytest.mark.slow) for case in cases]
