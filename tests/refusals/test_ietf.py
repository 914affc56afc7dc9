from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Dialect
from querybudget.policy.model import Refusals
from querybudget.refusals import answer, headers_for
from querybudget.units import MICRO, SECOND, Unit
from tests.refusals.decisions import DAY, NOW, OWN, PARALLEL, RPM, SPEND, TPM, decide, line, quota

DRAFT = Refusals(ietf="draft-11")

# RFC 9651: a List of Strings, each with Parameters of Integers, Strings and lower-case keys.
STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
ITEM = rf"{STRING}(?:;[a-z*][a-z0-9_.*-]*=(?:\d{{1,15}}|{STRING}))*"
LIST = re.compile(rf"{ITEM}(?:, {ITEM})*")


def fields(headers: list[tuple[bytes, bytes]]) -> tuple[str, str]:
    found = dict(headers)
    return found[b"ratelimit-policy"].decode("ascii"), found[b"ratelimit"].decode("ascii")


def test_every_budget_is_listed_with_its_window_and_unit() -> None:
    lines = [
        line(RPM, MICRO),
        line(TPM, 2_000 * MICRO),
        line(SPEND, 12_345),
        line(PARALLEL, MICRO),
    ]

    policy, limit = fields(headers_for(decide(lines), Dialect.PROBLEM, DRAFT, NOW, OWN))

    assert policy == (
        '"rpm";q=60;w=60, "tpm";q=30000;w=60;querybudget-unit="tokens",'
        ' "spend";q=50000000;w=2592000;querybudget-unit="usd-millionths",'
        ' "parallel";q=2;qu="concurrent-requests"'
    )
    assert (
        limit
        == '"rpm";r=59;t=60, "tpm";r=28000;t=60, "spend";r=49987655;t=2592000, "parallel";r=1;t=1'
    )


def test_a_refusal_names_the_budgets_that_refuse_and_promises_no_later_end_than_retry_after() -> (
    None
):
    lines = [line(RPM, MICRO), line(quota("daily", Unit.REQUESTS, 100 * MICRO, DAY), MICRO)]
    decision = decide(lines, used=[60 * MICRO], now=NOW + 15_500_000)

    refusal = answer(decision, Dialect.PROBLEM, DRAFT, NOW, disclosed=OWN)
    policy, limit = fields(refusal.headers)

    assert limit == '"rpm";r=0;t=45'
    assert policy == '"rpm";q=60;w=60, "daily";q=100;w=86400'
    assert dict(refusal.headers)[b"retry-after"] == b"45"


def test_draft_fields_are_off_by_default() -> None:
    headers = dict(headers_for(decide([line(RPM, MICRO)]), Dialect.PROBLEM, Refusals(), NOW, OWN))

    assert b"ratelimit" not in headers
    assert b"ratelimit-policy" not in headers


@given(
    st.text(st.characters(), min_size=1, max_size=20),
    st.sampled_from([unit for unit in Unit if unit not in {Unit.CONCURRENT, Unit.BUCKETS}]),
    st.integers(1, 10**24),
    st.integers(1, 10**9 * SECOND),
)
def test_the_fields_are_well_formed_for_any_name_and_amount(
    name: str, unit: Unit, limit: int, window: int
) -> None:
    decision = decide([line(quota(name, unit, limit, window), 1)])

    for value in fields(headers_for(decision, Dialect.PROBLEM, DRAFT, NOW, {name})):
        assert LIST.fullmatch(value)


def test_quotes_and_backslashes_in_a_name_are_escaped() -> None:
    odd = quota('a"b\\c', Unit.REQUESTS, 60 * MICRO)
    decision = decide([line(odd, MICRO)])

    policy, _ = fields(headers_for(decision, Dialect.PROBLEM, DRAFT, NOW, {odd.name}))

    assert policy == '"a\\"b\\\\c";q=60;w=60'
