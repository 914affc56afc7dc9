"""What Prometheus scrapes."""

from __future__ import annotations

import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from querybudget.adapters.base import Usage
from querybudget.admin import LocalAdmin
from querybudget.coverage import Reason
from querybudget.errors import StoreError
from querybudget.events import DecidedBy, DecisionEvent, EventStage, EventVerdict, Settlement
from querybudget.identity import Identity
from querybudget.ledger import Charge, Decision
from querybudget.limiter import Limiter, request_scope
from querybudget.metrics import METRICS, Kind, PrometheusMetrics, metrics_app, most_series
from querybudget.metrics.prometheus import DIRECTORY
from querybudget.metrics.series import OF_PROCESS
from querybudget.overrides import Effect, Override
from querybudget.policy.model import Policy
from querybudget.stores import MemoryStore
from querybudget.testing import ManualClock, drive, http_scope, memory_limiter
from querybudget.units import Micros, Millionths
from tests.metrics.driving import call, samples


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DIRECTORY, raising=False)


async def test_calls_are_counted_by_tier_model_and_verdict(policy: Policy) -> None:
    metrics = PrometheusMetrics(policy)
    limiter = memory_limiter(policy, hooks=[metrics])
    for _ in range(4):
        await call(limiter)
    found = samples(metrics.text()[0])
    of = 'model="gpt-5*",tier="default"'
    assert found[f'querybudget_calls_total{{{of},verdict="admit"}}'] == 3
    assert found[f'querybudget_calls_total{{{of},verdict="wait"}}'] == 1
    budget = 'budget="rpm",mode="enforce",tier="default"'
    assert found[f"querybudget_refusals_total{{{budget}}}"] == 1
    budget = 'budget="trial",mode="shadow",tier="default"'
    assert found[f"querybudget_refusals_total{{{budget}}}"] == 3
    assert found['querybudget_disturbed_calls_total{mode="enforce",tier="default"}'] == 1


async def test_each_token_is_counted_once(policy: Policy) -> None:
    metrics = PrometheusMetrics(policy)
    await call(memory_limiter(policy, hooks=[metrics]))
    found = samples(metrics.text()[0])
    tokens = {key: value for key, value in found.items() if "querybudget_tokens_total" in key}
    assert sum(tokens.values()) == 15
    assert {value for key, value in tokens.items() if "cached_input" in key} == {2}


async def test_a_model_that_the_policy_does_not_name_is_other(policy: Policy) -> None:
    metrics = PrometheusMetrics(policy)
    limiter = memory_limiter(policy, hooks=[metrics])
    await call(limiter, model="my-own-idea")
    text = metrics.text()[0].decode()
    assert 'model="other"' in text
    assert "my-own-idea" not in text


async def test_a_pool_shows_what_is_used_of_it(policy: Policy) -> None:
    metrics = PrometheusMetrics(policy)
    limiter = memory_limiter(policy, hooks=[metrics])
    await call(limiter, key="sk-a")
    await call(limiter, key="sk-b")
    found = samples(metrics.text()[0])
    pool = 'querybudget_pool_used_ratio{budget="house",model="",tier=""}'
    assert found[pool] == pytest.approx(0.2)


async def test_no_label_tells_who_called(policy: Policy) -> None:
    metrics = PrometheusMetrics(policy)
    keys: set[str] = set()
    limiter = memory_limiter(policy, hooks=[metrics, lambda event: keys.add(event.identity.key)])
    metrics.watch(limiter)
    await call(limiter, key="sk-secret")
    text = metrics.text()[0].decode()
    assert "sk-secret" not in text
    assert len(keys) == 1
    assert keys.pop()[:8] not in text


class _Down(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        raise StoreError("down")


async def test_a_store_that_is_down_shows(policy: Policy) -> None:
    metrics = PrometheusMetrics(policy)
    limiter = Limiter(policy, store=_Down(ManualClock()), hooks=[metrics])
    metrics.watch(limiter)
    assert samples(metrics.text()[0])["querybudget_store_up"] == 1
    for _ in range(5):
        await call(limiter)
    for _ in range(2):
        found = samples(metrics.text()[0])
        assert found["querybudget_store_up"] == 0
        assert found["querybudget_store_failures_total"] == 5
        assert found["querybudget_calls_without_store_total"] == 5
    await limiter.aclose()


async def test_open_calls_are_those_that_are_not_settled(policy: Policy) -> None:
    metrics = PrometheusMetrics(policy)
    limiter = memory_limiter(policy, hooks=[metrics])
    metrics.watch(limiter)
    async with limiter.admitted(request_scope("/v1/chat/completions")):
        assert samples(metrics.text()[0])["querybudget_open_calls"] == 1
    assert samples(metrics.text()[0])["querybudget_open_calls"] == 0


async def test_metrics_can_stand_among_an_applications_own(policy: Policy) -> None:
    registry = prometheus_client.CollectorRegistry()
    own = prometheus_client.Counter("own", "The application's.", registry=registry)
    own.inc()
    metrics = PrometheusMetrics(policy, registry)
    await call(memory_limiter(policy, hooks=[metrics]))
    text = prometheus_client.generate_latest(registry).decode()
    assert "own_total 1.0" in text
    assert "querybudget_calls_total{" in text
    assert "own_total" not in metrics.text()[0].decode()


async def test_the_endpoint_answers_scrapes(policy: Policy) -> None:
    metrics = PrometheusMetrics(policy)
    await call(memory_limiter(policy, hooks=[metrics]))
    app = metrics_app(metrics)
    answer = await drive(app, http_scope("/", method="GET"))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.body.decode()))
    kinds = {family.name: family.type for family in families}
    for metric in METRICS:
        assert kinds[metric.name.removesuffix("_total")] == metric.kind
    assert not any(name.endswith("_created") for name in kinds)
    accepts = {"accept": "application/openmetrics-text; version=1.0.0"}
    open_metrics = await drive(app, http_scope("/", method="GET", headers=accepts))
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.body.endswith(b"# EOF\n")


