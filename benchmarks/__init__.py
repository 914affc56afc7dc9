"""Measurements: `python -m benchmarks.overhead`, `python -m benchmarks.traffic`."""
