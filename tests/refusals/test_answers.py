from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Dialect
from querybudget.ledger import Decision
from querybudget.policy.model import Disclosure, Refusals
from querybudget.refusals import Answer, ProblemType, answer, close
from querybudget.units import MICRO, SECOND, Algorithm, Unit
from tests.refusals.decisions import (
    DAY,
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
DAILY = quota("daily", Unit.TOKENS, 100_000 * MICRO, DAY)
IANA = "https://iana.org/assignments/http-problem-types#"
SHORT = decide([line(TPM, 2_000 * MICRO)], used=[28_770 * MICRO], now=NOW + 58_500_000)
LONG = decide([line(DAILY, 2_000 * MICRO)], used=[99_000 * MICRO])
NEVER = decide([line(TPM, 40_000 * MICRO)])


def body(found: Answer) -> dict[str, Any]:
    headers = dict(found.headers)
    assert headers[b"content-length"] == str(len(found.body)).encode("ascii")
    decoded: dict[str, Any] = json.loads(found.body)
    return decoded


def headers(found: Answer) -> dict[str, str]:
    assert len({name for name, _ in found.headers}) == len(found.headers), "a header came twice"
    return {name.decode("ascii"): value.decode("ascii") for name, value in found.headers}


def test_an_openai_refusal_is_an_error_object_and_a_problem_document() -> None:
    found = answer(SHORT, Dialect.OPENAI, PLAIN, NOW, disclosed=OWN, request_id="req_1")
    message = (
        "Rate limit reached for budget 'tpm': limit 30000 tokens per minute, used 28770,"
        " requested 2000. Please try again in 1.5s."
    )

    assert found.status == 429
    assert body(found) == {
        "type": f"{IANA}quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "detail": message,
        "violated-policies": ["tpm"],
        "error": {
            "message": message,
            "type": "tokens",
            "param": None,
            "code": "rate_limit_exceeded",
        },
    }
    assert headers(found) == {
        "content-type": "application/problem+json",
        "content-length": str(len(found.body)),
        "retry-after": "2",
        "retry-after-ms": "1500",
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "1230",
        "x-ratelimit-reset-tokens": "1.5s",
        "x-request-id": "req_1",
    }


def test_an_anthropic_refusal_is_its_own_error_object() -> None:
    found = answer(SHORT, Dialect.ANTHROPIC, PLAIN, NOW, disclosed=OWN, request_id="req_1")

    assert found.status == 429
    assert body(found) == {
        "type": "error",
        "error": {
            "type": "rate_limit_error",
            "message": "Rate limit reached for budget 'tpm': limit 30000 tokens per minute, used"
            " 28770, requested 2000. Please try again in 1.5s.",
        },
        "request_id": "req_1",
    }
    assert headers(found) == {
        "content-type": "application/json",
        "content-length": str(len(found.body)),
        "retry-after": "2",
        "retry-after-ms": "1500",
        "anthropic-ratelimit-tokens-limit": "30000",
        "anthropic-ratelimit-tokens-remaining": "1230",
        "anthropic-ratelimit-tokens-reset": "2025-11-24T16:00:02Z",
        "request-id": "req_1",
    }


def test_a_problem_document_has_the_standard_members_and_no_others() -> None:
    found = answer(SHORT, Dialect.PROBLEM, PLAIN, NOW, disclosed=OWN)

    assert set(body(found)) == {"type", "title", "status", "detail", "violated-policies"}
    assert headers(found)["content-type"] == "application/problem+json"


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    ("decision", "disclosed", "disclose"),
    [
        (SHORT, OWN, Disclosure.NEVER),
        (SHORT, frozenset[str](), Disclosure.ALWAYS),
        (LONG, OWN, Disclosure.NEVER),
        (NEVER, frozenset({"other"}), Disclosure.REFUSALS),
    ],
)
def test_figures_that_may_not_be_disclosed_appear_nowhere(
    dialect: Dialect, decision: Decision, disclosed: frozenset[str], disclose: Disclosure
) -> None:
    settings = Refusals(disclose=disclose, ietf="draft-11")
    found = answer(decision, dialect, settings, NOW, disclosed=disclosed)
    everything = found.body.decode() + str(found.headers)

    figures = set(re.findall(r"\d+", everything))
    assert not figures & {"30000", "28770", "2000", "1230", "100000", "99000", "40000"}
    assert "ratelimit" not in str(headers(found).keys())
    assert f"'{decision.violated[0]}'" in found.body.decode()


