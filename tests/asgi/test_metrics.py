"""Metrics that the policy asks for, without a line of code."""

from __future__ import annotations

from typing import Any

import pytest

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.errors import PolicyError
from querybudget.limiter import Limiter
from querybudget.metrics import PrometheusMetrics
from querybudget.metrics.prometheus import DIRECTORY
from querybudget.policy.model import Policy
from querybudget.testing import FakeModel, drive, http_scope, request

CALL = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
BUDGETS = [{"name": "rpm", "limit": "1 requests/minute"}]


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DIRECTORY, raising=False)


def _app(metrics: Any) -> QueryBudgetMiddleware:
    return QueryBudgetMiddleware(FakeModel(), {"budgets": BUDGETS, "metrics": metrics})


async def _scrape(app: QueryBudgetMiddleware, path: str = "/-/metrics", **scope: Any) -> str:
    driven = await drive(app, http_scope(path, method="GET", **scope))
    return driven.body.decode() if driven.status == 200 else ""


@pytest.mark.parametrize("metrics", ["/-/metrics", {"prometheus": "/-/metrics"}])
async def test_the_middleware_answers_scrapes_at_the_policys_path(metrics: Any) -> None:
    app = _app(metrics)
    for _ in range(2):
        await drive(app, http_scope(key="a"), request(CALL))
    text = await _scrape(app)
    assert 'verdict="admit"} 1.0' in text
    assert 'verdict="wait"} 1.0' in text
    assert 'querybudget_charged_total{budget="rpm",unit="requests"} 1.0' in text
    assert f'querybudget_policy_info{{policy="{app.limiter.policy_hash}"}} 1.0' in text


async def test_a_scrape_costs_no_budget_and_is_not_counted() -> None:
    app = _app("/-/metrics")
    texts = [await _scrape(app, key="a") for _ in range(3)]
    assert not any("verdict=" in text for text in texts)


async def test_without_the_word_the_path_is_the_applications() -> None:
    app = QueryBudgetMiddleware(FakeModel(), {"budgets": BUDGETS})
    assert "querybudget_" not in await _scrape(app)


def test_a_path_begins_with_a_slash() -> None:
    with pytest.raises(PolicyError, match="expected a path such as `/-/metrics`, found `metrics`"):
        Policy.load({"budgets": BUDGETS, "metrics": "metrics"})


async def test_opentelemetry_is_fed_where_the_policy_says_so() -> None:
    app = _app({"opentelemetry": ["metrics", "spans"]})
    driven = await drive(app, http_scope(key="a"), request(CALL))
    assert driven.status == 200


async def test_a_limiter_of_ones_own_is_measured_too_and_no_call_twice() -> None:
    policy = Policy.load({"budgets": BUDGETS, "metrics": "/-/metrics"})
    for hooks in ([], [PrometheusMetrics(policy)]):
        limiter = Limiter(policy, hooks=hooks)
        apps = [QueryBudgetMiddleware(FakeModel(), limiter=limiter) for _ in range(2)]
        await drive(apps[0], http_scope(key="a"), request(CALL))
        texts = [await _scrape(app) for app in apps]
        assert all('verdict="admit"} 1.0' in text for text in texts)


async def test_a_reload_turns_metrics_on_and_off_and_they_go_on_counting() -> None:
    plain, elsewhere = {"budgets": BUDGETS}, {"budgets": BUDGETS, "metrics": "/elsewhere"}
    app = QueryBudgetMiddleware(FakeModel(), plain)
    await app.limiter.reload(Policy.load({**plain, "metrics": "/-/metrics"}))
    await drive(app, http_scope(key="a"), request(CALL))
    assert 'verdict="admit"} 1.0' in await _scrape(app)
    await app.limiter.reload(Policy.load(plain))
    assert not app.limiter.reporter.on
    await drive(app, http_scope(key="b"), request(CALL))
    assert "querybudget_" not in await _scrape(app)
    await app.limiter.reload(Policy.load(elsewhere))
    await drive(app, http_scope(key="c"), request(CALL))
    assert 'verdict="admit"} 2.0' in await _scrape(app, "/elsewhere")
    assert "querybudget_" not in await _scrape(app)
