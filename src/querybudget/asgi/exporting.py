"""Metrics that a policy asks for, made with the limiter of the middleware."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from querybudget.asgi.types import Scope, Send
from querybudget.limiter import Limiter

if TYPE_CHECKING:
    from querybudget.metrics import OpenTelemetryMetrics, PrometheusMetrics

Metrics = TypeVar("Metrics", "PrometheusMetrics", "OpenTelemetryMetrics")


class Exporters:
    """Lets a limiter feed what the `metrics` of its policy asks for.

    A limiter that has such a hook already, such as one of the application's own, keeps it and
    counts no call twice.

    Args:
        limiter: The limiter.

    Attributes:
        path: Path at which Prometheus scrapes; empty for none.

    Raises:
        SetupError: An extra that one needs is not installed.
    """

    def __init__(self, limiter: Limiter) -> None:
        exports = limiter.policy.metrics
        self.path = exports.prometheus
        self._prometheus: PrometheusMetrics | None = None
        if not self.path and not exports.opentelemetry:
            return
        from querybudget import metrics  # noqa: PLC0415 - few policies ask for any

        if self.path:
            self._prometheus = _fed(limiter, metrics.PrometheusMetrics)
        if "metrics" in exports.opentelemetry:
            _fed(limiter, metrics.OpenTelemetryMetrics)
        if "spans" in exports.opentelemetry:
            reporter = limiter.reporter
            if reporter.hook(metrics.OpenTelemetrySpans) is None:
                reporter.add([metrics.OpenTelemetrySpans()])

    async def scraped(self, scope: Scope, send: Send) -> None:
        """Answer a scrape."""
        from querybudget.metrics.scraping import send_metrics  # noqa: PLC0415

        if self._prometheus is not None:
            await send_metrics(self._prometheus, scope, send)


def _fed(limiter: Limiter, kind: type[Metrics]) -> Metrics:
    """Return the limiter's hook of a kind, which it is given if it has none."""
    found = limiter.reporter.hook(kind)
    if found is None:
        found = kind(limiter.policy)
        found.watch(limiter)
        limiter.reporter.add([found])
    return found