def test_disclose_refusals_puts_figures_in_refusals() -> None:
    found = answer(
        SHORT, Dialect.OPENAI, Refusals(disclose=Disclosure.REFUSALS), NOW, disclosed=OWN
    )

    assert headers(found)["x-ratelimit-remaining-tokens"] == "1230"
    assert "used 28770" in body(found)["detail"]


@given(st.integers(1, 59_999_999))
def test_a_caller_that_waits_as_told_is_not_early(passed: int) -> None:
    decision = decide([line(RPM, MICRO)], used=[60 * MICRO], now=NOW + passed)
    sent = headers(answer(decision, Dialect.OPENAI, PLAIN, NOW + passed, disclosed=OWN))

    assert decision.wait <= int(sent["retry-after"]) * SECOND < decision.wait + SECOND
    assert decision.wait <= int(sent["retry-after-ms"]) * 1_000 < decision.wait + 1_000


def test_a_long_wait_is_given_with_its_end_and_clients_do_not_retry() -> None:
    found = answer(LONG, Dialect.OPENAI, PLAIN, NOW, disclosed=OWN)

    assert headers(found)["x-should-retry"] == "false"
    assert headers(found)["retry-after"] == "86400"
    assert body(found)["error"]["type"] == "insufficient_quota"
    assert body(found)["error"]["code"] == "insufficient_quota"
    assert body(found)["detail"].endswith("Please try again in 24h0m0s (at 2025-11-25T16:00:00Z).")


@pytest.mark.parametrize(("long_wait", "retry"), [(1_499_999, "false"), (1_500_000, None)])
def test_the_policy_sets_which_waits_are_long(long_wait: int, retry: str | None) -> None:
    found = answer(SHORT, Dialect.ANTHROPIC, Refusals(long_wait=long_wait), NOW, disclosed=OWN)

    assert headers(found).get("x-should-retry") == retry


@pytest.mark.parametrize(
    ("unit", "advice"),
    [
        (Unit.TOKENS, "Shorten the input or lower max_tokens."),
        (Unit.INPUT_TOKENS, "Shorten the input."),
        (Unit.OUTPUT_TOKENS, "Lower max_tokens."),
        (Unit.USD, "Shorten the input, lower max_tokens or use a cheaper model."),
        (Unit.REQUESTS, "Split it up: each prompt and each choice may count as one request."),
    ],
)
def test_a_request_that_never_fits_is_told_what_to_do_instead_of_waiting(
    unit: Unit, advice: str
) -> None:
    decision = decide([line(quota("tpm", unit, 10 * MICRO), 11 * MICRO)])
    found = answer(decision, Dialect.OPENAI, PLAIN, NOW, disclosed=OWN)

    assert found.status == 429
    assert body(found)["detail"].startswith("Request too large for budget 'tpm': limit 10 ")
    assert body(found)["detail"].endswith(
        f"It is more than the budget ever allows, so trying again will not help. {advice}"
    )
    assert headers(found)["x-should-retry"] == "false"
    assert "retry-after" not in headers(found)
    assert "retry-after-ms" not in headers(found)


@pytest.mark.parametrize(
    ("disclosed", "words"),
    [
        (OWN, ": limit 2, 2 in progress. Wait for one of your requests to finish."),
        (frozenset[str](), ". Wait for another request to finish."),
    ],
)
def test_too_many_concurrent_requests_are_told_to_wait_for_one_to_finish(
    disclosed: frozenset[str], words: str
) -> None:
    decision = decide([line(PARALLEL, MICRO)], used=[MICRO, MICRO])
    found = answer(decision, Dialect.OPENAI, PLAIN, NOW, disclosed=disclosed)

    assert body(found)["detail"].startswith(
        f"Too many concurrent requests for budget 'parallel'{words} Please try again in "
    )
    assert body(found)["error"]["type"] == "requests"
    assert headers(found)["retry-after"] == "1"
    assert "x-should-retry" not in headers(found)


