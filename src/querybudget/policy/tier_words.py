"""Tiers as a policy's author writes them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from querybudget.policy.fields import Calls, Dollars, Duration, Factor, Networks, Text, doc
from querybudget.policy.stage_words import Stages

Source = Literal["user", "api_key", "header", "claim", "client_address", "anonymous"]
_Texts = tuple[Text, ...]


class DurationsFile(Struct, frozen=True):
    """A range of durations."""

    at_least: Annotated[Duration, doc("The smallest value.")] | None = None
    below: Annotated[Duration, doc("The first value that is too large.")] | None = None


class CallsFile(Struct, frozen=True):
    """A range of numbers of calls."""

    at_least: Annotated[Calls, doc("The smallest value.")] | None = None
    below: Annotated[Calls, doc("The first value that is too large.")] | None = None


class DollarsFile(Struct, frozen=True):
    """A range of amounts of money."""

    at_least: Annotated[Dollars, doc("The smallest value.")] | None = None
    below: Annotated[Dollars, doc("The first value that is too large.")] | None = None


_SHORT: dict[str, object] = {"short": "at_least", "number": True}
Durations = Annotated[
    DurationsFile,
    Meta(extra={**_SHORT, "expected": "a duration such as `30 days`, or `{below: 7 days}`"}),
]
CallCounts = Annotated[
    CallsFile,
    Meta(extra={**_SHORT, "expected": "a number of calls such as `100`, or `{below: 100}`"}),
]
Amounts = Annotated[
    DollarsFile,
    Meta(extra={**_SHORT, "expected": "an amount of money such as `$50`, or `{below: $50}`"}),
]


class NotFile(Struct, frozen=True):
    """When a tier does not apply: if every part that is given holds."""

    source: Annotated[tuple[Source, ...], doc("How the caller was identified.")] = ()
    claim: Annotated[dict[str, _Texts], doc("Claim to the accepted values.")] = {}
    header: Annotated[dict[str, _Texts], doc("Header to the accepted values.")] = {}
    trusted_proxies: Networks = ()
    partition: Annotated[dict[str, _Texts], doc("Partition to the names of pools.")] = {}
    user: Annotated[_Texts, doc("Users, one of whom it must be.")] = ()
    api_key: Annotated[_Texts, doc("Keys, one of which it must be: `${ACME_KEY}`.")] = ()
    account: Annotated[_Texts, doc("Keys of identities, as logs show them.")] = ()


class WhenFile(NotFile, frozen=True, rename={"excluded": "not"}):
    """When a tier applies: every part that is given must hold."""

    age: Annotated[Durations, doc("How long the store has known the caller.")] | None = None
    calls: Annotated[CallCounts, doc("How many of its calls were answered in a year.")] | None = (
        None
    )
    spent: Annotated[Amounts, doc("What these calls cost, by the prices in `models`.")] | None = (
        None
    )
    clean: (
        Annotated[
            Durations,
            doc("How long no budget in buckets of its own has slowed, degraded or refused it."),
        ]
        | None
    ) = None
    excluded: Annotated[NotFile, doc("What must not hold.")] | None = None


class TierFile(Struct, frozen=True):
    """A class of callers, with other limits, prices and stages."""

    when: WhenFile | UnsetType = UNSET
    scale: Annotated[
        dict[str, Factor],
        doc("Budget or unit to the factor on its limit; `price` and `delay` of those in buckets."),
    ] = {}
    then: (
        Annotated[Stages, doc("In place of `then` of the budgets in buckets that have one.")] | None
    ) = None
    also: Annotated[bool, doc("Applies besides the tier that the caller has.")] = False
