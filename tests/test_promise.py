"""The promise against a model, in a few random lives of a folder: see `tests.lives`."""

from __future__ import annotations

import pytest

from sharpend.policies import SourcePolicy
from tests.lives import lives


@pytest.mark.parametrize("policy", SourcePolicy)
def test_the_promise_holds_for_a_few_lives(policy: SourcePolicy) -> None:
    """A handful of short ones, each time the tests run."""
    lives(policy, examples=3, steps=15)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("policy", SourcePolicy)
def test_the_promise_holds_for_many_lives(policy: SourcePolicy) -> None:
    """Hundreds of long ones, the same each time; the campaign tries others, by chance."""
    lives(policy, examples=100, steps=40)
