"""What a caller reads where budgets in buckets decide: that they do, and nothing about them."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Dialect
from querybudget.ledger import Decision, LineStatus, Verdict
from querybudget.policy.model import Disclosure, Refusals
from querybudget.refusals import ProblemType, answer, close, headers_for
from querybudget.units import MICRO, SECOND, Algorithm, Micros, Unit
from tests.refusals.decisions import DAY, NOW, OWN, RPM, TPM, decide, line, quota

IANA = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected"
BREADTH = quota("breadth", Unit.BUCKETS, 417 * MICRO, 30 * DAY, algorithm=Algorithm.SLIDING)
KNOWN = OWN | {"breadth"}
WAIT = 11 * DAY + 90 * SECOND
SECRETS = ("breadth", "417", "403", "bucket", "buckets", "coverage", "score")
DRAFT = Refusals(ietf="draft-11")


def spent(verdict: Verdict, *, shadow: bool = False, wait: int = WAIT) -> LineStatus:
    """How a line of buckets stands: 403 of 417 are used."""
    of = line(BREADTH, MICRO, shadow=shadow)
    return LineStatus(
        of, 14 * MICRO, 20 * DAY, Micros(wait if verdict is Verdict.WAIT else 0), verdict
    )


def with_buckets(decision: Decision, status: LineStatus) -> Decision:
    """The decision, with one line of buckets more, as a store would have made it."""
    verdict, wait = decision.verdict, decision.wait
    if not status.line.shadow:
        verdict, wait = max(verdict, status.verdict), max(wait, status.wait)
    reservation = None if verdict else decision.reservation
    lines = (*decision.lines, status)
    return msgspec.structs.replace(
        decision, lines=lines, verdict=verdict, wait=wait, reservation=reservation
    )


FREE = decide([line(RPM, MICRO), line(TPM, 2_000 * MICRO)])
SPENT = decide([line(RPM, MICRO), line(TPM, MICRO)], used=[60 * MICRO], now=NOW + 15_500_000)
ABNORMAL = with_buckets(FREE, spent(Verdict.WAIT))


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("reason", [ProblemType.QUOTA, ProblemType.ABNORMAL_USAGE])
def test_spent_buckets_are_abnormal_usage_in_every_dialect(
    dialect: Dialect, reason: ProblemType
) -> None:
    found = answer(ABNORMAL, dialect, DRAFT, NOW, disclosed=KNOWN, request_id="r", reason=reason)
    body, headers = json.loads(found.body), dict(found.headers)
    assert found.status == 429
    assert headers[b"retry-after"] == b"%d" % (WAIT // SECOND)
    assert headers[b"x-should-retry"] == b"false"
    assert "abnormal-usage-detected" in found.body.decode()
    if dialect is Dialect.ANTHROPIC:
        assert body["error"]["type"] == "rate_limit_error"
        assert body["request_id"] == "r"
    else:
        problem = body["error"]["data"] if dialect is Dialect.JSON_RPC else body
        assert problem["type"] == IANA
        assert "violated-policies" not in problem
    if dialect is Dialect.OPENAI:
        error = body["error"]
        assert error["type"] == error["code"] == "abnormal-usage-detected"
        assert error["message"] == body["detail"]


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("disclose", list(Disclosure))
@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("shadow", [False, True])
@pytest.mark.parametrize("other", [FREE, SPENT], ids=["free", "spent"])
def test_nothing_of_buckets_is_in_any_header_or_body(
    dialect: Dialect, disclose: Disclosure, verdict: Verdict, shadow: bool, other: Decision
) -> None:
    settings = Refusals(ietf="draft-11", disclose=disclose)
    decision = with_buckets(other, spent(verdict, shadow=shadow))
    if decision.verdict:
        found = answer(decision, dialect, settings, NOW, disclosed=KNOWN)
        headers = [pair for pair in found.headers if pair[0] != b"content-length"]
        shown = found.body.decode() + str(headers)
        shown += close(decision, settings).reason
    else:
        shown = str(headers_for(decision, dialect, settings, NOW, KNOWN))
    words = set(re.findall(r"\w+", shown))
    assert not words & set(SECRETS)


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("verdict", [Verdict.WAIT, Verdict.NEVER])
def test_a_plain_budget_that_refuses_too_is_answered_as_if_it_were_alone(
    dialect: Dialect, verdict: Verdict
) -> None:
    both = with_buckets(SPENT, spent(verdict))
    alone = answer(SPENT, dialect, DRAFT, NOW, disclosed=KNOWN, request_id="r")
    assert answer(both, dialect, DRAFT, NOW, disclosed=KNOWN, request_id="r") == alone
    assert close(both, DRAFT) == close(SPENT, DRAFT)
    assert dict(alone.headers)[b"retry-after"] == b"45"


@pytest.mark.parametrize("dialect", list(Dialect))
def test_an_admitted_answer_carries_what_it_would_without_buckets(dialect: Dialect) -> None:
    admitted = with_buckets(FREE, spent(Verdict.ADMIT))
    assert headers_for(admitted, dialect, DRAFT, NOW, KNOWN) == headers_for(
        FREE, dialect, DRAFT, NOW, KNOWN
    )


def test_clients_do_not_retry_abnormal_usage_however_short_the_wait() -> None:
    decision = with_buckets(FREE, spent(Verdict.WAIT, wait=SECOND))
    headers = dict(answer(decision, Dialect.OPENAI, Refusals(), NOW).headers)
    assert headers[b"retry-after"] == b"1"
    assert headers[b"retry-after-ms"] == b"1000"
    assert headers[b"x-should-retry"] == b"false"


def test_a_call_with_more_buckets_than_the_limit_is_not_told_to_try_again() -> None:
    decision = with_buckets(FREE, spent(Verdict.NEVER))
    found = answer(decision, Dialect.OPENAI, Refusals(), NOW)
    assert b"retry-after" not in dict(found.headers)
    assert dict(found.headers)[b"x-should-retry"] == b"false"
    assert "try again" not in found.body.decode()


def test_a_websocket_closed_for_spent_buckets_is_told_nothing_about_them() -> None:
    found = close(ABNORMAL, Refusals())
    assert (found.code, found.reason) == (1008, "abnormal usage detected")


def test_shadow_buckets_alone_refuse_no_call() -> None:
    decision = with_buckets(FREE, spent(Verdict.WAIT, shadow=True))
    with pytest.raises(ValueError, match="found one that admits"):
        answer(decision, Dialect.OPENAI, Refusals(), NOW)
    with pytest.raises(ValueError, match="found one that admits"):
        answer(decision, Dialect.OPENAI, Refusals(), NOW, reason=ProblemType.ABNORMAL_USAGE)


@given(wait=st.integers(1, 400 * DAY))
def test_the_promised_wait_is_never_short(wait: int) -> None:
    decision = with_buckets(FREE, spent(Verdict.WAIT, wait=wait))
    headers = dict(answer(decision, Dialect.OPENAI, Refusals(), NOW).headers)
    assert int(headers[b"retry-after"]) * SECOND >= wait
    assert int(headers[b"retry-after-ms"]) * 1_000 >= wait
