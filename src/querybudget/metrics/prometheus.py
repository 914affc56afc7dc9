"""Metrics for Prometheus, kept by prometheus-client.

With several workers, each scrape reaches one of them. If ``PROMETHEUS_MULTIPROC_DIR`` names a
directory, prometheus-client keeps what each worker counts in files there, and every worker answers
for all. What is no count but a state, such as the store's, is copied into those files too: when
calls end, once a second while a worker is not at rest, and when it is scraped.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from querybudget.errors import SetupError
from querybudget.events import DecisionEvent
from querybudget.limiter import Health, Limiter
from querybudget.metrics import series
from querybudget.metrics.labels import Labels
from querybudget.metrics.measuring import measure, open_calls, overrides_by_effect
from querybudget.metrics.series import METRICS, PREFIX, Kind, Metric
from querybudget.policy.model import Policy

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import Collector

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the directory shared by workers."""

PAUSE = 1.0
"""Seconds between two looks at a limiter that is not at rest."""

DONE, FAILED = "done", "failed"
_BEGAN = "_created"
_HEALTH = (
    (series.STORE_FAILURES, "failures"),
    (series.STORE_TIMEOUTS, "timeouts"),
    (series.WITHOUT_STORE, "without_store"),
    (series.LOST, "dropped"),
    (series.UNCHARGED, "refused"),
)
"""Counters, and the members of the store's health that they follow."""


class PrometheusMetrics:
    """A hook that counts every event, and the state of a limiter.

        metrics = PrometheusMetrics(policy)
        limiter = Limiter(policy, hooks=[metrics])
        metrics.watch(limiter)

    Make one in each process, before or after it forks.

    Args:
        policy: What the operator decided: its words are the labels' values.
        registry: Where the metrics are; one of their own by default. With
            ``prometheus_client.REGISTRY`` they stand among the application's.

    Raises:
        SetupError: prometheus-client is not installed.
    """

    def __init__(self, policy: Policy, registry: CollectorRegistry | None = None) -> None:
        client = _client()
        self.registry = registry if registry is not None else client.CollectorRegistry()
        self._policy: Policy = policy
        self._labels = Labels(policy)
        self._metrics: dict[str, Any] = {
            metric.name: _made(metric, self.registry) for metric in METRICS
        }
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._limiter: Limiter | None = None
        self._hash, self._refused = "", 0
        self._timer: asyncio.TimerHandle | None = None
        self._counted = dict.fromkeys((name for _, name in _HEALTH), 0)

    def watch(self, limiter: Limiter) -> None:
        """Show the state of this limiter too, and follow its policy when it is reloaded."""
        self._limiter = limiter
        self.refresh()

    def __call__(self, event: DecisionEvent) -> None:
        """Count one call."""
        for metric, values, amount in measure(event, self._labels, self._policy):
            self._put(metric, values, amount)
        if self._timer is None and self._limiter is not None:
            self._wait()

    def refresh(self) -> None:
        """Copy the limiter's state into the metrics. Scrapes do this by themselves."""
        limiter = self._limiter
        if limiter is None:
            return
        self._follow(limiter.policy)
        health = limiter.health()
        self._name_policy(limiter.policy_hash)
        self._put(series.STORE_UP, (), health.status is Health.OK)
        self._put(series.OUTBOX, (), health.outbox)
        for effect, entries in overrides_by_effect(limiter).items():
            self._put(series.OVERRIDES, (effect,), entries)
        self._put(series.RELOADS, (FAILED,), max(0, limiter.refused_policies - self._refused))
        self._refused = limiter.refused_policies
        self._put(series.OPEN_CALLS, (), open_calls(limiter))
        for metric, name in _HEALTH:
            count: int = getattr(health, name)
            self._put(metric, (), max(0, count - self._counted[name]))
            self._counted[name] = count

    def _name_policy(self, policy: str) -> None:
        if self._hash and self._hash != policy:
            self._put(series.POLICY, (self._hash,), 0)
            self._put(series.RELOADS, (DONE,), 1)
        self._hash = policy
        self._put(series.POLICY, (policy,), 1)

    def _follow(self, policy: Policy) -> None:
        if policy is not self._policy:
            self._policy, self._labels = policy, Labels(policy)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics of all workers as text, and its content type.

        Args:
            accept: The header of that name, which chooses between Prometheus' own format and
                OpenMetrics.
        """
        self.refresh()
        encode, content_type = _client().exposition.choose_encoder(accept)
        return encode(self._shown()), content_type

    def _shown(self) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an extra

        directory = os.environ.get(DIRECTORY)
        everything: Collector = self.registry
        if directory:
            forget_dead_workers(Path(directory))
            collector = import_module("prometheus_client.multiprocess").MultiProcessCollector
            everything = collector(CollectorRegistry(), directory)
        shown = CollectorRegistry()
        shown.register(_Ours(everything))
        return shown

    def _put(self, metric: Metric, values: tuple[str, ...], amount: float) -> None:
        child = self._children.get((metric.name, values))
        if child is None:
            child = self._metrics[metric.name]
            if values:
                child = child.labels(*values)
            self._children[metric.name, values] = child
        if metric.kind is Kind.COUNTER:
            child.inc(amount)
        elif metric.kind is Kind.GAUGE:
            child.set(amount)
        else:
            child.observe(amount)

    def _wait(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._timer = loop.call_later(PAUSE, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.refresh()
        limiter = self._limiter
        if limiter is not None and (open_calls(limiter) or not _at_rest(limiter)):
            self._wait()


class _Ours:
    """Collects our metrics from a registry that may have others, without their ``_created``."""

    def __init__(self, everything: Collector) -> None:
        self._everything = everything

    def collect(self) -> Iterator[Family]:
        for family in self._everything.collect():
            if family.name.startswith(PREFIX) and not family.name.endswith(_BEGAN):
                family.samples = [one for one in family.samples if not one.name.endswith(_BEGAN)]
                yield family


def forget_dead_workers(directory: Path) -> None:
    """Drop the states, such as open calls, of workers that have ended without saying so."""
    module = import_module("prometheus_client.multiprocess")
    dead: Callable[[int, str], None] = module.mark_process_dead
    workers = {path.stem.rpartition("_")[2] for path in directory.glob("gauge_live*.db")}
    for worker in workers:
        if worker.isdecimal() and not _lives(int(worker)):
            dead(int(worker), str(directory))


def _lives(process: int) -> bool:
    if sys.platform == "win32":
        return True  # signal 0 is Ctrl-C there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is another user's
    return True


def _at_rest(limiter: Limiter) -> bool:
    health = limiter.health()
    return health.status is Health.OK and not health.outbox


def _made(metric: Metric, registry: CollectorRegistry) -> Any:  # noqa: ANN401 - one of three classes
    client = _client()
    plain = (metric.name, metric.help, metric.labels)
    if metric.kind is Kind.COUNTER:
        return client.Counter(*plain, registry=registry)
    if metric.kind is Kind.GAUGE:
        return client.Gauge(*plain, registry=registry, multiprocess_mode=metric.workers)
    return client.Histogram(*plain, registry=registry, buckets=metric.buckets)


@functools.cache
def _client() -> Any:  # noqa: ANN401 - a module
    try:
        return import_module("prometheus_client")
    except ImportError:
        raise SetupError(
            "metrics for Prometheus need prometheus-client: pip install 'querybudget[prometheus]'"
        ) from None
