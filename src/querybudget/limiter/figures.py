"""Which figures a caller may see: none from which a price could be read.

The price of a call follows from how far its caller has come in budgets of buckets, which no caller
may know. What is left of a budget falls by the price. So its figures are withheld while the price
is not 1, and after that until nothing that was charged at such a price counts any more.
"""

from __future__ import annotations

from collections import OrderedDict

from querybudget.limiter.admission import Admission
from querybudget.units import MICRO

CALLERS = 100_000
"""Callers remembered; the one whose last price was longest ago is forgotten first."""


class WithheldFigures:
    """The callers whose figures are withheld.

    Args:
        callers: How many are remembered.
    """

    def __init__(self, callers: int = CALLERS) -> None:
        self._callers = callers
        self._until: OrderedDict[str, int] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._until)

    def note(self, admission: Admission) -> None:
        """Note the price that a call was decided at, and mark it if its figures are withheld."""
        decision, key = admission.decision, admission.identity.key
        until = self._until.get(key, 0)
        if decision is not None and decision.price != MICRO:
            private = admission.plan.private
            resets = (s.reset for s in decision.lines if s.line.quota.name in private)
            self._until[key] = max(until, admission.at + max(resets, default=0))
            self._until.move_to_end(key)
            if len(self._until) > self._callers:
                self._until.popitem(last=False)
            admission.withheld = True
        elif until > admission.at:
            admission.withheld = True
        elif until:
            del self._until[key]
