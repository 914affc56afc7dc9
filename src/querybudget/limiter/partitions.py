"""Which account a call uses of a budget: partitions, by the words of `Budget.per`."""

from __future__ import annotations

from querybudget.adapters.base import Call
from querybudget.adapters.model_names import one_spelling
from querybudget.identity import KeyedHash, Resolver, resolver
from querybudget.ledger import Standing
from querybudget.limiter.conditions import is_model
from querybudget.limiter.plans import Caller
from querybudget.limiter.sharing import SharedNames
from querybudget.policy.model import Budget, Missing, Policy

FEW = frozenset({"everyone", "tier", "model"})
"""Words of `Budget.per` that make few accounts, whoever calls."""

LEARNT_MODELS = 64
"""Models without a name in the policy that have an account, because two callers were answered."""

LONGEST_MODEL = 200
"""Characters of a model's name that may have an account."""

TEMPLATE = "template:"
OTHER_MODELS = "model:other"

_WILD = frozenset("*?[")


class Partitions:
    """Names the accounts of calls.

    Args:
        policy: Its partitions, and the models that it names.
        hashed: Hashes what would say something about a caller or a call.

    Attributes:
        refusing: Names of the partitions that refuse callers whom they do not name.
    """

    def __init__(self, policy: Policy, hashed: KeyedHash) -> None:
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
        self._templates = SharedNames()
        self._learnt = SharedNames(LEARNT_MODELS, keeps=True)

    def key(self, word: str, caller: Caller, template: str, model: str) -> str:
        """Return the part of an account's key that a word of `Budget.per` makes.

        Args:
            word: The word.
            caller: The sender.
            template: The call's system prompt; empty for none.
            model: The model whose account is charged, as `model_of` returned it.
        """
        match word:
            case "identity":
                return caller.identity.key
            case "everyone":
                return "everyone"
            case "tier":
                return f"tier:{caller.tier}"
            case "model":
                return f"model:{self._hashed('model', model)}" if model else OTHER_MODELS
            case "template":
                return self._template(caller.identity.key, template)
            case _:
                return self._pool(word, caller)

    def _pool(self, word: str, caller: Caller) -> str:
        """The account of a partition; whoever contradicts himself shares one with his like."""
        name = self._resolvers[word](caller.scope)
        if name:
            return f"{word}:{self._hashed(word, name)}"
        if name is None and self._missing[word] is not Missing.SHARED:
            return f"{word}:none:{caller.identity.key}"
        return f"{word}:none"

    def nameless(self, budget: Budget, caller: Caller) -> bool:
        """Return True if a budget's partition refuses a caller, whom its resolver does not name."""
        refusing = self.refusing.intersection(budget.per)
        return any(not self._resolvers[word](caller.scope) for word in refusing)

    def _template(self, own: str, template: str) -> str:
        """A template's account from its second caller on; until then, the caller's own."""
        if not template:
            return own
        name = self._hashed("template", template)
        return f"{TEMPLATE}{name}" if self._templates.is_shared(name, own) else own

    def model_of(self, name: str) -> str:
        """Return the model whose account a call of a model is charged to.

        Callers can make names up, and some servers answer to any. So only a name in the policy, or
        of which two callers were answered, has an account; others share that of the pattern that
        they match, or else one, which is the empty name's.
        """
        known = self._models.get(spelt := one_spelling(name))
        if known is not None:
            return known
        if spelt in self._learnt:
            return spelt
        return next((one for one in self._patterns if is_model(one, name)), "")

    def note(self, caller: str, call: Call) -> bool:
        """Note what an answered call of a verified caller said.

        Returns:
            Whether `model_of` returns something else for its model from now on.
        """
        if self._by_template and call.template:
            self._templates.note(self._hashed("template", call.template), caller)
        if not self._by_model or not call.model or len(call.model) > LONGEST_MODEL:
            return False
        if (model := one_spelling(call.model)) in self._models:
            return False
        return self._learnt.note(model, caller)


def standing_of(budget: Budget, *, anonymous: bool) -> Standing:
    """Return who can make a budget's accounts; where a template has none, it is the caller."""
    if (FEW | {"identity"} if anonymous else FEW).issuperset(budget.per):
        return Standing.FIXED
    if "template" in budget.per and "identity" not in budget.per:
        return Standing.INVENTED
    return Standing.CALLER