def test_a_request_for_more_concurrency_than_the_limit_is_not_told_to_wait() -> None:
    decision = decide([line(PARALLEL, 3 * MICRO)])
    found = answer(decision, Dialect.OPENAI, PLAIN, NOW, disclosed=OWN)

    assert body(found)["detail"] == (
        "Request too large for budget 'parallel': limit 2, 0 in progress. It is more than the"
        " budget ever allows, so trying again will not help. Ask the operator of this service to"
        " raise the limit."
    )


def test_money_is_written_in_dollars_to_the_millionth() -> None:
    decision = decide([line(SPEND, 20_500)], used=[49_990_000])
    found = answer(decision, Dialect.OPENAI, PLAIN, NOW, disclosed=OWN)

    assert body(found)["detail"].startswith(
        "Rate limit reached for budget 'spend': limit 50 USD per 30 days, used 49.99,"
        " requested 0.0205."
    )


def test_the_requested_figure_is_multiplied_by_the_price() -> None:
    decision = decide([line(TPM, 1_000 * MICRO)], used=[29_000 * MICRO], price=3 * MICRO // 2)
    found = answer(decision, Dialect.OPENAI, PLAIN, NOW, disclosed=OWN)

    assert "used 29000, requested 1500" in body(found)["detail"]


def test_a_burst_is_named_beside_the_rate() -> None:
    burst = quota("burst", Unit.REQUESTS, 60 * MICRO, algorithm=Algorithm.GCRA, burst=10 * MICRO)
    decision = decide([line(burst, MICRO)], used=[10 * MICRO])
    found = answer(decision, Dialect.OPENAI, PLAIN, NOW, disclosed=OWN)

    assert (
        "limit 60 requests per minute with a burst of 10, used 10, requested 1."
        in body(found)["detail"]
    )


@pytest.mark.parametrize(
    ("days", "algorithm", "words"),
    [
        (30, Algorithm.SLIDING, "per 30 days"),
        (30, Algorithm.CALENDAR, "per month"),
        (365, Algorithm.CALENDAR, "per year"),
        (7, Algorithm.CALENDAR, "per week"),
        (1, Algorithm.CALENDAR, "per day"),
    ],
)
def test_a_window_is_written_as_people_say_it(days: int, algorithm: Algorithm, words: str) -> None:
    window = days * DAY
    of = msgspec.structs.replace(
        quota("tpm", Unit.TOKENS, 10 * MICRO, window, algorithm=algorithm),
        bounds=lambda now: (now - now % window, now - now % window + window),
    )
    found = answer(decide([line(of, 11 * MICRO)]), Dialect.OPENAI, PLAIN, NOW, disclosed=OWN)

    assert f"limit 10 tokens {words}," in body(found)["detail"]


def test_a_window_of_an_unusual_length_is_written_in_seconds() -> None:
    of = quota("tpm", Unit.TOKENS, 10 * MICRO, 90 * SECOND)
    found = answer(decide([line(of, 11 * MICRO)]), Dialect.OPENAI, PLAIN, NOW, disclosed=OWN)

    assert "limit 10 tokens per 90 seconds," in body(found)["detail"]


def test_the_longest_wait_is_explained_and_every_budget_that_refuses_is_named() -> None:
    lines = [line(RPM, MICRO), line(DAILY, 2_000 * MICRO)]
    decision = decide(lines, used=[60 * MICRO, 99_000 * MICRO])
    found = answer(decision, Dialect.OPENAI, PLAIN, NOW, disclosed=OWN)

    assert body(found)["violated-policies"] == ["rpm", "daily"]
    assert body(found)["detail"].startswith("Rate limit reached for budget 'daily'")
    assert body(found)["detail"].endswith("Also exceeded: 'rpm'.")


def test_what_never_fits_is_explained_before_what_must_wait() -> None:
    lines = [line(RPM, MICRO), line(TPM, 40_000 * MICRO)]
    found = answer(decide(lines, used=[60 * MICRO]), Dialect.OPENAI, PLAIN, NOW, disclosed=OWN)

    assert body(found)["detail"].startswith("Request too large for budget 'tpm'")
    assert "retry-after" not in headers(found)


def test_a_shadow_budget_is_in_no_refusal() -> None:
    lines = [line(RPM, MICRO), line(DAILY, 2_000 * MICRO, shadow=True)]
    decision = decide(lines, used=[60 * MICRO, 99_000 * MICRO])
    found = answer(decision, Dialect.OPENAI, Refusals(ietf="draft-11"), NOW, disclosed=OWN)

    assert "daily" not in found.body.decode() + str(found.headers)
    assert body(found)["violated-policies"] == ["rpm"]


@pytest.mark.parametrize("dialect", list(Dialect))
def test_abnormal_usage_is_answered_without_a_single_figure(dialect: Dialect) -> None:
    found = answer(
        SHORT,
        dialect,
        Refusals(ietf="draft-11"),
        NOW,
        disclosed=OWN,
        reason=ProblemType.ABNORMAL_USAGE,
    )

    assert found.status == 429
    assert "ratelimit" not in str(headers(found).keys())
    said = found.body.decode().replace('"code":-32000', "")  # JSON-RPC's code
    for figure in ("30000", "28770", "2000", "1230"):
        assert figure not in said
    if dialect is not Dialect.ANTHROPIC:
        problem = body(found)["error"]["data"] if dialect is Dialect.JSON_RPC else body(found)
        assert problem["type"] == f"{IANA}abnormal-usage-detected"


def test_reduced_capacity_is_a_server_error() -> None:
    openai, anthropic = (
        answer(SHORT, dialect, PLAIN, NOW, disclosed=OWN, reason=ProblemType.REDUCED_CAPACITY)
        for dialect in (Dialect.OPENAI, Dialect.ANTHROPIC)
    )

    assert openai.status == anthropic.status == 503
    assert body(openai)["type"] == f"{IANA}temporary-reduced-capacity"
    assert body(anthropic)["error"]["type"] == "overloaded_error"


def test_an_admitted_call_cannot_be_refused() -> None:
    with pytest.raises(ValueError, match="found one that admits"):
        answer(decide([line(RPM, MICRO)]), Dialect.OPENAI, PLAIN, NOW)
    with pytest.raises(ValueError, match="found one that admits"):
        close(decide([line(RPM, MICRO)]), PLAIN)


def test_any_request_id_fits_into_a_header() -> None:
    found = answer(SHORT, Dialect.OPENAI, PLAIN, NOW, request_id="réq_\u20ac")

    assert (b"x-request-id", b"r\xe9q_?") in found.headers


@pytest.mark.parametrize(
    ("decision", "reason", "code", "words"),
    [
        (SHORT, ProblemType.QUOTA, 1013, "budget 'tpm' exceeded, try again in 1.5s"),
        (LONG, ProblemType.QUOTA, 1008, "budget 'daily' exceeded, try again in 24h0m0s"),
        (NEVER, ProblemType.QUOTA, 1008, "request too large for budget 'tpm'"),
        (SHORT, ProblemType.ABNORMAL_USAGE, 1008, "abnormal usage detected"),
    ],
)
def test_a_websocket_is_closed_with_what_to_do(
    decision: Decision, reason: ProblemType, code: int, words: str
) -> None:
    found = close(decision, PLAIN, reason)

    assert (found.code, found.reason) == (code, words)


@given(st.text(min_size=1, max_size=200))
def test_a_close_reason_fits_into_its_frame_whatever_the_budget_is_called(name: str) -> None:
    of = quota(name, Unit.REQUESTS, MICRO)
    found = close(decide([line(of, 2 * MICRO)]), PLAIN)

    assert len(found.reason.encode()) <= 123
