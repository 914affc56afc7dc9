"""What is wrong with a change that an operator asks for, and what it says in words."""

from __future__ import annotations

from collections.abc import Sequence

from querybudget.errors import SetupError
from querybudget.notation import LARGEST
from querybudget.overrides import ANY_BUDGET, SWITCHES, Effect, Override
from querybudget.policy.model import Budget
from querybudget.text import in_units, listed, moment, nearest
from querybudget.units import MICRO, Unit

ACTIONS = {
    "grant": Effect.LIMIT,
    "override": Effect.LIMIT,
    "allow": Effect.ALLOW,
    "block": Effect.BLOCK,
}
"""What a change may be called, and what it does."""


def check_change(entry: Override, action: str, budgets: Sequence[Budget], now: int) -> None:
    """Check an override that an operator wants to add.

    Args:
        entry: The override.
        action: One of `ACTIONS`.
        budgets: The policy's.
        now: µs since the epoch.

    Raises:
        SetupError: It cannot work. The message says what was expected.
    """
    if action not in ACTIONS:
        near = nearest(action, ACTIONS)
        raise SetupError(f"expected {listed(ACTIONS)}, found {action!r}{near}")
    if entry.effect is not ACTIONS[action]:
        raise SetupError(f"expected effect {ACTIONS[action].value!r} of {action!r}")
    if entry.until and entry.until <= now:
        raise SetupError(f"expected an end in the future, found {moment(entry.until)}")
    names = [budget.name for budget in budgets]
    known = [ANY_BUDGET, *names, *(unit.value for unit in Unit)]
    if entry.budget not in known:
        near = nearest(entry.budget, known)
        raise SetupError(f"expected a budget or a unit, found {entry.budget!r}{near}")
    changes = (entry.limit, entry.factor, entry.amount) != (0, MICRO, 0)
    if entry.effect is not Effect.LIMIT:
        if changes:
            raise SetupError(f"expected no limit, factor or amount beside {action!r}")
        if entry.effect is Effect.BLOCK and entry.budget != ANY_BUDGET:
            raise SetupError("expected no budget: whoever is blocked is refused by all of them")
        return
    if not changes:
        raise SetupError("expected a limit, a factor or an amount, found none")
    _check_figures(entry, [b for b in budgets if entry.applies(b.name, b.quota.unit, 0)])


def _check_figures(entry: Override, budgets: Sequence[Budget]) -> None:
    if entry.factor <= 0:
        raise SetupError("expected a factor above zero (to refuse every call, block the caller)")
    if entry.limit < 0:
        raise SetupError("expected a limit above zero")
    if not budgets:
        raise SetupError(f"expected a unit that a budget counts, found {entry.budget!r}")
    for budget in budgets:
        limit = (entry.limit or budget.quota.limit) * entry.factor // MICRO + entry.amount
        if limit > LARGEST:
            raise SetupError(f"expected less: the limit of {budget.name!r} is too large to count")
        if limit <= 0:
            raise SetupError(
                f"expected a limit of {budget.name!r} above zero (to refuse every call, block the"
                " caller)"
            )


def change_in_words(entry: Override) -> str:
    """Return what an override does, for the audit log."""
    budget = "all budgets" if entry.budget == ANY_BUDGET else entry.budget
    end = f" until {moment(entry.until)}" if entry.until else ""
    if entry.effect is Effect.BLOCK:
        return f"refuse every call{end}"
    if entry.effect in SWITCHES:
        return f"{budget}: mode {entry.effect.value}"
    if entry.effect is Effect.ALLOW:
        return f"{budget}: count, and refuse nothing{end}"
    steps = [f"limit {in_units(entry.limit)}"] if entry.limit else []
    steps += [f"limit x {in_units(entry.factor)}"] if entry.factor != MICRO else []
    sign = "+" if entry.amount > 0 else "-"
    steps += [f"limit {sign} {in_units(abs(entry.amount))}"] if entry.amount else []
    return f"{budget}: {', then '.join(steps)}{end}"
