"""The arithmetic: what calls need of Redis Cluster and of workers, and where it bends.

A call is charged on its caller's account, all of whose keys are in one slot, so on one shard. Costs
are measured; all else is an assumption of `Fleet`, stated with its unit.

- **Processor**: a Redis process uses one core, and `busy` of it at most: the wait of M/D/1 doubles
  from 0.5 to 0.67, and is ten times the service at 0.95.
- **Skew**: callers are drawn by Zipf's law with exponent `skew`. The busiest shard has more than
  the mean, by chance and by the callers that are busiest; it decides how many shards there are.
- **Memory**: bytes of an identity, times `spare` for fragmentation and for copies while forking.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Costs", "Fleet", "Need", "bend", "busiest", "need", "predicted", "wait_us"]

DRAWN = 20_000
"""Busiest callers that are put on shards one by one; the others are spread evenly."""

TRIALS = 5


@dataclass(frozen=True)
class Costs:
    """Measured, of one call: a reservation and its settlement.

    Attributes:
        server_us: Processor time of the Redis process.
        client_us: Processor time of the worker, for the store alone.
        bytes_in: Received by the server.
        bytes_out: Sent by it.
        identity_bytes: Of all keys of an identity.
    """

    server_us: float
    client_us: float
    bytes_in: float
    bytes_out: float
    identity_bytes: float


@dataclass(frozen=True)
class Fleet:
    """What is wanted, and what is assumed.

    Attributes:
        per_second: Calls.
        identities: Callers with an account.
        skew: Exponent of Zipf's law.
        busy: Share of its core that a shard may use.
        shard_bytes: Memory of a shard.
        spare: Factor on what data takes.
        shard_network: Bits a second of a shard's interface, each way.
    """

    per_second: float = 100_000
    identities: int = 10_000_000
    skew: float = 0.8
    busy: float = 0.6
    shard_bytes: float = 16 * 2**30
    spare: float = 1.5
    shard_network: float = 10e9


@dataclass(frozen=True)
class Need:
    """What a fleet needs.

    Attributes:
        shards: The most of the following.
        by_processor: So that the busiest shard is no busier than allowed.
        by_memory: So that all identities fit.
        by_network: So that interfaces carry it.
        busiest: Calls of the busiest shard, as a multiple of the mean.
        wait_us: Mean wait for a busy shard, added to its own time.
        memory_gib: Of all shards, with what is spare.
        network_mbit: Of all shards, both ways.
        worker_cores: Of the workers, for the store alone.
    """

    shards: int
    by_processor: int
    by_memory: int
    by_network: int
    busiest: float
    wait_us: float
    memory_gib: float
    network_mbit: float
    worker_cores: float


def need(costs: Costs, fleet: Fleet) -> Need:
    """What a fleet needs for its rate."""
    memory = fleet.identities * costs.identity_bytes * fleet.spare
    widest = max(costs.bytes_in, costs.bytes_out) * 8 * fleet.per_second
    by_memory = math.ceil(memory / fleet.shard_bytes)
    by_network = math.ceil(widest / (fleet.shard_network * fleet.busy))
    by_processor = _shards_by_processor(costs, fleet)
    shards = max(by_processor, by_memory, by_network)
    uneven = busiest(shards, fleet)
    share = uneven * fleet.per_second / shards * costs.server_us / 1e6
    return Need(
        shards,
        by_processor,
        by_memory,
        by_network,
        round(uneven, 3),
        round(wait_us(costs.server_us, share), 1),
        round(memory / 2**30, 1),
        round((costs.bytes_in + costs.bytes_out) * 8 * fleet.per_second / 1e6, 1),
        round(fleet.per_second * costs.client_us / 1e6, 1),
    )


def _shards_by_processor(costs: Costs, fleet: Fleet) -> int:
    cores = fleet.per_second * costs.server_us / 1e6 / fleet.busy
    shards = max(math.ceil(cores), 1)
    while busiest(shards, fleet) * cores > shards:
        if _first(fleet) * cores > 1:
            break  # the busiest caller alone is too much for any shard
        shards += max(shards // 20, 1)
    return shards


def busiest(shards: int, fleet: Fleet) -> float:
    """Calls of the busiest shard as a multiple of the mean: the median of some drawn placements."""
    if shards == 1:
        return 1.0
    known = np.arange(1, min(DRAWN, fleet.identities) + 1, dtype=float)
    shares = known**-fleet.skew / _zipf(fleet)
    rest = max(1 - float(shares.sum()), 0.0)
    found = list[float]()
    for trial in range(TRIALS):
        places = np.random.default_rng(trial).integers(shards, size=len(shares))
        loads = np.bincount(places, weights=shares, minlength=shards)
        found.append(float(loads.max()) * shards + rest)
    return sorted(found)[TRIALS // 2]


def _first(fleet: Fleet) -> float:
    """Share of the busiest caller."""
    return 1 / _zipf(fleet)


def _zipf(fleet: Fleet) -> float:
    """The sum over all callers, by an integral from the thousandth on."""
    exact = min(1_000, fleet.identities)
    total = sum(math.pow(n + 1, -fleet.skew) for n in range(exact))
    low, high, s = exact + 0.5, fleet.identities + 0.5, fleet.skew
    if high <= low:
        return total
    if s == 1:
        return total + math.log(high / low)
    return total + (math.pow(high, 1 - s) - math.pow(low, 1 - s)) / (1 - s)


def wait_us(service_us: float, load: float) -> float:
    """Mean wait of M/D/1 before service; infinite from a whole core on."""
    return math.inf if load >= 1 else load * service_us / (2 * (1 - load))


def bend(costs: Costs, fleet: Fleet, shards: int) -> dict[str, float]:
    """Calls a second at which each part reaches what is allowed, with so many shards.

    Members: the busiest shard's processor; the busiest interface; an account that all share,
    which is on one shard, as that of a budget of the whole service; the busiest caller's account.
    """
    one = fleet.busy * 1e6 / costs.server_us
    widest = max(costs.bytes_in, costs.bytes_out) * 8
    uneven = busiest(shards, fleet)
    return {
        "busiest shard": round(one * shards / uneven),
        "busiest interface": round(fleet.shard_network * fleet.busy * shards / uneven / widest),
        "an account that all share": round(one),
        "account of the busiest caller": round(one / _first(fleet)),
    }


def predicted(costs: Costs, workers: int, cores: int) -> float:
    """Calls a second of so many workers beside one Redis process on a machine of so many cores."""
    workers_alone = workers * 1e6 / costs.client_us
    server_alone = 1e6 / costs.server_us
    machine = cores * 1e6 / (costs.client_us + costs.server_us)
    return min(workers_alone, server_alone, machine)
