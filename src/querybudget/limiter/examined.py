"""What a call contains: the facts that decide which budgets apply, and its buckets."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from querybudget.adapters.base import Call
from querybudget.coverage import Observation
from querybudget.limiter.analysis import PromptAnalyzer
from querybudget.limiter.partitions import subject_pool
from querybudget.limiter.plans import Caller
from querybudget.policy.match import OPAQUE_TEXT, opaque_bits

if TYPE_CHECKING:
    from querybudget.limiter.matching import Matcher
    from querybudget.limiter.route import Route


class Examined(msgspec.Struct, frozen=True):
    """What a call contains.

    Attributes:
        observation: What its analysis shows; None if it was not analyzed.
        opaque: Kinds of what cannot be read in it, as bits in the order of `OPAQUE`.
        pools: `Partitions.templates` of it.
        subject: The pool of its template's subject; empty for none.
    """

    observation: Observation | None = None
    opaque: int = 0
    pools: tuple[str, ...] = ()
    subject: str = ""

    @property
    def capabilities(self) -> int:
        """Bits of its capabilities; 0 if it was not analyzed."""
        return self.observation.capabilities if self.observation is not None else 0


REMEMBERED = 1 << 14
"""Hashes of opaque parts of admitted calls that are remembered, of all callers."""

_REFERENCE = "reference"
_TEXT = opaque_bits((OPAQUE_TEXT,))

NOT_EXAMINED = Examined()
"""For a call whose content no budget asks about."""


class Examiner:
    """Finds out what calls contain.

    Args:
        matcher: Says which budgets a call may have.
        analyzer: Analyzes what calls ask, if anything does.
    """

    def __init__(self, matcher: Matcher, analyzer: PromptAnalyzer | None) -> None:
        self._matcher = matcher
        self._analyzer = analyzer
        self._admitted: OrderedDict[tuple[str, int], None] = OrderedDict()

    async def examine(self, caller: Caller, route: Route, call: Call) -> Examined:
        """Return what a call contains, as far as the budgets of its route ask.

        Text that is no language counts until a call with it is admitted. After that it does not: a
        conversation sends it again with each turn.
        """
        matcher, analyzer = self._matcher, self._analyzer
        kinds = opaque_bits(one.kind for one in call.opaque)
        examined = Examined(None, kinds, matcher.templates(caller, call))
        if analyzer is None or not matcher.plan(caller, route, call, examined).needs_analysis:
            return examined
        key = caller.identity.key
        observation = await analyzer.analyze(call, key)
        # More than the adapter found, which knows no text and whose references are not analyzed.
        if len(observation.opaque) > len({one for one in call.opaque if one.kind != _REFERENCE}):
            new = any((key, digest) not in self._admitted for digest in observation.opaque)
            kinds |= new and _TEXT
        return Examined(observation, kinds, examined.pools, subject_pool(observation.subject))

    def note(self, caller: Caller, examined: Examined) -> None:
        """Remember the opaque text of an admitted call."""
        if examined.opaque & _TEXT and examined.observation is not None:
            key = caller.identity.key
            for digest in examined.observation.opaque:
                self._admitted[key, digest] = None
                self._admitted.move_to_end((key, digest))
            while len(self._admitted) > REMEMBERED:
                self._admitted.popitem(last=False)
