"""Which account a call uses of a budget: partitions, by the words of `Budget.per`."""

from __future__ import annotations

from querybudget.identity import KeyedHash, Resolver, resolver
from querybudget.ledger import Standing
from querybudget.limiter.plans import Caller
from querybudget.policy.model import Budget, Policy

FEW = frozenset({"everyone", "tier"})
"""Words of `Budget.per` that make as many accounts as the policy says."""


class Partitions:
    """Names the accounts of calls.

    Args:
        policy: Its partitions.
        hashed: Hashes what would say something about a caller or a call.
    """

    def __init__(self, policy: Policy, hashed: KeyedHash) -> None:
        self._hashed = hashed
        self._resolvers: dict[str, Resolver] = {
            name: resolver(partition.resolver) for name, partition in policy.partitions.items()
        }

    def key(self, word: str, caller: Caller, template: str, model: str) -> str:
        """Return the part of an account's key that a word of `Budget.per` makes.

        Args:
            word: The word.
            caller: The sender.
            template: The call's system prompt; empty for none.
            model: The model that is charged.
        """
        match word:
            case "identity":
                return caller.identity.key
            case "everyone":
                return "everyone"
            case "tier":
                return f"tier:{caller.tier}"
            case "model":
                return f"model:{self._hashed('model', model)}"
            case "template":
                # Calls without a template share nothing: each caller's are an account of its own.
                own = caller.identity.key
                return f"template:{self._hashed('template', template)}" if template else own
            case _:
                name = self._resolvers[word](caller.scope)
                return f"{word}:{self._hashed(word, name) if name else 'none'}"


def standing_of(budget: Budget, *, anonymous: bool) -> Standing:
    """Return who can make a budget's accounts: those of few words are the policy's own."""
    few = FEW | {"identity"} if anonymous else FEW
    return Standing.FIXED if few.issuperset(budget.per) else Standing.CALLER
