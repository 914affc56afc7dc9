"""Every metric: its name, what it measures, and the labels that tell its series apart.

Names follow Prometheus' conventions: base units, and ``_total`` on what only grows. OpenTelemetry
has the same under dotted names, or under the name of its semantic conventions where there is one.
"""

from __future__ import annotations

import enum

import msgspec

PREFIX = "querybudget_"

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
TOKENS = (16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0)
PRICES = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
SHARES = (0.1, 0.25, 0.5, 0.65, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Upper bounds of histograms. A caller is suspect from 0.65 on; 0.65 and 0.85 begin stages."""


class Kind(enum.StrEnum):
    """How a metric behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True):
    """One metric.

    Attributes:
        name: Its name in Prometheus, ``_total`` included.
        help: What it measures.
        kind: How it behaves.
        labels: Names of its labels.
        buckets: Upper bounds, of a histogram.
        unit: As OpenTelemetry writes it (UCUM).
        workers: Of a gauge, how the figures of several workers become one: a
            ``multiprocess_mode`` of prometheus-client.
        convention: Its name in OpenTelemetry's semantic conventions; empty if they have none.
    """

    name: str
    help: str
    kind: Kind = Kind.COUNTER
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    unit: str = "1"
    workers: str = "livesum"
    convention: str = ""

    @property
    def dotted(self) -> str:
        """Its name in OpenTelemetry, which adds no suffix for the unit or the kind."""
        plain = self.name.removeprefix(PREFIX).removesuffix("_total")
        for suffix in ("_seconds", "_ratio"):
            plain = plain.removesuffix(suffix)
        return self.convention or f"querybudget.{plain}"


def _counter(name: str, words: str, *labels: str, unit: str = "1") -> Metric:
    return Metric(f"{PREFIX}{name}_total", words, Kind.COUNTER, labels, unit=unit)


def _gauge(name: str, words: str, *labels: str, workers: str = "livesum") -> Metric:
    return Metric(PREFIX + name, words, Kind.GAUGE, labels, workers=workers)


def _histogram(
    name: str, words: str, buckets: tuple[float, ...], *labels: str, unit: str, convention: str = ""
) -> Metric:
    return Metric(
        PREFIX + name, words, Kind.HISTOGRAM, labels, buckets, unit=unit, convention=convention
    )


# -- Of decisions --------------------------------------------------------------------------------

CALLS = _counter("calls", "Calls decided.", "tier", "model", "verdict", unit="{call}")
DISTURBED = _counter(
    "disturbed_calls",
    "Calls that were refused, slowed or degraded, or in shadow would have been.",
    "tier",
    "mode",
    unit="{call}",
)
STAGED = _counter(
    "staged_calls",
    "Calls that budgets of buckets slowed, degraded or refused, or in shadow would have.",
    "tier",
    "stage",
    "mode",
    unit="{call}",
)
REFUSALS = _counter(
    "refusals",
    "Budgets that refused a call, or in shadow would have.",
    "budget",
    "tier",
    "mode",
    unit="{refusal}",
)
USED_TOKENS = _counter(
    "tokens",
    "Tokens used, each of one kind: input excludes cached input, output excludes reasoning.",
    "tier",
    "model",
    "kind",
    unit="{token}",
)
CHARGED = _counter(
    "charged",
    "What calls took from budgets in the end, in the budgets' units.",
    "budget",
    "unit",
)
NEW_BUCKETS = _counter("new_buckets", "Buckets that calls newly entered.", unit="{bucket}")
CAPABILITY_CALLS = _counter(
    "capability_calls", "Calls by what they ask the model for.", "capability", unit="{call}"
)
OPAQUE_CALLS = _counter(
    "opaque_calls", "Calls with content that only the model can read.", "opaque", unit="{call}"
)
SETTLEMENTS = _counter(
    "settlements",
    "Reservations by how they ended and where the call was decided.",
    "settlement",
    "store",
    unit="{settlement}",
)
DURATION = _histogram(
    "call_duration_seconds",
    "Time from decision to settlement.",
    SECONDS,
    "model",
    unit="s",
    convention="gen_ai.server.request.duration",
)
CALL_TOKENS = _histogram(
    "call_tokens",
    "Tokens of a call: all of its input, all of its output.",
    TOKENS,
    "model",
    "direction",
    unit="{token}",
    convention="gen_ai.client.token.usage",
)
DELAY = _histogram(
    "delay_seconds", "Time by which slowed calls were delayed.", SECONDS, "tier", unit="s"
)
PRICE = _histogram(
    "price_ratio",
    "The factor at which calls were charged, or with shadow budgets would have been.",
    PRICES,
    "mode",
    unit="1",
)
STRAIN = _histogram(
    "strain_ratio", "How far callers had come in a budget of buckets.", SHARES, "tier", unit="1"
)
BUDGET_USED = _histogram(
    "budget_used_ratio",
    "Share of its limit that an account had used or held after a decision.",
    SHARES,
    "budget",
    unit="1",
)
POOL_USED = _gauge(
    "pool_used_ratio",
    "Share that is used of a limit for everybody, a tier or a model, at its last decision.",
    "budget",
    "tier",
    "model",
    workers="mostrecent",
)

# -- Of the process ------------------------------------------------------------------------------

OPEN_CALLS = _gauge("open_calls", "Calls that are open.")
STORE_UP = _gauge("store_up", "1 while the store answers, 0 while it is down.", workers="livemin")
STORE_FAILURES = _counter("store_failures", "Failed requests to the store.", unit="{request}")
STORE_TIMEOUTS = _counter("store_timeouts", "Requests without an answer.", unit="{request}")
WITHOUT_STORE = _counter("calls_without_store", "Calls decided without the store.", unit="{call}")
OUTBOX = _gauge("outbox_settlements", "Settlements that wait for the store's return.")
LOST = _counter("settlements_lost", "Settlements that were lost.", unit="{settlement}")
UNCHARGED = _counter(
    "uncharged", "Charges of calls without the store that it refused later.", unit="{charge}"
)
POLICY = _gauge("policy_info", "Workers by the hash of their policy.", "policy")
RELOADS = _counter("reloads", "Policies that were taken over, or were not.", "result")
OVERRIDES = _gauge("overrides", "Overrides by their effect.", "effect", workers="livemax")

OF_DECISIONS = (
    CALLS,
    DISTURBED,
    STAGED,
    REFUSALS,
    USED_TOKENS,
    CHARGED,
    NEW_BUCKETS,
    CAPABILITY_CALLS,
    OPAQUE_CALLS,
    SETTLEMENTS,
    DURATION,
    CALL_TOKENS,
    DELAY,
    PRICE,
    STRAIN,
    BUDGET_USED,
    POOL_USED,
)
OF_PROCESS = (
    OPEN_CALLS,
    STORE_UP,
    STORE_FAILURES,
    STORE_TIMEOUTS,
    WITHOUT_STORE,
    OUTBOX,
    LOST,
    UNCHARGED,
    POLICY,
    RELOADS,
    OVERRIDES,
)
METRICS = (*OF_DECISIONS, *OF_PROCESS)
