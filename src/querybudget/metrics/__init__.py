"""Metrics of decisions, for Prometheus and OpenTelemetry."""
