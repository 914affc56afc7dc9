"""Which account a call uses of a budget: partitions, by the words of `Budget.per`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from querybudget.adapters.base import Call
from querybudget.adapters.model_names import one_spelling
from querybudget.coverage.trace import mark_of
from querybudget.identity import KeyedHash, Resolver, resolver
from querybudget.ledger import Standing
from querybudget.limiter.conditions import is_model
from querybudget.limiter.plans import Caller
from querybudget.limiter.sharing import SharedNames
from querybudget.policy.linking import GROUP
from querybudget.policy.model import Budget, Missing, Policy
from querybudget.units import Unit

FEW = frozenset({"everyone", "tier", "model", "route"})
"""Words of `Budget.per` that make few accounts, whoever calls."""

LEARNT_MODELS = 64
"""Models without a name in the policy that have an account, because two callers were answered."""

LONGEST_MODEL = 200
"""Characters of a model's name that may have an account."""

TEMPLATE = "template:"
NO_TEMPLATE = f"{TEMPLATE}none"
"""The pool of calls without a template, and of those whose template nobody else has."""

SUBJECT = f"{TEMPLATE}about:"
"""Prefix of the pools of templates' subjects. There are as many as fine cells."""

OTHER_MODELS = "model:other"

REMEMBERED = 4_096
"""Templates whose pools are remembered, by keyed hash."""

_NO_POOL = (-1,)
_WILD = frozenset("*?[")


class Partitions:
    """Names the accounts of calls.

    Args:
        policy: Its partitions, and the models that it names.
        hashed: Hashes names of callers and texts of calls.
        former: The partitions that these replace: they have learnt which names are shared.

    Attributes:
        refusing: Names of the partitions that refuse callers whom they do not name.
        shared_templates: The templates that callers have in common.
        learnt_models: The models without a name in the policy that were answered.
        groups: Keys of identities that are linked to the key of their group's account.
        links: Whether the policy links accounts.
    """

    def __init__(self, policy: Policy, hashed: KeyedHash, former: Partitions | None = None) -> None:
        self._hashed = hashed
        self._resolvers: dict[str, Resolver] = {
            name: resolver(partition.resolver) for name, partition in policy.partitions.items()
        }
        self._missing = {name: each.missing for name, each in policy.partitions.items()}
        self.refusing = frozenset(n for n, one in self._missing.items() if one is Missing.REFUSE)
        words = {word for budget in policy.budgets for word in budget.per}
        self._by_template, self._by_model = "template" in words, "model" in words
        named = [*policy.models, *(name for b in policy.budgets for name in b.match.model)]
        plain = [name for name in named if _WILD.isdisjoint(name)]
        self._models = {one_spelling(name): name for name in reversed(plain)}
        self._patterns = tuple(dict.fromkeys(n for n in named if not _WILD.isdisjoint(n)))
        self.groups: Mapping[str, str] = {}
        self.links = policy.linking is not None
        self._attributes = policy.linking.attributes if policy.linking else ()
        if self._by_template:  # few policies need these, which take 6 ms to load
            from cachetools import LRUCache  # noqa: PLC0415

            from querybudget.templates import Likeness  # noqa: PLC0415

            self._likeness = Likeness(hashed("likeness", "").encode())
            self._names: LRUCache[str, tuple[str, ...]] = LRUCache(REMEMBERED)
        self.shared_templates: SharedNames = former.shared_templates if former else SharedNames()
        self.learnt_models: SharedNames = (
            former.learnt_models if former else SharedNames(LEARNT_MODELS, keeps=True)
        )

    def key(self, word: str, caller: Caller, pool: str, model: str, route: str = "") -> str:
        """Return the part of an account's key that a word of `Budget.per` makes.

        Args:
            word: The word.
            caller: The sender.
            pool: One of the call's `templates`; empty for the caller's own account.
            model: The model whose account is charged, as `model_of` returned it.
            route: What the call's path asks: its operation.
        """
        match word:
            case "identity":
                return caller.identity.key
            case "everyone":
                return "everyone"
            case "tier" | "route":
                return f"{word}:{caller.tier if word == 'tier' else route}"
            case "model":
                return f"model:{self._hashed('model', model)}" if model else OTHER_MODELS
            case "template":
                return pool or caller.identity.key
            case _:
                return self.pool(word, caller)

    def pool(self, word: str, caller: Caller) -> str:
        """Return the key of a caller's pool in a partition of the policy, or of its group.

        All callers who give two different names share one pool.
        """
        if caller.pools is not None and word in caller.pools:
            return caller.pools[word]
        if word == GROUP:
            return self.groups.get(caller.identity.key, caller.identity.key)
        name = self._resolvers[word](caller.scope)
        if name:
            return f"{word}:{self._hashed(word, name)}"
        if name is None and self._missing[word] is not Missing.SHARED:
            return f"{word}:none:{caller.identity.key}"
        return f"{word}:none"

    def marks(self, caller: Caller) -> tuple[int, ...]:
        """Return the marks of the attributes that a caller declares, as `Trace` keeps them."""
        pools = [(word, self.pool(word, caller)) for word in self._attributes]
        return tuple(
            mark_of(number, pool)
            for number, (word, pool) in enumerate(pools)
            if not pool.startswith(f"{word}:none")
        )

    def nameless(self, budget: Budget, caller: Caller) -> bool:
        """Return True if a budget's partition refuses a caller, whom its resolver does not name."""
        refusing = self.refusing.intersection(budget.per)
        if caller.pools is not None:
            refusing = refusing.difference(caller.pools)
        return any(not self._resolvers[word](caller.scope) for word in refusing)

    def templates(self, caller: Caller, call: Call) -> tuple[str, ...]:
        """Return the pools of a call's template: one or two that it shares with other callers.

        Templates that are alike share a pool, from its second caller on. All other calls are in
        `NO_TEMPLATE`. Empty where no budget asks.
        """
        if not self._by_template:
            return ()
        own, shared = caller.identity.key, self.shared_templates.is_shared
        names = self._names_of(call.template) if call.template else ()
        return tuple([name for name in names if shared(name, own)]) or (NO_TEMPLATE,)

    def _names_of(self, template: str) -> tuple[str, ...]:
        key = self._hashed("template", template)
        names = self._names.get(key)
        if names is None:
            numbers = self._likeness.numbers(template)
            names = self._names[key] = tuple(f"{TEMPLATE}{number:016x}" for number in numbers)
        return names

    def model_of(self, name: str) -> str:
        """Return the model whose account a call of a model is charged to.

        Callers can make names up, and some servers answer to any. So a name has an account only if
        the policy has it, or if two callers were answered under it. All others share the account
        of the pattern that they match, or else one account, which has the empty name.
        """
        known = self._models.get(spelt := one_spelling(name))
        if known is not None:
            return known
        if spelt in self.learnt_models:
            return spelt
        return next((one for one in self._patterns if is_model(one, name)), "")

    def note(self, caller: str, call: Call) -> bool:
        """Note what an answered call of a verified caller said.

        Returns:
            Whether `model_of` returns something else for its model from now on.
        """
        if self._by_template and call.template:
            for name in self._names_of(call.template):
                self.shared_templates.note(name, caller)
        if not self._by_model or not call.model or len(call.model) > LONGEST_MODEL:
            return False
        if (model := one_spelling(call.model)) in self._models:
            return False
        return self.learnt_models.note(model, caller)


