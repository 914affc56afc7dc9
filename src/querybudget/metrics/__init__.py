"""Metrics of decisions, for Prometheus and OpenTelemetry."""

from querybudget.metrics.labels import most_series
from querybudget.metrics.opentelemetry import OpenTelemetryMetrics, OpenTelemetrySpans
from querybudget.metrics.prometheus import PrometheusMetrics
from querybudget.metrics.scraping import metrics_app
from querybudget.metrics.series import METRICS, Kind, Metric

__all__ = [
    "METRICS",
    "Kind",
    "Metric",
    "OpenTelemetryMetrics",
    "OpenTelemetrySpans",
    "PrometheusMetrics",
    "metrics_app",
    "most_series",
]
