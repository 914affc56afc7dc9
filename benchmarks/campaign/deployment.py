"""The real limiter and memory store on a virtual clock, and what a call comes to.

Decisions take effect, as in `benchmarks.sweep.simulation`: a delayed call delays the account's next
one, and prices are charged. What differs is who calls: accounts say their attributes, and whether
they joined lately, in claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from benchmarks.campaign.observing import OnceAnalyzer, call_of
from benchmarks.sweep.bodies import CHAT
from benchmarks.sweep.policies import enforced
from benchmarks.sweep.scoring import SHIPPED, Fit, score_with
from benchmarks.sweep.simulation import EXPENSIVE, answer_length
from querybudget.adapters.base import Usage
from querybudget.coverage.response import Stage
from querybudget.limiter import Limiter, Outcome
from querybudget.limiter.plans import Caller
from querybudget.overrides import Effect
from querybudget.policy.model import Partition, Policy, ResolverSpec
from querybudget.stores.memory import MemoryStore
from querybudget.testing.clock import ManualClock
from querybudget.units import MICRO

__all__ = ["ATTRIBUTES", "Account", "Answer", "Deployment", "policy_of"]

ATTRIBUTES = ("organisation", "network", "payment")
"""What accounts may have in common; partitions of these names use them."""

_DEGRADED_OUTPUT = 512


def policy_of(source: str) -> Policy:
    """Return a policy with every budget enforced, whose partitions are told apart by claims.

    Args:
        source: Path of a YAML file, or ``preset:NAME``.

    Raises:
        PolicyError: The policy is invalid.
    """
    policy = enforced(source)
    partitions = {
        name: Partition(name, ResolverSpec("claim", _attribute(name))) for name in policy.partitions
    }
    return replace(policy, partitions=partitions, max_identities=1_000_000)


def _attribute(partition: str) -> str:
    """Return the attribute that a partition is about, guessed from its name."""
    if partition.startswith(("net", "addr", "ip")):
        return "network"
    return "payment" if partition.startswith(("pay", "card")) else "organisation"


@dataclass(frozen=True)
class Account:
    """One account.

    Attributes:
        name: Its name.
        fit: The fit that scores it: one that has not seen its texts.
        joined_lately: Whether it is a newcomer's.
        attributes: Attribute to value, where it has one in common with others.
    """

    name: str
    fit: Fit = SHIPPED
    joined_lately: bool = True
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def scope(self) -> Mapping[str, object]:
        """The ASGI scope of its requests."""
        claims = {name: self.attributes.get(name, f"of {self.name}") for name in ATTRIBUTES}
        claims["joined"] = "recently" if self.joined_lately else "long ago"
        return {"type": "http", "user": self.name, "state": {"claims": claims}}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call came to.

    Attributes:
        refused: Whether it was refused.
        stage: The stage it was in.
        price: Its price in millionths.
        delay: µs that it waited.
    """

    refused: bool
    stage: Stage
    price: int
    delay: int

    @property
    def disturbed(self) -> bool:
        return self.refused or self.stage > Stage.NONE or self.price > EXPENSIVE

    @property
    def in_full(self) -> bool:
        """Whether it was answered at full quality, late or not, whatever its price."""
        return not self.refused and self.stage < Stage.DEGRADE

    @property
    def obtained(self) -> bool:
        """Whether it was answered at full quality and a price of at most 2."""
        return self.in_full and self.price <= EXPENSIVE


class Deployment:
    """A limiter in memory with its own virtual clock."""

    def __init__(self, policy: Policy, analyzer: OnceAnalyzer, begin: int) -> None:
        self.clock = ManualClock(begin)
        self.store = MemoryStore(self.clock, max_identities=policy.max_identities)
        self.limiter = Limiter(policy, store=self.store, clock=self.clock, analyzer=analyzer)
        self._callers: dict[str, Caller] = {}

    async def ask(self, account: Account, text: str, template: str = "") -> Answer:
        """Send one call now."""
        limiter = self.limiter
        route = limiter.route_for("POST", CHAT)
        if route is None:
            return Answer(refused=False, stage=Stage.NONE, price=MICRO, delay=0)
        score_with(account.fit)
        call = call_of(text, template)
        admission = await limiter.admit_call(self.caller(account), route, "POST", CHAT, call)
        price = admission.decision.price if admission.decision else MICRO
        if admission.refusal is not None:
            return Answer(refused=True, stage=admission.stage, price=price, delay=0)
        output = answer_length(text.encode("utf-8", "surrogatepass"))
        if admission.stage >= Stage.DEGRADE:
            output = min(output, _DEGRADED_OUTPUT)
        used = Usage(input=max(1, -(-call.input_bytes // 4)), output=output)
        await limiter.settle(admission, Outcome.ANSWERED, used, 200)
        return Answer(refused=False, stage=admission.stage, price=price, delay=admission.delay)

    async def groups(self) -> dict[str, str]:
        """Return the name of each linked account, and its group."""
        known = await self.store.overrides()
        entries = known.entries if known is not None else ()
        of = {one.account: one.budget for one in entries if one.effect is Effect.LINK}
        named = {caller.identity.key: name for name, caller in self._callers.items()}
        return {named[key]: group for key, group in of.items() if key in named}

    def caller(self, account: Account) -> Caller:
        """Return the sender of an account's requests."""
        found = self._callers.get(account.name)
        if found is None:
            found = self._callers[account.name] = self.limiter.caller_for(account.scope)
        return found