def pools_of(budget: Budget, pools: int, *, subject: bool) -> Sequence[int]:
    """Return which of a call's pools of templates a budget charges, by index.

    Only a budget in buckets pools calls without a template. A budget in requests or tokens counts
    these for their own caller, so that strangers do not use up each other's. Only a budget that
    counts no buckets, but judges by the score alone, is also pooled by the subject of templates:
    those of strangers may have the same subject.

    Args:
        budget: The budget.
        pools: Number of the call's pools, by likeness.
        subject: Whether there is also a pool of its template's subject, which comes last.

    Returns:
        -1 alone if the budget does not judge all callers of a template together.
    """
    per = budget.per
    if budget.quota.unit is not Unit.BUCKETS or "template" not in per or "identity" in per:
        return _NO_POOL
    return range(pools + (subject and not budget.counted))


def has_one_template(partition: str) -> bool:
    """Whether an account is of a pool whose members have a template, or its subject, in common."""
    return TEMPLATE in partition and NO_TEMPLATE not in partition


def subject_pool(cell: int) -> str:
    """Return the pool of calls whose templates have one subject, by `Observation.subject`."""
    return f"{SUBJECT}{cell}" if cell >= 0 else ""


def standing_of(budget: Budget, *, anonymous: bool) -> Standing:
    """Return who can make a budget's accounts; for a call without a template, the caller."""
    if (FEW | {"identity"} if anonymous else FEW).issuperset(budget.per):
        return Standing.FIXED
    if "template" in budget.per and "identity" not in budget.per:
        return Standing.INVENTED
    return Standing.CALLER
