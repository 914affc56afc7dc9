"""Metrics that a policy asks for, made with the limiter of the middleware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from querybudget.asgi.types import Scope, Send
from querybudget.events import Hook
from querybudget.limiter import Limiter
from querybudget.policy.model import Policy

if TYPE_CHECKING:
    from querybudget.metrics import OpenTelemetryMetrics, PrometheusMetrics


class Exporters:
    """The hooks that a policy's `metrics` asks for.

    Args:
        policy: Says which.

    Attributes:
        path: Path at which Prometheus scrapes; empty for none.
        hooks: For the limiter.

    Raises:
        SetupError: An extra that one needs is not installed.
    """

    def __init__(self, policy: Policy) -> None:
        exports = policy.metrics
        self.path, self.hooks = exports.prometheus, tuple[Hook, ...]()
        self._prometheus: PrometheusMetrics | None = None
        self._watching: list[PrometheusMetrics | OpenTelemetryMetrics] = []
        if not self.path and not exports.opentelemetry:
            return
        from querybudget import metrics  # noqa: PLC0415 - few policies ask for any

        if self.path:
            self._prometheus = metrics.PrometheusMetrics(policy)
            self._watching.append(self._prometheus)
        if "metrics" in exports.opentelemetry:
            self._watching.append(metrics.OpenTelemetryMetrics(policy))
        self.hooks = tuple(self._watching)
        if "spans" in exports.opentelemetry:
            self.hooks += (metrics.OpenTelemetrySpans(),)

    def watch(self, limiter: Limiter) -> None:
        """Show the state of this limiter too."""
        for hook in self._watching:
            hook.watch(limiter)

    async def scraped(self, scope: Scope, send: Send) -> None:
        """Answer a scrape."""
        from querybudget.metrics.scraping import send_metrics  # noqa: PLC0415

        if self._prometheus is not None:
            await send_metrics(self._prometheus, scope, send)
