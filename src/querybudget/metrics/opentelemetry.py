"""Metrics and spans for OpenTelemetry, by its API alone: the program sets up the SDK.

The instruments are those of `querybudget.metrics.series` under dotted names. Where the semantic
conventions for generative AI name a thing, theirs is the name, and the attributes too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from querybudget.errors import SetupError
from querybudget.events import DecisionEvent
from querybudget.limiter import Health, Limiter
from querybudget.metrics import series
from querybudget.metrics.labels import Labels
from querybudget.metrics.measuring import is_disturbed, measure, open_calls
from querybudget.metrics.series import OF_DECISIONS, Kind, Metric
from querybudget.policy.model import Policy
from querybudget.units import MICRO, SECOND

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import TracerProvider

SCOPE = "querybudget"
"""Name of the instrumentation scope."""

_ATTRIBUTES = {"model": "gen_ai.request.model", "kind": "gen_ai.token.type"}
"""Labels that have a name in the semantic conventions."""

_OF_CONVENTIONS = {"direction": "gen_ai.token.type"}
"""Labels that have such a name only on metrics that the conventions name."""

OPERATIONS = {
    "chat": "chat",
    "messages": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "generate": "generate_content",
}
"""`Call.operation` to ``gen_ai.operation.name``; the others keep their name."""

_NANOSECONDS = 1_000_000_000 // SECOND


class OpenTelemetryMetrics:
    """A hook that counts every event, and the state of a limiter, in OpenTelemetry's instruments.

    Args:
        policy: What the operator decided: its words are the attributes' values.
        meter_provider: Where the instruments are made; the program's by default.

    Raises:
        SetupError: opentelemetry-api is not installed.
    """

    def __init__(self, policy: Policy, meter_provider: MeterProvider | None = None) -> None:
        self._meter = _api("metrics").get_meter(SCOPE, meter_provider=meter_provider)
        self._policy: Policy = policy
        self._labels = Labels(policy)
        self._record = {metric.name: self._made(metric) for metric in OF_DECISIONS}
        self._attributes: dict[tuple[str, tuple[str, ...]], Mapping[str, str]] = {}
        self._limiter: Limiter | None = None

    def watch(self, limiter: Limiter) -> None:
        """Show the state of this limiter too, and follow its policy when it is reloaded."""
        first, self._limiter = self._limiter is None, limiter
        if first:
            self._observe_state()

    def __call__(self, event: DecisionEvent) -> None:
        """Count one call."""
        policy: Policy = self._policy if self._limiter is None else self._limiter.policy
        if policy is not self._policy:
            self._policy, self._labels = policy, Labels(policy)
        for metric, values, amount in measure(event, self._labels, self._policy):
            key = (metric.name, values)
            attributes = self._attributes.get(key)
            if attributes is None:
                attributes = self._attributes[key] = attributes_of(metric, values)
            self._record[metric.name](amount, attributes)

    def _made(self, metric: Metric) -> Callable[[float, Mapping[str, str]], None]:
        about: dict[str, Any] = {"unit": metric.unit, "description": metric.help}
        record: Callable[[float, Mapping[str, str]], None]
        if metric.kind is Kind.COUNTER:
            record = self._meter.create_counter(metric.dotted, **about).add
        elif metric.kind is Kind.GAUGE:
            record = self._meter.create_gauge(metric.dotted, **about).set
        else:
            about["explicit_bucket_boundaries_advisory"] = list(metric.buckets)
            record = self._meter.create_histogram(metric.dotted, **about).record
        return record

    def _observe_state(self) -> None:
        for metric, read in _STATE:
            kind = "counter" if metric.kind is Kind.COUNTER else "gauge"
            create = getattr(self._meter, f"create_observable_{kind}")
            about = {"unit": metric.unit, "description": metric.help}
            create(metric.dotted, [functools.partial(self._observed, read)], **about)

    def _observed(
        self, read: Callable[[Limiter], float], options: CallbackOptions
    ) -> Iterable[Observation]:
        del options
        limiter = self._limiter
        return () if limiter is None else (_api("metrics").Observation(read(limiter)),)


class OpenTelemetrySpans:
    """A hook that makes a span of each call, from its decision to its settlement.

    The span's parent is the span that is current, as an instrumentation outside the middleware
    makes it; without one, the caller's, by the ``traceparent`` of its request. It holds what the
    event says but for the identity.

    Args:
        tracer_provider: Where spans are made; the program's by default.

    Raises:
        SetupError: opentelemetry-api is not installed.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._trace = _api("trace")
        self._tracer = self._trace.get_tracer(SCOPE, tracer_provider=tracer_provider)

    def __call__(self, event: DecisionEvent) -> None:
        """Make the span of one call."""
        begin = event.at * _NANOSECONDS
        span = self._tracer.start_span(
            f"querybudget {operation_of(event)}",
            context=self._context(event.trace),
            start_time=begin,
            attributes=span_attributes(event),
        )
        if is_disturbed(event):
            span.add_event("querybudget.disturbed", _reasons(event), timestamp=begin)
        span.end(begin + event.duration * _NANOSECONDS)

    def _context(self, sent: str) -> Context | None:
        """Return the context of a ``traceparent``; None for the present one."""
        api = self._trace
        if not sent or api.get_current_span().get_span_context().is_valid:
            return None
        _, trace, parent, flags = (int(part, 16) for part in sent.split("-"))
        remote = api.SpanContext(trace, parent, is_remote=True, trace_flags=api.TraceFlags(flags))
        context: Context = api.set_span_in_context(api.NonRecordingSpan(remote))
        return context


