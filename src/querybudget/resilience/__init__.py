"""A store that fails: a time-out and a circuit breaker, decisions without it, and catching up."""

from __future__ import annotations
