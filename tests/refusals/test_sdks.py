"""What the clients people really use make of a refusal; nothing leaves the process."""

from __future__ import annotations

import time
from collections.abc import Callable

import anthropic
import httpx2
import openai
import pytest

from querybudget.adapters.base import Dialect
from querybudget.ledger import Decision
from querybudget.policy.model import Refusals
from querybudget.refusals import Answer, ProblemType, answer, body_too_large, store_down, unpriced
from querybudget.units import MICRO, Unit
from tests.refusals.decisions import DAY, NOW, OWN, TPM, decide, line, quota

SHORT = decide([line(TPM, 2_000 * MICRO)], used=[28_770 * MICRO], now=NOW + 58_500_000)
LONG = decide([line(quota("daily", Unit.TOKENS, 9 * MICRO, DAY), 2 * MICRO)], used=[9 * MICRO])
NEVER = decide([line(TPM, 40_000 * MICRO)])

Call = Callable[[Answer], tuple[BaseException, int]]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a client would have slept; time itself stands still."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


class Server:
    """Answers every request with the same refusal, and counts."""

    def __init__(self, refusal: Answer) -> None:
        self.requests = 0
        self._refusal = refusal

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        refusal = self._refusal
        return httpx2.Response(refusal.status, headers=refusal.headers, content=refusal.body)


def ask_openai(refusal: Answer) -> tuple[openai.APIStatusError, int]:
    server = Server(refusal)
    http = httpx2.Client(transport=httpx2.MockTransport(server))
    with openai.OpenAI(api_key="k", base_url="http://models.test/v1", http_client=http) as client:
        create = client.chat.completions.create
        with pytest.raises(openai.APIStatusError) as raised:
            create(model="m", messages=[{"role": "user", "content": "hi"}])
    return raised.value, server.requests


def ask_anthropic(refusal: Answer) -> tuple[anthropic.APIStatusError, int]:
    server = Server(refusal)
    http = httpx2.Client(transport=httpx2.MockTransport(server))
    with anthropic.Anthropic(
        api_key="k", base_url="http://models.test", http_client=http
    ) as client:
        create = client.messages.create
        with pytest.raises(anthropic.APIStatusError) as raised:
            create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    return raised.value, server.requests


def refuse(decision: Decision, dialect: Dialect) -> Answer:
    return answer(decision, dialect, Refusals(), NOW, disclosed=OWN, request_id="req_1")


def test_openais_client_raises_its_rate_limit_error_with_our_message(slept: list[float]) -> None:
    error, _ = ask_openai(refuse(SHORT, Dialect.OPENAI))

    assert isinstance(error, openai.RateLimitError)
    assert (error.type, error.code, error.param) == ("tokens", "rate_limit_exceeded", None)
    assert "budget 'tpm': limit 30000 tokens per minute, used 28770" in str(error)
    assert error.request_id == "req_1"


def test_anthropics_client_raises_its_rate_limit_error_with_our_message(slept: list[float]) -> None:
    error, _ = ask_anthropic(refuse(SHORT, Dialect.ANTHROPIC))

    assert isinstance(error, anthropic.RateLimitError)
    assert isinstance(error.body, dict)
    assert error.body["error"]["type"] == "rate_limit_error"
    assert "budget 'tpm': limit 30000 tokens per minute, used 28770" in str(error)
    assert error.request_id == "req_1"


@pytest.mark.parametrize(
    ("ask", "dialect"), [(ask_openai, Dialect.OPENAI), (ask_anthropic, Dialect.ANTHROPIC)]
)
def test_a_client_waits_exactly_as_long_as_a_short_refusal_says(
    ask: Call, dialect: Dialect, slept: list[float]
) -> None:
    _, requests = ask(refuse(SHORT, dialect))

    assert requests == 3
    assert slept == [1.5, 1.5]


@pytest.mark.parametrize(
    ("ask", "dialect"), [(ask_openai, Dialect.OPENAI), (ask_anthropic, Dialect.ANTHROPIC)]
)
@pytest.mark.parametrize("decision", [LONG, NEVER])
def test_a_client_neither_sleeps_nor_retries_where_that_cannot_help(
    ask: Call, dialect: Dialect, decision: Decision, slept: list[float]
) -> None:
    _, requests = ask(refuse(decision, dialect))

    assert requests == 1
    assert slept == []


@pytest.mark.parametrize("decision", [LONG, NEVER])
def test_openais_client_reads_insufficient_quota(decision: Decision, slept: list[float]) -> None:
    error, _ = ask_openai(refuse(decision, Dialect.OPENAI))

    assert isinstance(error, openai.RateLimitError)
    assert (error.type, error.code) == ("insufficient_quota", "insufficient_quota")


@pytest.mark.parametrize(
    ("ask", "dialect"), [(ask_openai, Dialect.OPENAI), (ask_anthropic, Dialect.ANTHROPIC)]
)
def test_abnormal_usage_is_not_retried_however_short_the_wait(
    ask: Call, dialect: Dialect, slept: list[float]
) -> None:
    settings, reason = Refusals(), ProblemType.ABNORMAL_USAGE
    error, requests = ask(answer(SHORT, dialect, settings, NOW, disclosed=OWN, reason=reason))

    assert (requests, slept) == (1, [])
    assert "abnormal-usage-detected" in str(error)


def test_clients_retry_after_the_time_that_store_down_says(slept: list[float]) -> None:
    error, requests = ask_openai(store_down(Dialect.OPENAI))
    other, _ = ask_anthropic(store_down(Dialect.ANTHROPIC))

    assert isinstance(error, openai.InternalServerError)
    assert isinstance(other, anthropic.InternalServerError)
    assert requests == 3
    assert slept == [5, 5, 5, 5]


def test_clients_do_not_retry_what_the_caller_must_change(slept: list[float]) -> None:
    too_large, requests = ask_openai(body_too_large(9, Dialect.OPENAI))
    refused, more_requests = ask_anthropic(unpriced("m", Dialect.ANTHROPIC))

    assert too_large.status_code == 413
    assert too_large.code == "body_too_large"
    assert isinstance(refused, anthropic.PermissionDeniedError)
    assert (requests, more_requests, slept) == (1, 1, [])
