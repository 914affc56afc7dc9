"""Tiers as a policy's author writes them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Struct, UnsetType

from querybudget.policy.fields import Factor, Networks, Text, doc

Source = Literal["user", "api_key", "header", "claim", "client_address", "anonymous"]
_Texts = tuple[Text, ...]


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

    excluded: Annotated[NotFile, doc("What must not hold.")] | None = None


class TierFile(Struct, frozen=True):
    """A class of callers whose limits are scaled."""

    when: WhenFile | UnsetType = UNSET
    scale: Annotated[dict[str, Factor], doc("Budget or unit to the factor on its limit.")] = {}
    also: Annotated[bool, doc("Applies besides the tier that the caller has.")] = False
