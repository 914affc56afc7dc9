"""What OpenTelemetry's SDK receives."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from querybudget.metrics import METRICS, OpenTelemetryMetrics, OpenTelemetrySpans
from querybudget.metrics.series import OF_DECISIONS
from querybudget.policy.model import Policy
from querybudget.testing import Decisions, memory_limiter
from tests.metrics.driving import call


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def metrics(policy: Policy, reader: InMemoryMetricReader) -> OpenTelemetryMetrics:
    return OpenTelemetryMetrics(policy, MeterProvider([reader]))


def _points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    assert data is not None
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "querybudget"
    return {metric.name: list(metric.data.data_points) for metric in scope.metrics}


async def test_calls_tokens_and_durations_are_recorded(
    policy: Policy, metrics: OpenTelemetryMetrics, reader: InMemoryMetricReader
) -> None:
    limiter = memory_limiter(policy, hooks=[metrics])
    for _ in range(4):
        await call(limiter)
    points = _points(reader)
    admitted, waited = points["querybudget.calls"]
    assert admitted.value == 3
    assert waited.attributes == {
        "querybudget.tier": "default",
        "gen_ai.request.model": "gpt-5*",
        "querybudget.verdict": "wait",
    }
    (duration,) = points["gen_ai.server.request.duration"]
    assert duration.count == 3
    kinds = {point.attributes["gen_ai.token.type"] for point in points["gen_ai.client.token.usage"]}
    assert kinds == {"input", "output"}


async def test_the_state_of_a_limiter_is_observed(
    policy: Policy, metrics: OpenTelemetryMetrics, reader: InMemoryMetricReader
) -> None:
    metrics.watch(memory_limiter(policy, hooks=[metrics]))
    points = _points(reader)
    (up,) = points["querybudget.store_up"]
    (opened,) = points["querybudget.open_calls"]
    assert (up.value, opened.value) == (1, 0)


def test_every_metric_has_a_name_of_its_own() -> None:
    names = [metric.dotted for metric in METRICS]
    assert len(set(names)) == len(names)
    assert {metric.convention for metric in OF_DECISIONS if metric.convention} == {
        "gen_ai.server.request.duration",
        "gen_ai.client.token.usage",
    }


async def test_each_call_is_a_span_within_the_current_one(policy: Policy) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    events = Decisions()
    limiter = memory_limiter(policy, hooks=[OpenTelemetrySpans(provider), events])
    with provider.get_tracer("server").start_as_current_span("request"):
        for _ in range(4):
            await call(limiter)
    *_, admitted, refused, outer = exporter.get_finished_spans()
    assert admitted.parent is not None
    assert outer.context is not None
    assert admitted.parent.span_id == outer.context.span_id
    assert admitted.name == "querybudget chat"
    assert admitted.attributes is not None
    assert admitted.attributes["gen_ai.usage.input_tokens"] == 10
    assert admitted.attributes["querybudget.verdict"] == "admit"
    assert [event.name for event in refused.events] == ["querybudget.disturbed"]
    assert refused.events[0].attributes is not None
    assert refused.events[0].attributes["querybudget.violated"] == ("rpm",)
    assert events.last.identity.key not in str(admitted.attributes)


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("sent", "continued"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{PARENT}-01", False),
        (f"00-{TRACE}-{PARENT}-01-more", False),
    ],
)
async def test_without_a_current_span_the_callers_trace_goes_on(
    sent: str, continued: bool, policy: Policy
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    await call(memory_limiter(policy, hooks=[OpenTelemetrySpans(provider)]), traceparent=sent)
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert (format(span.context.trace_id, "032x") == TRACE) is continued
    assert (span.parent is not None) is continued
