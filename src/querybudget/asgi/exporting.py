"""Metrics that a policy asks for, fed by the limiter of the middleware."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from querybudget.asgi.types import Scope, Send
from querybudget.limiter import Limiter
from querybudget.policy.model import Policy

if TYPE_CHECKING:
    from querybudget.metrics import OpenTelemetryMetrics, OpenTelemetrySpans, PrometheusMetrics

    Exporter = PrometheusMetrics | OpenTelemetryMetrics | OpenTelemetrySpans

Metrics = TypeVar("Metrics", "PrometheusMetrics", "OpenTelemetryMetrics")


class Exporters:
    """Lets a limiter feed what the `metrics` of its policy asks for, from one policy to the next.

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
        self.path = ""
        self._limiter = limiter
        self._hooks: dict[str, Exporter] = {}
        self._fed = set[str]()
        self.follow(limiter.policy)
        limiter.reporter.followed_by(self)

    def follow(self, policy: Policy) -> None:
        """Feed what this policy asks for, from the next call on.

        What an earlier policy asked for too goes on counting where it was.

        Raises:
            SetupError: An extra that one needs is not installed. Everything stays as it was.
        """
        exports, reporter = policy.metrics, self._limiter.reporter
        wanted = {*exports.opentelemetry, *(["prometheus"] if exports.prometheus else [])}
        self._hooks |= {name: self._hook(name, policy) for name in wanted - self._hooks.keys()}
        for name in wanted - self._fed:
            if reporter.hook(type(self._hooks[name])) is None:
                reporter.add([self._hooks[name]])
                self._fed.add(name)
        for name in self._fed - wanted:
            reporter.remove(self._hooks[name])
        self._fed &= wanted
        self.path = exports.prometheus

    def _hook(self, name: str, policy: Policy) -> Exporter:
        """Return the limiter's hook of a kind; a new one if it has none."""
        from querybudget import metrics  # noqa: PLC0415 - few policies ask for any

        found = self._limiter.reporter.hook
        if name == "spans":
            return found(metrics.OpenTelemetrySpans) or metrics.OpenTelemetrySpans()
        if name == "prometheus":
            return found(metrics.PrometheusMetrics) or _watching(
                metrics.PrometheusMetrics(policy), self._limiter
            )
        return found(metrics.OpenTelemetryMetrics) or _watching(
            metrics.OpenTelemetryMetrics(policy), self._limiter
        )

    async def scraped(self, scope: Scope, send: Send) -> None:
        """Answer a scrape."""
        from querybudget.metrics.prometheus import PrometheusMetrics  # noqa: PLC0415
        from querybudget.metrics.scraping import send_metrics  # noqa: PLC0415

        hook = self._hooks.get("prometheus")
        if isinstance(hook, PrometheusMetrics):
            await send_metrics(hook, scope, send)


def _watching(made: Metrics, limiter: Limiter) -> Metrics:
    """Let metrics show a limiter's state too."""
    made.watch(limiter)
    return made
