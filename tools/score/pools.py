"""Evaluates how well the score distinguishes a campaign of many accounts from an organisation."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from querybudget.coverage.observation import Observation
from querybudget.coverage.score import features
from tools.score.evaluation import HONEST, MAX_FALSE_SHARE, folds
from tools.score.model import Model
from tools.score.streams import EARLY, SWEEPS, Streams, pooled

SIZES = ((4, 3), (14, 8), (39, 24), (0, 60))
"""Classes of pools: maximum of identities (0: any), and identities of a simulated pool."""
QUERIES = (6, 12, 26, 50)
"""Calls of each identity of a simulated pool."""
MIXED, EACH, DRAWN = 20, 4, 4
"""Numbers of pools: of all kinds of callers, of one corpus, and of one sweep."""


def evaluate_pools(every: Streams) -> list[tuple[int, float]]:
    """Print the results of pools, and return the suspect evidence by number of identities."""
    thresholds = []
    for limit, size in SIZES:
        honest: list[float] = []
        swept: dict[str, list[float]] = {}
        for held, model in folds(every, 0):
            for kind, value in _simulated(every, held, model, size):
                if kind in {"mixed", "community"}:
                    honest.append(value)
                else:
                    swept.setdefault(kind, []).append(value)
        suspect = float(np.quantile(honest, 1 - 2 * MAX_FALSE_SHARE))
        thresholds.append((limit, suspect))
        shares = {k: round(float(np.mean(np.array(v) > suspect)), 2) for k, v in swept.items()}
        print(f"pools of {size:3}: suspect {suspect:6.2f} of {len(honest)} honest; found {shares}")
    return thresholds


def _simulated(
    every: Streams, held: NDArray[np.bool_], model: Model, size: int
) -> Iterator[tuple[str, float]]:
    draw = random.Random(size)
    by_corpus: dict[str, list[int]] = {}
    for place in np.where(held)[0]:
        by_corpus.setdefault(str(every.corpus[place]), []).append(int(place))
    honest = [name for name, places in by_corpus.items() if every.kind[places[0]] in HONEST]
    swept = [name for name, places in by_corpus.items() if every.kind[places[0]] in SWEEPS]
    for queries in QUERIES:
        chosen = [[draw.choice(honest) for _ in range(size)] for _ in range(MIXED)]
        chosen += [[name] * size for name in honest for _ in range(EACH)]
        for number, names in enumerate(chosen):
            members = [_some(every, draw.choice(by_corpus[name]), queries, draw) for name in names]
            yield "mixed" if number < MIXED else "community", _evidence(model, members)
        for name in swept:
            whole = [place for place in by_corpus[name] if every.kind[place] in SWEEPS]
            for place in whole[:DRAWN]:
                for way in ("random", "topic"):
                    yield (
                        f"{every.kind[place]}/{way}",
                        _evidence(model, _shared_out(every, place, way, size, queries)),
                    )


def _some(every: Streams, place: int, queries: int, draw: random.Random) -> list[Observation]:
    observations = every.observations[place]
    start = draw.randrange(max(1, len(observations) - queries))
    return observations[start : start + queries]


def _shared_out(
    every: Streams, place: int, way: str, size: int, queries: int
) -> list[list[Observation]]:
    """Return what each account of a campaign sends: a part of the sweep, mixed or by task."""
    observations, tasks = every.observations[place], every.tasks[place]
    order = list(range(len(observations)))
    if way == "topic":
        order.sort(key=lambda number: tasks[number])
    step = max(queries, len(order) // size)
    starts = list(range(0, len(order), step))[:size]
    return [[observations[number] for number in order[s : s + queries]] for s in starts]


def _evidence(model: Model, members: list[list[Observation]]) -> float:
    sums = pooled(members)
    along = np.log([max(sums[0] / len(members), EARLY[0])])
    return float(model.evidence(np.array([[features(sums)]]), along=along)[0, 0])
