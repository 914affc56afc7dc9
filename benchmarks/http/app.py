"""What uvicorn runs: the application of `benchmarks.overhead` in the case that LIMITER names."""

from __future__ import annotations

import os

from benchmarks.overhead.cases import BARE, application, cases
from benchmarks.overhead.measure import ASGIApp

__all__ = ["app"]


def _named(name: str, path: str) -> ASGIApp:
    for case in cases():
        if case.name == name and case.request.title == path:
            return case.around(application())
    raise SystemExit(f"LIMITER={name!r}: expected a case of benchmarks.overhead on {path}")


app = _named(os.environ.get("LIMITER", BARE), os.environ.get("BEHIND", "/items"))
