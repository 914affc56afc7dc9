from __future__ import annotations

from typing import Any

import pytest

from querybudget.identity import DEFAULT_TIER, Identity, KeyedHash, claim, tier_rules
from querybudget.policy.model import Tier, TierRule
from querybudget.policy.naming import CallerName

CALLER = Identity("0" * 32, "api_key")
TRUSTED = ("10.0.0.0/8",)


def scope(**more: Any) -> dict[str, Any]:
    return {"type": "http", "headers": [], "client": ("10.0.0.1", 1), **more}


def test_a_caller_for_whom_no_rule_holds_has_the_default_tier() -> None:
    assert tier_rules(())(CALLER, scope())[0] == DEFAULT_TIER
    rules = tier_rules([Tier("new", TierRule(sources=frozenset({"user"})))])
    assert rules(CALLER, scope()) == (DEFAULT_TIER,)


def test_the_first_tier_whose_rule_holds_is_taken() -> None:
    tiers = [
        Tier("paid", TierRule(claims={"plan": frozenset({"pro", "max"})})),
        Tier("keyed", TierRule(sources=frozenset({"api_key"}))),
        Tier("all", TierRule()),
    ]
    rules = tier_rules(tiers)

    assert rules(CALLER, scope(auth={"plan": "pro"}))[0] == "paid"
    assert rules(CALLER, scope(auth={"plan": "free"}))[0] == "keyed"
    assert rules(Identity("anonymous", "anonymous"), scope())[0] == "all"


def test_every_part_of_a_rule_must_hold() -> None:
    rule = TierRule(
        sources=frozenset({"api_key"}),
        claims={"plan": frozenset({"pro"}), "org.id": frozenset({"7"})},
        headers={"x-plan": frozenset({"gold"})},
        trusted_proxies=TRUSTED,
    )
    tiers = [Tier("t", rule)]
    auth = {"plan": "pro", "org": {"id": 7}}
    gold = [(b"x-plan", b"gold")]

    assert tier_rules(tiers)(CALLER, scope(auth=auth, headers=gold))[0] == "t"
    assert (
        tier_rules(tiers)(Identity("1", "user"), scope(auth=auth, headers=gold))[0] == DEFAULT_TIER
    )
    assert tier_rules(tiers)(CALLER, scope(auth={"plan": "pro"}, headers=gold))[0] == DEFAULT_TIER
    assert tier_rules(tiers)(CALLER, scope(auth=auth))[0] == DEFAULT_TIER


def test_a_source_is_named_whole_or_by_its_kind() -> None:
    caller = Identity("0" * 32, "header:x-end-user")

    for source in ("header", "header:x-end-user"):
        rule = TierRule(sources=frozenset({source}))
        assert tier_rules([Tier("t", rule)])(caller, scope())[0] == "t"
    assert (
        tier_rules([Tier("t", TierRule(sources=frozenset({"header:x-a"})))])(caller, scope())[0]
        == DEFAULT_TIER
    )


@pytest.mark.parametrize(
    ("value", "holds"),
    [(["user", "admin"], True), (("admin",), True), (["user"], False), ([], False), (True, False)],
)
def test_one_accepted_value_of_a_claim_that_is_a_list_is_enough(value: object, holds: bool) -> None:
    rule = TierRule(claims={"roles": frozenset({"admin"})})

    assert (tier_rules([Tier("t", rule)])(CALLER, scope(auth={"roles": value}))[0] == "t") is holds


def test_a_header_decides_the_tier_only_if_a_trusted_proxy_has_set_it() -> None:
    headers = [(b"x-plan", b"gold")]
    rule = TierRule(headers={"x-plan": frozenset({"gold"})}, trusted_proxies=TRUSTED)
    tiers = [Tier("t", rule)]

    assert tier_rules(tiers)(CALLER, scope(headers=headers))[0] == "t"
    assert (
        tier_rules(tiers)(CALLER, scope(headers=headers, client=("192.0.2.1", 1)))[0]
        == DEFAULT_TIER
    )
    no_one = [Tier("t", TierRule(headers={"x-plan": frozenset({"gold"})}))]
    assert tier_rules(no_one)(CALLER, scope(headers=headers))[0] == DEFAULT_TIER


def test_a_tier_is_for_callers_that_are_named_or_belong_to_a_pool() -> None:
    hashed = KeyedHash(b"k")
    tiers = [
        Tier("named", TierRule(callers=(CallerName("user", "ada"), CallerName("api_key", "sk-1")))),
        Tier("pooled", TierRule(partitions={"org": frozenset({"acme"})})),
    ]
    rules = tier_rules(tiers, lambda who: hashed(who.kind, who.value), {"org": claim("org")})

    assert rules(Identity(hashed("user", "ada"), "user"), scope()) == ("named",)
    assert rules(Identity(hashed("api_key", "sk-1"), "api_key"), scope()) == ("named",)
    assert rules(Identity(hashed("user", "sk-1"), "user"), scope()) == (DEFAULT_TIER,)
    assert rules(CALLER, scope(auth={"org": "acme"})) == ("pooled",)
    assert rules(CALLER, scope(auth={"org": "other"})) == (DEFAULT_TIER,)


def test_a_rule_is_negated_as_a_whole() -> None:
    excluded = TierRule(
        sources=frozenset({"api_key"}), claims={"plan": frozenset({"trial", "free"})}
    )
    rules = tier_rules([Tier("t", TierRule(excluded=excluded))])

    assert rules(CALLER, scope(auth={"plan": "free"})) == (DEFAULT_TIER,)
    assert rules(CALLER, scope(auth={"plan": "pro"})) == ("t",)
    assert rules(Identity("1", "user"), scope(auth={"plan": "free"})) == ("t",)


def test_tiers_that_apply_besides_do_not_change_the_name() -> None:
    beta = TierRule(claims={"beta": frozenset({"true"})})
    tiers = [
        Tier("beta", beta, also=True),
        Tier("pro", TierRule(claims={"plan": frozenset({"pro"})})),
        Tier("all", TierRule(), also=True),
    ]
    rules = tier_rules(tiers)

    assert rules(CALLER, scope(auth={"plan": "pro", "beta": True})) == ("pro", "beta", "all")
    assert rules(CALLER, scope(auth={"beta": True})) == (DEFAULT_TIER, "beta", "all")
    assert rules(CALLER, scope()) == (DEFAULT_TIER, "all")
