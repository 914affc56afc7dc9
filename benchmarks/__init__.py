"""Measurements: `python -m benchmarks.overhead`, `.stores`, `.traffic` and `.sweep`."""
