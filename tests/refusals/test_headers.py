from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Dialect
from querybudget.ledger import Verdict
from querybudget.policy.model import Disclosure, Refusals
from querybudget.refusals import headers_for
from querybudget.units import MICRO, SECOND, Algorithm, Unit
from tests.refusals.decisions import (
    DAY,
    MINUTE,
    NOW,
    OWN,
    PARALLEL,
    RPM,
    SPEND,
    TPM,
    decide,
    line,
    quota,
)

PLAIN = Refusals()
LINES = [
    line(RPM, MICRO),
    line(TPM, 2_000 * MICRO),
    line(SPEND, 12_345),
    line(PARALLEL, MICRO),
]


def shown(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    assert len({name for name, _ in headers}) == len(headers), "a header came twice"
    return {name.decode("ascii"): value.decode("ascii") for name, value in headers}


@pytest.mark.parametrize("dialect", [Dialect.OPENAI, Dialect.PROBLEM])
def test_openai_clients_read_what_is_left_of_requests_and_tokens(dialect: Dialect) -> None:
    assert shown(headers_for(decide(LINES), dialect, PLAIN, NOW, OWN)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "28000",
        "x-ratelimit-reset-tokens": "1m0s",
    }


def test_anthropic_clients_read_each_kind_of_token_and_reset_times() -> None:
    lines = [
        *LINES,
        line(quota("input", Unit.INPUT_TOKENS, 10_000 * MICRO), 500 * MICRO),
        line(quota("output", Unit.OUTPUT_TOKENS, 4_000 * MICRO, DAY), 1_000 * MICRO),
    ]

    found = shown(headers_for(decide(lines), Dialect.ANTHROPIC, PLAIN, NOW, OWN))

    assert found == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2025-11-24T16:01:00Z",
        "anthropic-ratelimit-tokens-limit": "30000",
        "anthropic-ratelimit-tokens-remaining": "28000",
        "anthropic-ratelimit-tokens-reset": "2025-11-24T16:01:00Z",
        "anthropic-ratelimit-input-tokens-limit": "10000",
        "anthropic-ratelimit-input-tokens-remaining": "9500",
        "anthropic-ratelimit-input-tokens-reset": "2025-11-24T16:01:00Z",
        "anthropic-ratelimit-output-tokens-limit": "4000",
        "anthropic-ratelimit-output-tokens-remaining": "3000",
        "anthropic-ratelimit-output-tokens-reset": "2025-11-25T16:00:00Z",
    }


def test_the_headers_show_the_budget_of_a_unit_with_the_least_left() -> None:
    daily = quota("daily", Unit.TOKENS, 31_000 * MICRO, DAY)
    lines = [line(daily, 2_000 * MICRO), line(TPM, 2_000 * MICRO)]

    minute_is_tight = shown(headers_for(decide(lines), Dialect.OPENAI, PLAIN, NOW, OWN))
    day_is_tight = shown(
        headers_for(decide(lines, used=[20_000 * MICRO]), Dialect.OPENAI, PLAIN, NOW, OWN)
    )

    assert minute_is_tight["x-ratelimit-limit-tokens"] == "30000"
    assert day_is_tight["x-ratelimit-limit-tokens"] == "31000"
    assert day_is_tight["x-ratelimit-remaining-tokens"] == "9000"
    assert day_is_tight["x-ratelimit-reset-tokens"] == "24h0m0s"


def test_a_budget_shared_with_others_is_not_shown_however_tight() -> None:
    everyone = quota("everyone", Unit.TOKENS, 2_500 * MICRO)
    lines = [line(everyone, 2_000 * MICRO), line(TPM, 2_000 * MICRO)]

    found = shown(headers_for(decide(lines), Dialect.OPENAI, PLAIN, NOW, OWN))

    assert found["x-ratelimit-limit-tokens"] == "30000"
    assert headers_for(decide(lines[:1]), Dialect.OPENAI, PLAIN, NOW, OWN) == []
    assert headers_for(decide(lines), Dialect.OPENAI, PLAIN, NOW) == []


def test_a_shadow_budget_is_never_shown() -> None:
    lines = [line(RPM, MICRO, shadow=True), line(TPM, MICRO)]
    settings = Refusals(ietf="draft-11")

    found = shown(headers_for(decide(lines), Dialect.OPENAI, settings, NOW, OWN))

    assert not [name for name in found if "requests" in name]
    assert "rpm" not in str(found)


@pytest.mark.parametrize("disclose", [Disclosure.REFUSALS, Disclosure.NEVER])
@pytest.mark.parametrize("dialect", list(Dialect))
def test_admitted_calls_carry_no_figures_unless_the_policy_says_always(
    disclose: Disclosure, dialect: Dialect
) -> None:
    settings = Refusals(disclose=disclose, ietf="draft-11")

    assert headers_for(decide(LINES), dialect, settings, NOW, OWN) == []


def test_debt_is_shown_as_nothing_left() -> None:
    decision = decide([line(TPM, MICRO)], used=[30_000 * MICRO])
    status = decision.lines[0]
    in_debt = type(decision)(
        Verdict.WAIT,
        (type(status)(status.line, -5 * MICRO, status.reset, status.wait, Verdict.WAIT),),
        decision.wait,
    )

    found = shown(headers_for(in_debt, Dialect.OPENAI, Refusals(ietf="draft-11"), NOW, OWN))

    assert found["x-ratelimit-remaining-tokens"] == "0"
    assert found["ratelimit"].startswith('"tpm";r=0;')


@given(st.integers(1, 30_000 * MICRO))
def test_no_header_promises_more_than_is_left(amount: int) -> None:
    found = shown(headers_for(decide([line(TPM, amount)]), Dialect.OPENAI, PLAIN, NOW, OWN))

    left = int(found["x-ratelimit-remaining-tokens"]) * MICRO
    assert left <= 30_000 * MICRO - amount < left + MICRO


def test_a_quota_with_a_burst_shows_what_can_be_used_at_once() -> None:
    burst = quota(
        "burst", Unit.REQUESTS, 60 * MICRO, MINUTE, algorithm=Algorithm.GCRA, burst=10 * MICRO
    )

    found = shown(headers_for(decide([line(burst, MICRO)]), Dialect.OPENAI, PLAIN, NOW, OWN))

    assert found["x-ratelimit-limit-requests"] == "10"
    assert found["x-ratelimit-remaining-requests"] == "9"
    assert found["x-ratelimit-reset-requests"] == "1s"


def test_reset_times_are_counted_from_now() -> None:
    later = NOW + 1_500_000
    decision = decide([line(RPM, MICRO)])

    found = shown(headers_for(decision, Dialect.ANTHROPIC, PLAIN, later, OWN))

    assert found["anthropic-ratelimit-requests-reset"] == "2025-11-24T16:01:02Z"
    assert decision.lines[0].reset == 60 * SECOND
