"""One policy at work: all that is made of it, which a reload replaces as a whole.

A route remembers by which rules it was found, so a request is decided by one policy from its route
to its charge, whatever is loaded meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from querybudget.adapters.base import Usage
from querybudget.identity import Identity, KeyedHash, Scope, chain, identify, resolver, tier_rules
from querybudget.identity.account_parts import part_of
from querybudget.identity.tiers import TiersOf, asks_history, tiers_by_history
from querybudget.limiter.admission import Admission
from querybudget.limiter.analysis import PromptAnalyzer
from querybudget.limiter.examined import Examiner
from querybudget.limiter.figures import WithheldFigures
from querybudget.limiter.histories import Histories, Prices
from querybudget.limiter.matching import Matcher
from querybudget.limiter.notices import fingerprint
from querybudget.limiter.overriding import OverrideTable
from querybudget.limiter.plans import Caller
from querybudget.overrides import CHANGES, Effect, Override
from querybudget.policy.history import NEWCOMER
from querybudget.policy.linking import GROUP
from querybudget.policy.model import Policy
from querybudget.policy.naming import CallerName, NamedOverride

_LINK, _UNLINK = Effect.LINK, Effect.UNLINK


class Rules:
    """What decides calls under one policy.

    Args:
        policy: The policy.
        hashed: Hashes the names of callers.
        analyzer: Analyzes what calls ask; None if nothing does.
        former: The rules that these replace, from which they take what was learnt.
        histories: Of callers; by default, those of the former rules.

    Attributes:
        policy: As given.
        hash: Its fingerprint.
        hashed, analyzer: As given.
        sources: What `Identity.source` can be.
        matcher: Which budgets apply to a call.
        examiner: Finds out what calls contain.
        withheld: Which figures no caller may see; None if a price cannot be read from any.
        overrides: Those that apply; None if there are none.
        histories: Of callers; None if no tier asks for them.
        remembered: Those of callers, also if no tier asks.
    """

    def __init__(
        self,
        policy: Policy,
        hashed: KeyedHash,
        analyzer: PromptAnalyzer | None,
        former: Rules | None = None,
        histories: Histories | None = None,
    ) -> None:
        self.policy, self.hash, self.hashed = policy, fingerprint(policy), hashed
        self.analyzer: PromptAnalyzer | None = analyzer
        self._chain = chain(policy.identity)
        self.sources = tuple(source for source, _ in self._chain)
        pools = {name: resolver(each.resolver) for name, each in policy.partitions.items()}
        self.remembered: Histories | None = former.remembered if former else histories
        self.histories = self.remembered if asks_history(policy.tiers) else None
        self._tiers = tier_rules(policy.tiers, self.part_of, pools)
        if self.histories is not None:
            self._prices = Prices(policy)
            self._by_history: TiersOf = tiers_by_history(policy.tiers, self.part_of, pools)
            self._tiers = self._tiers_now
        names = analyzer.names if analyzer else ()
        self.matcher: Matcher = Matcher(
            policy, hashed, names, rules=self, former=former.matcher if former else None
        )
        self.examiner = Examiner(self.matcher, analyzer)
        self.withheld: WithheldFigures | None = (former and former.withheld) or (
            WithheldFigures() if self.matcher.counts_buckets else None
        )
        self.overrides: OverrideTable | None = None
        self._own = tuple(self.placed(each) for each in policy.overrides)
        self.apply(())

    def caller_for(self, scope: Scope) -> Caller:
        """Return the sender of a request; a newcomer, if only the store could say otherwise."""
        identity = identify(self._chain, self.hashed, scope)
        return Caller(identity, self._tiers(identity, scope), scope)

    def _tiers_now(self, identity: Identity, scope: Scope) -> tuple[str, ...]:
        """Return the tiers of a caller by what this process knows of it."""
        histories = self.histories
        if histories is None:
            return self._by_history(identity, scope, NEWCOMER, 0)
        return self._by_history(identity, scope, histories.known(identity.key), histories.clock())

    async def with_history(self, caller: Caller) -> Caller:
        """Return a caller with the tiers that it has by what the store knows of it."""
        if self.histories is None:
            return caller
        await self.histories.look(caller.identity.key)
        tiers = self._tiers_now(caller.identity, caller.scope)
        return caller if tiers == caller.tiers else replace(caller, tiers=tiers)

    def note(self, admission: Admission, usage: Usage) -> None:
        """Note an answered call of a verified caller, of which names and histories are learnt."""
        key, call = admission.identity.key, admission.call
        self.matcher.note(key, call)
        if self.histories is not None and admission.reserved is not None:
            charge = admission.reserved.charge
            self.histories.note(key, call, usage, self._prices, charge)

    def note_trouble(self, admission: Admission) -> None:
        """Note that a call is slowed, degraded or refused, for the history of its caller."""
        if self.histories is not None:
            self.histories.trouble(admission)

    def part_of(self, who: CallerName) -> str:
        """Return the part of an account's key that is a caller's, or a pool's.

        Raises:
            SetupError: The policy does not identify callers by this.
        """
        return part_of(who, self.policy.identity, self.policy.partitions, self.hashed)

    @property
    def joins(self) -> bool:
        """Whether any account's key has several parts, so that one part may be in several keys."""
        return any(len(budget.per) > 1 for budget in self.policy.budgets)

    def placed(self, named: NamedOverride) -> Override:
        """Return an override with the part of an account's key that it is for."""
        return replace(named.override, account=self.part_of(named.who))

    def apply(self, entries: Sequence[Override]) -> None:
        """Apply these overrides from now on, after the policy's own; and put callers in groups."""
        partitions = self.matcher.partitions
        if partitions.links:
            partitions.groups = groups_of(entries)
        every = (*self._own, *(entry for entry in entries if entry.effect in CHANGES))
        if not every:
            self.overrides = None
            return
        words = (*self.policy.partitions, GROUP)
        self.overrides = OverrideTable(every, words, partitions.pool)


def groups_of(entries: Iterable[Override]) -> dict[str, str]:
    """Return the keys of identities that are linked, and the key of each one's group."""
    groups, apart = dict[str, str](), set[str]()
    for entry in entries:
        if entry.effect is _LINK:
            groups[entry.account] = entry.budget
        elif entry.effect is _UNLINK:
            apart.add(entry.account)
    return {key: group for key, group in groups.items() if key not in apart}
