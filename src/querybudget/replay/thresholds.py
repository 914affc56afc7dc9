"""Conditions on what a replay found, such as ``refused > 0.1%``, for scripts and CI."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

import msgspec

from querybudget.errors import SetupError
from querybudget.policy.model import Policy
from querybudget.replay.results import Changed, Count, Happening, Played, Replayed
from querybudget.replay.tallies import BLOCKED, NO_PRICE
from querybudget.text import listed, nearest

CALLERS = "callers_"
"""Prefix of figures that count identities, and whose shares are of all identities."""

_COMPARISON = re.compile(
    r"\s*(?P<name>[a-z_]+)(?::(?P<budget>[\w()\-]+(?: [\w()\-]+)*))?\s*(?P<sign><=|>=|==|!=|<|>)"
    r"\s*(?P<number>\d[\d_]*(?:\.\d+)?)\s*(?P<percent>%?)\s*",
    re.ASCII,
)
_JOINED = re.compile(r"\s(and|or)\s")
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_PLAIN = ("calls", "callers", "malformed", "late", "differed", "not_replayed")
_CHANGES = (
    "newly_refused",
    "no_longer_refused",
    "newly_slowed",
    "no_longer_slowed",
    "newly_priced",
    "no_longer_priced",
)
_HAPPENED = ("disturbed", *(what.value for what in Happening))
NAMES = (
    *_PLAIN,
    *_HAPPENED,
    *(f"{CALLERS}{name}" for name in _HAPPENED),
    *_CHANGES,
    *(f"{CALLERS}{name}" for name in _CHANGES),
)
"""The figures that a condition may name."""


class Comparison(msgspec.Struct, frozen=True):
    """One comparison of a figure with a number.

    Attributes:
        name: One of `NAMES`.
        budget: Only what this budget does; empty for all.
        sign: How it is compared.
        number: With what.
        percent: Whether that is a share, in percent.
    """

    name: str
    budget: str
    sign: str
    number: float
    percent: bool

    def holds(self, replayed: Replayed) -> bool:
        """Return True if what was found is so."""
        return _SIGNS[self.sign](self._found(replayed), self.number)

    def found(self, replayed: Replayed) -> str:
        """Return what was found, in words: ``callers_refused is 2.5%``."""
        budget = f":{self.budget}" if self.budget else ""
        sign = "%" if self.percent else ""
        return f"{self.name}{budget} is {self._found(replayed):.6g}{sign}"

    def _found(self, replayed: Replayed) -> float:
        found = float(figure(replayed, self.name, self.budget))
        if self.percent:
            policy = replayed.policy
            whole = policy.callers if self.name.startswith(CALLERS) else policy.calls
            found = 100 * found / whole if whole else 0.0
        return found


class Condition(msgspec.Struct, frozen=True):
    """Comparisons: it holds if all of any one group hold.

    Attributes:
        text: As written.
        groups: ``a and b or c`` is ``((a, b), (c,))``.
    """

    text: str
    groups: tuple[tuple[Comparison, ...], ...]

    def holds(self, replayed: Replayed) -> bool:
        """Return True if what was found is so."""
        return any(all(one.holds(replayed) for one in group) for group in self.groups)

    def found(self, replayed: Replayed) -> str:
        """Return what was found of each figure that it names, in words."""
        return ", ".join(
            dict.fromkeys(one.found(replayed) for group in self.groups for one in group)
        )

    def check(self, *policies: Policy | None) -> None:
        """Check that there is what it asks about, so that a misspelt condition does not hold back.

        Args:
            policies: That of the replay, and the one to compare with or None.

        Raises:
            SetupError: No policy has such a budget, or there is no other policy to compare with.
        """
        known = {NO_PRICE, BLOCKED} | {
            budget.name for policy in policies if policy for budget in policy.budgets
        }
        for one in (one for group in self.groups for one in group):
            if one.budget and one.budget not in known:
                raise SetupError(
                    f"expected in {self.text!r} one of the budgets {listed(sorted(known))},"
                    f" found {one.budget!r}{nearest(one.budget, known)}"
                )
            if one.name.removeprefix(CALLERS) in _CHANGES and None in policies:
                raise SetupError(
                    f"{self.text!r} compares two policies: name the other by --against"
                )


def condition(text: str) -> Condition:
    """Return what a text says: comparisons joined by ``and``, groups of them by ``or``.

    Raises:
        ValueError: It is no such text, or names no figure that there is.
    """
    groups: list[list[Comparison]] = [[]]
    words = _JOINED.split(text)
    groups[0].append(_comparison(words[0]))
    for joint, comparison in zip(words[1::2], words[2::2], strict=True):
        if joint == "or":
            groups.append([])
        groups[-1].append(_comparison(comparison))
    return Condition(text, tuple(tuple(group) for group in groups))


def figure(replayed: Replayed, name: str, budget: str = "") -> int:
    """Return a figure of what was found.

    Args:
        replayed: What was found.
        name: One of `NAMES`.
        budget: Only what this budget does; empty for all.
    """
    policy, callers = replayed.policy, name.startswith(CALLERS)
    bare = name.removeprefix(CALLERS)
    if bare in _CHANGES:
        changed: Changed = getattr(replayed.difference, bare, Changed())
        calls = changed.budgets.get(budget, 0) if budget else changed.calls
        return changed.callers if callers else calls
    if bare == "disturbed":
        return policy.callers_disturbed if callers else policy.disturbed
    if bare in _HAPPENED:
        count = _count(policy, Happening(bare), budget)
        return count.callers if callers else count.calls
    if name in {"malformed", "late"}:
        return int(getattr(replayed, name))
    return len(policy.not_replayed) if name == "not_replayed" else int(getattr(policy, name))


def _count(policy: Played, what: Happening, budget: str) -> Count:
    counts = policy.budgets if budget else policy.totals
    found = (count for count in counts if count.what is what and count.budget == budget)
    return next(found, Count(what=what))


def _comparison(text: str) -> Comparison:
    found = _COMPARISON.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a condition such as `refused > 0.1%`, found {text.strip()!r}")
    name, budget = found["name"], (found["budget"] or "").strip()
    if name not in NAMES:
        known = listed(NAMES)
        raise ValueError(f"expected one of {known}, found {name!r}{nearest(name, NAMES)}")
    if budget and (name in _PLAIN or name.endswith("disturbed")):
        raise ValueError(f"expected no budget after `{name}`, found {budget!r}")
    number = float(found["number"].replace("_", ""))
    return Comparison(name, budget, found["sign"], number, bool(found["percent"]))