async def test_the_endpoint_is_only_read(policy: Policy) -> None:
    answer = await drive(metrics_app(PrometheusMetrics(policy)), http_scope("/"))
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


WORDS = st.text(max_size=8) | st.sampled_from(["gpt-5-mini", "claude-x", "gold", "rpm", "house"])
COUNTS = st.integers(0, 10**9)
EVENTS = st.builds(
    DecisionEvent,
    at=st.just(Micros(0)),
    identity=st.builds(Identity, WORDS, st.just("api_key")),
    tier=WORDS,
    method=WORDS,
    path=WORDS,
    operation=WORDS,
    model=WORDS,
    stream=st.booleans(),
    verdict=st.sampled_from(EventVerdict),
    violated=st.lists(WORDS, max_size=3).map(tuple),
    shadowed=st.lists(WORDS, max_size=3).map(tuple),
    price=COUNTS.map(Millionths),
    expected=st.just(Usage()),
    usage=st.none() | st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
    duration=COUNTS.map(Micros),
    settlement=st.sampled_from(Settlement),
    store=st.sampled_from(DecidedBy),
    covered=st.booleans(),
    opaque=st.lists(WORDS, max_size=3).map(tuple),
    capabilities=st.lists(WORDS, max_size=3).map(tuple),
    novelty=COUNTS,
    strain=COUNTS.map(Millionths),
    stage=st.sampled_from(EventStage),
    delay=COUNTS.map(Micros),
    shadow_stage=st.sampled_from(EventStage),
    reasons=st.lists(st.builds(Reason, WORDS, COUNTS), max_size=2).map(tuple),
)
SMALL = Policy.load(
    {
        "models": {"gpt-5*": {"input": "$1", "output": "$2"}},
        "budgets": [{"name": "rpm", "limit": "3 requests/minute"}],
    }
)


@settings(max_examples=30)
@given(st.lists(EVENTS, max_size=30))
def test_strangers_cannot_make_more_series_than_the_policy_has_words_for(
    events: list[DecisionEvent],
) -> None:
    metrics = PrometheusMetrics(SMALL)
    for event in events:
        metrics(event)
    of_process = {metric.name for metric in OF_PROCESS}
    names = [name for name in samples(metrics.text()[0]) if name not in of_process]
    assert len(names) <= most_series(SMALL)


def test_names_follow_prometheus_conventions() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.name.startswith("querybudget_")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.help.endswith(".")
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
        assert list(metric.buckets) == sorted(metric.buckets)


async def test_a_reload_and_a_policy_that_was_refused_are_counted(policy: Policy) -> None:
    metrics = PrometheusMetrics(policy)
    metrics.watch(memory_limiter(policy))
    other = memory_limiter({"budgets": [{"name": "rpm", "limit": "9 requests/minute"}]})
    metrics.watch(other)
    other.refused_policies += 1
    found = samples(metrics.text()[0])
    assert found['querybudget_reloads_total{result="done"}'] == 1
    assert found['querybudget_reloads_total{result="failed"}'] == 1
    assert found[f'querybudget_policy_info{{policy="{other.policy_hash}"}}'] == 1
    assert sum(value for name, value in found.items() if "policy_info" in name) == 1


async def test_overrides_are_counted_by_effect(policy: Policy) -> None:
    metrics, limiter = PrometheusMetrics(policy), memory_limiter(policy)
    admin = LocalAdmin(limiter)
    await admin.change(Override("", "0" * 32, effect=Effect.BLOCK), "block")
    metrics.watch(limiter)
    found = samples(metrics.text()[0])
    assert found['querybudget_overrides{effect="block"}'] == 1
    assert found['querybudget_overrides{effect="allow"}'] == 0
