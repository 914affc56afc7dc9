"""Modes of budgets that operators have switched, beside the policy that was loaded.

A switch that the store keeps names the policy by its hash. So it acts wherever that policy runs,
and ends when another is loaded. One that no store keeps is this process's.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from querybudget.limiter.analysis import PromptAnalyzer
from querybudget.limiter.notices import fingerprint
from querybudget.limiter.rules import Rules
from querybudget.overrides import SWITCHES, Effect, Override
from querybudget.policy.model import Mode, Policy
from querybudget.text import nearest

_EFFECTS = {Mode.ENFORCE: Effect.ENFORCE, Mode.SHADOW: Effect.SHADOW}
_MODES = {effect: mode for mode, effect in _EFFECTS.items()}


class Switches:
    """The switches of one policy.

    Args:
        policy: As it was loaded.

    Attributes:
        policy: As given.
        account: What a stored switch names.
        local: Modes that were switched in this process alone, by the budget's name.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.account = f"policy:{fingerprint(policy)}"
        self.local: dict[str, Mode] = {}

    def applied(self, entries: Iterable[Override]) -> Policy:
        """Return the policy with its modes switched."""
        modes = {
            entry.budget: _MODES[entry.effect]
            for entry in entries
            if entry.effect in SWITCHES and entry.account == self.account
        } | self.local
        budgets = self.policy.budgets
        if all(modes.get(each.name, each.mode) is each.mode for each in budgets):
            return self.policy
        switched = (replace(each, mode=modes.get(each.name, each.mode)) for each in budgets)
        return replace(self.policy, budgets=tuple(switched))

    def rules(
        self, entries: Iterable[Override], rules: Rules, analyzer: PromptAnalyzer | None
    ) -> Rules:
        """Return the rules with their modes switched: the same, if they are so already."""
        policy = self.applied(entries)
        return rules if policy == rules.policy else Rules(policy, rules.hashed, analyzer, rules)

    def switch_here(self, budget: str, mode: Mode) -> None:
        """Switch a mode in this process alone.

        Raises:
            LookupError: There is no such budget.
        """
        self._check(budget)
        self.local[budget] = mode

    def switch(self, budget: str, mode: Mode) -> Override:
        """Return a switch for a store to keep. Each budget has one at most, by its id.

        Raises:
            LookupError: There is no such budget.
        """
        self._check(budget)
        return Override(f"mode-{budget}", self.account, budget, _EFFECTS[mode])

    def is_own(self, budget: str, mode: Mode) -> bool:
        """Return True if the policy itself says this mode."""
        return any(each.name == budget and each.mode is mode for each in self.policy.budgets)

    def _check(self, budget: str) -> None:
        """Raise `LookupError` if there is no such budget."""
        names = [each.name for each in self.policy.budgets]
        if budget not in names:
            raise LookupError(f"there is no budget {budget!r}{nearest(budget, names)}")
