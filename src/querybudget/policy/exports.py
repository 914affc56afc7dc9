"""Where a server's metrics go: the part of a policy for those who watch it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from querybudget.policy.diagnostics import Problems
from querybudget.policy.fields import doc

Signal = Literal["metrics", "spans"]


class Exports(Struct, frozen=True):
    """Where metrics go."""

    prometheus: Annotated[
        str, doc("Path at which Prometheus scrapes; anyone who reaches it may read it.")
    ] = ""
    opentelemetry: Annotated[
        tuple[Signal, ...], doc("What goes to OpenTelemetry's SDK: `metrics`, `spans` or both.")
    ] = ()


ExportsItem = Annotated[
    Exports,
    doc("Where metrics go: a path for Prometheus such as `/-/metrics`, or a mapping."),
    Meta(extra={"short": "prometheus", "expected": "a path such as `/-/metrics`"}),
]


def check_exports(exports: Exports, problems: Problems) -> None:
    """Check that the path is one."""
    path = exports.prometheus
    if path and not path.startswith("/"):
        where = ("metrics", "prometheus") if problems.mapping(("metrics",)) else ("metrics",)
        problems.add(where, f"expected a path such as `/-/metrics`, found `{path}`")