def operation_of(event: DecisionEvent) -> str:
    """Return the operation as the semantic conventions name it."""
    return OPERATIONS.get(event.operation, event.operation)


def attributes_of(metric: Metric, values: tuple[str, ...]) -> Mapping[str, str]:
    """Return labels as attributes, under the names of the semantic conventions if they have one."""
    names = _ATTRIBUTES | (_OF_CONVENTIONS if metric.convention else {})
    pairs = zip(metric.labels, values, strict=True)
    return {names.get(label, f"querybudget.{label}"): str(value) for label, value in pairs}


def span_attributes(event: DecisionEvent) -> dict[str, str | bool | int | float | tuple[str, ...]]:
    """Return what a span says of a call. What was not asked or not found is left out."""
    usage = event.usage
    found: dict[str, str | bool | int | float | tuple[str, ...]] = {
        "gen_ai.operation.name": operation_of(event),
        "gen_ai.request.model": event.model,
        "gen_ai.usage.input_tokens": usage.input if usage else 0,
        "gen_ai.usage.output_tokens": usage.output if usage else 0,
        "http.request.method": event.method,
        "http.response.status_code": event.status,
        "url.path": event.path,
        "querybudget.request_id": event.request_id,
        "querybudget.policy": event.policy,
        "querybudget.tier": event.tier,
        "querybudget.verdict": str(event.verdict),
        "querybudget.stage": str(event.stage),
        "querybudget.settlement": str(event.settlement),
        "querybudget.store": str(event.store),
        "querybudget.violated": event.violated,
        "querybudget.shadowed": event.shadowed,
        "querybudget.price": event.price / MICRO,
        "querybudget.strain": event.strain / MICRO,
        "querybudget.delay": event.delay / SECOND,
        "querybudget.capabilities": event.capabilities,
    }
    return {name: value for name, value in found.items() if value}


def _reasons(event: DecisionEvent) -> dict[str, str | float | tuple[str, ...]]:
    return {
        "querybudget.violated": event.violated,
        "querybudget.wait": event.wait / SECOND,
        "querybudget.reasons": tuple(reason.signal for reason in event.reasons),
    }


_STATE: tuple[tuple[Metric, Callable[[Limiter], float]], ...] = (
    (series.OPEN_CALLS, open_calls),
    (series.STORE_UP, lambda limiter: limiter.health().status is Health.OK),
    (series.STORE_FAILURES, lambda limiter: limiter.health().failures),
    (series.STORE_TIMEOUTS, lambda limiter: limiter.health().timeouts),
    (series.WITHOUT_STORE, lambda limiter: limiter.health().without_store),
    (series.OUTBOX, lambda limiter: limiter.health().outbox),
    (series.LOST, lambda limiter: limiter.health().dropped),
    (series.UNCHARGED, lambda limiter: limiter.health().refused),
)


@functools.cache
def _api(part: str) -> Any:  # noqa: ANN401 - a module
    try:
        return import_module(f"opentelemetry.{part}")
    except ImportError:
        raise SetupError(
            "metrics and spans for OpenTelemetry need opentelemetry-api: pip install"
            " 'querybudget[opentelemetry]'"
        ) from None
