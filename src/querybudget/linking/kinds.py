"""Kinds of evidence that accounts belong together, each a log-likelihood ratio in nats.

A *tie* is what accounts have in common: a system prompt, or an attribute that they declare. The
rarer it is among callers who are surely honest, the more it weighs. Whether its accounts act
together is for *behaviour* to say: their conduct, timing, displacement, and ground.
Accounts are linked by a tie and behaviour, or by two kinds of behaviour, never by one kind.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from math import log

import msgspec

from querybudget.coverage.fitted import TAIL_SHARES
from querybudget.coverage.group import lower_bound
from querybudget.linking.candidates import Candidate

CAP = 5.0
"""Nats that one kind weighs at most: no kind convinces alone."""

LEAST = 2.0
"""Nats below which a kind says nothing."""

ENOUGH = 6.9
"""Nats in all from which a link acts: a thousand to one."""

WRONG = 0.01
"""Share of honest accounts among those whose conduct links them, at most."""

FEWEST = 5
"""Accounts beyond a tail before a tie's conduct says anything."""

OWN_USERS = 3
"""Established accounts of a tie from which on they say what is usual there."""

OWN_SHARE = 0.1
"""And their share of the tie's accounts: a campaign would have to age as many."""


class Kind(enum.StrEnum):
    """What kind of evidence it is."""

    TEMPLATE = "template"
    """System prompts that are alike."""
    ATTRIBUTE = "attribute"
    """What accounts declare: an organisation, a network, a payment card."""
    CONDUCT = "conduct"
    """Far more of a tie's accounts look like parts of a sweep than of as many honest ones."""
    TIMING = "timing"
    """They call in the same minutes of the same hours."""
    DISPLACEMENT = "displacement"
    """One begins within minutes after another was slowed and stopped."""
    GROUND = "ground"
    """They share out the ground, or one goes on where another stopped."""


TIES = frozenset({Kind.TEMPLATE, Kind.ATTRIBUTE})

Evidence = Mapping[Kind, float]
"""From kinds to nats."""


class Tie(msgspec.Struct, frozen=True, gc=False):
    """What accounts have in common.

    Attributes:
        kind: `Kind.TEMPLATE` or `Kind.ATTRIBUTE`.
        value: Number of the template, or the mark.
    """

    kind: Kind
    value: int


class Population(msgspec.Struct, frozen=True):
    """All accounts, as far as guards ask for them.

    Attributes:
        established: How many of them are established.
        others: How many are not.
    """

    established: int
    others: int


def acts(evidence: Evidence) -> bool:
    """Return True if evidence links: of two kinds, one of them behaviour, and enough in all."""
    kinds = [kind for kind, weight in evidence.items() if weight >= LEAST]
    behaves = any(kind not in TIES for kind in kinds)
    return len(kinds) > 1 and behaves and sum(evidence[kind] for kind in kinds) >= ENOUGH


def capped(weight: float) -> float:
    """Return a weight between zero and the most that one kind weighs."""
    return min(CAP, max(0.0, weight))


def tie_weights(members: Sequence[Candidate], population: Population) -> tuple[float, float]:
    """Return how much a tie weighs between any two of its accounts.

    A tie is as likely between strangers as its share among the established says; or its share among
    all others, as far as these seem honest. So a popular client, a university, a carrier's network
    and a client that everybody begins to use on one day weigh little, whoever uses them.

    Returns:
        The weight between any two of them, and between two whose conduct says that they are not
        honest: to these, the share among honest newcomers says nothing.
    """
    own = sum(member.established for member in members)
    others = len(members) - own
    usual = (own + 1) / (population.established + 1)
    fresh = honest_share(members) * others / max(1, population.others)
    return capped(-log(min(1.0, max(usual, fresh)))), capped(-log(min(1.0, usual)))


def honest_share(members: Iterable[Candidate]) -> float:
    """Return the share of accounts that seem honest, at most: Storey's estimate, from above.

    Nine in ten honest accounts are in none of the tails. So if few accounts are in none, few are
    honest (Storey, "A direct approach to false discovery rates", 2002).
    """
    tails = [member.tail for member in members if member.tail >= 0]
    if not tails:
        return 1.0
    beyond = sum(tail > 0 for tail in tails)
    return min(1.0, (1 - lower_bound(beyond, len(tails))) / (1 - TAIL_SHARES[0]))


def conduct(members: Sequence[Candidate]) -> tuple[int, float]:
    """Return from which tail on a tie's accounts act together, and how much that weighs.

    It is the widest tail beyond which at most `WRONG` are honest, with an allowance for chance.
    Where established accounts share the tie, its users are taken for as they are.

    Returns:
        The number of tails; 0 if conduct says nothing. And the weight.
    """
    own = sum(member.established for member in members)
    tails = [member.tail for member in members if member.tail >= 0]
    if own >= OWN_USERS and own >= OWN_SHARE * len(members):
        return 0, 0.0
    honest = honest_share(members) * len(tails)
    for number, share in enumerate(TAIL_SHARES, 1):
        beyond = sum(tail >= number for tail in tails)
        if beyond >= FEWEST and honest * share <= WRONG * beyond:
            return number, capped(-log(honest * share / beyond))
    return 0, 0.0
