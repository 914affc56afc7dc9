from __future__ import annotations

import pytest

from querybudget.errors import SetupError
from querybudget.policy.model import Policy
from querybudget.replay.results import Changed, Count, Difference, Happening, Played, Replayed
from querybudget.replay.thresholds import NAMES, condition, figure

PLAYED = Played(
    policy="p.yaml",
    calls=1_000,
    callers=50,
    disturbed=12,
    callers_disturbed=3,
    totals=(Count(what=Happening.REFUSED, calls=10, callers=2),),
    budgets=(Count(what=Happening.REFUSED, budget="day", calls=4, callers=1),),
)
FOUND = Replayed(
    logs=("log",),
    policy=PLAYED,
    malformed=7,
    difference=Difference(newly_refused=Changed(5, 1, {"day": 5})),
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("refused > 0.9%", True),
        ("refused > 1%", False),
        ("refused>=1%", True),
        ("callers_refused == 2", True),
        ("callers_refused > 3.9%", True),
        ("callers_refused > 4 %", False),
        ("disturbed > 11 and callers_disturbed < 3", False),
        ("disturbed > 11 and callers_disturbed < 4", True),
        ("disturbed > 99 or malformed != 0", True),
        ("refused:day == 4", True),
        ("refused:pace > 0", False),
        ("newly_refused:day == 5", True),
        ("callers_newly_refused >= 2%", True),
        ("no_longer_refused > 0", False),
        ("calls < 1_000", False),
        ("slowed > 0", False),
    ],
)
def test_a_condition_holds_if_the_figures_are_so(text: str, *, holds: bool) -> None:
    assert condition(text).holds(FOUND) is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("refusd > 1", "did you mean `refused`"),
        ("refused", "such as `refused > 0.1%`"),
        ("refused > x", "such as"),
        ("", "such as"),
        ("refused > 1 and", "such as"),
        ("callers_disturbed:day > 1", "expected no budget after `callers_disturbed`"),
    ],
)
def test_what_is_no_condition_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        condition(text)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_a_figure(name: str) -> None:
    assert figure(FOUND, name) >= 0
    assert not condition(f"{name} < 0").holds(FOUND)


@pytest.mark.parametrize("text", ["refused:paec > 0", "newly_refused > 0"])
def test_a_condition_about_what_is_not_there_is_an_error(text: str) -> None:
    policy = Policy.load({"version": 1, "budgets": [{"name": "pace", "limit": "1 request/day"}]})
    condition("refused:pace > 0 or refused:(blocked) > 0").check(policy, None)
    with pytest.raises(SetupError, match=r"did you mean `pace`|--against"):
        condition(text).check(policy, None)
