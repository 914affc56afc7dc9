"""Evaluates the evidence on sources that it has not seen: cross-validation by source."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from querybudget.coverage.evidence import ADDED, ADDED_TO_NEWEST, FIRST_LOOK, SETTLED, VIEWS
from querybudget.coverage.group import FEWEST, POOL_LOOKS, lower_bound
from tools.score.model import Floats, Model, balanced, fit
from tools.score.streams import GRID, SWEEPS, Streams

MAX_FALSE_SHARE = 0.0075
"""Share of honest persons and applications that may ever be suspect, in their whole life."""
MARGIN = 1.0
"""How much more evidence than any honest caller reached is certain, in log-odds."""
TAILS = (0.1, 0.03, 0.01, 0.003)
"""Shares of honest callers beyond the bounds of `fitted.POOL_TAILS`."""
ALIKE_SWEEPS = 1
"""Honest sources whose accounts may be suspect together: every member of one is suspect alone."""
LEAST_SHARES = (0.5, 0.25, 0.12, 0.06)
"""The suspect share of a pool in each tail, at least: few honest accounts are in the finer ones."""
SURE, ORDERS, MOST_MEMBERS = 0.95, 100, 60
FOLDS, SEEDS = 10, 3
BOUNDS = (50, 100, 200, 1000)
HONEST = ("person", "app")


def folds(every: Streams, seed: int) -> Iterator[tuple[NDArray[np.bool_], Model]]:
    """Yield models that have not seen some sources, and the streams of these sources."""
    part = _parts(every, seed)
    for fold in range(FOLDS):
        held = part == fold
        seen = ~held & (every.kind != "gateway") & ~every.thin
        if held.any():
            yield held, fit(every.some(seen))


def unseen_evidence(every: Streams, seed: int, without: str = "") -> Floats:
    """Return each stream's evidence by a model that has not seen its source; -inf past the end.

    Looks at the whole come first, then its parts.
    """
    evidence = np.full(every.rates.shape[:2], np.nan)
    of_parts = np.full(every.part_rates.shape[:2], np.nan)
    for held, model in folds(every, seed):
        evidence[held] = model.evidence(every.some(held), without)
        of_parts[held] = model.evidence_of_parts(every.some(held), without)
    of_parts = two_looks(of_parts)
    of_parts[:, 0] = -np.inf  # no single part decides
    return np.concatenate([two_looks(evidence), of_parts], axis=1)


def two_looks(evidence: Floats) -> Floats:
    """Return the mean of each look's evidence and that of the look before; -inf past the end."""
    out, before = evidence.copy(), np.full(len(evidence), np.nan)
    for place in range(evidence.shape[1]):
        now = evidence[:, place]
        out[:, place] = np.where(np.isnan(before), now, (now + before) / 2)
        before = np.where(np.isnan(now), before, now)
    return np.where(np.isnan(out), -np.inf, out)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What evidence says of callers whose source the fit has not seen.

    Attributes:
        suspect: Evidence that is suspect.
        certain: Evidence that no honest caller reached.
        tails: For each look of pools, evidence that shares `TAILS` of honest thin accounts exceed.
        shares: For each tail, the share of an application's accounts in it that is suspect.
    """

    suspect: float
    certain: float
    tails: list[tuple[float, ...]]
    shares: tuple[float, ...]


def evaluate(every: Streams) -> Bounds:
    """Print the results on unseen sources, and return the bounds that follow from them."""
    suspects, certains, tails, shares = [], [], [], []
    for seed in range(SEEDS):
        evidence = unseen_evidence(every, seed)
        tails.append(_tails(every, evidence))
        shares.append(pool_shares(every, evidence, tails[-1]))
        suspect, certain = thresholds(every, evidence)
        suspects.append(suspect)
        certains.append(certain)
        _print_found(f"everything, seed {seed}", every, evidence, suspect)
        if not seed:
            _print_each(every, evidence, suspect)
    for view in VIEWS:
        evidence = unseen_evidence(every, 0, view)
        _print_found(f"without {view}", every, evidence, thresholds(every, evidence)[0])
    print(f"suspect: {np.round(suspects, 2)}, certain: {np.round(certains, 2)}")
    bounds = [tuple(map(float, row)) for row in np.median(tails, axis=0)]
    share = tuple(map(float, np.median(shares, axis=0)))
    return Bounds(float(np.median(suspects)), float(np.max(certains)), bounds, share)


def thresholds(every: Streams, evidence: Floats) -> tuple[float, float]:
    """Return the evidence that is suspect, and that which no honest caller reached."""
    here = np.isin(every.kind, HONEST) & ~every.thin
    highest = _highest(suspicion(evidence))[here]
    suspect = float(np.quantile(highest, 1 - MAX_FALSE_SHARE))
    return suspect, max(float(highest.max()), suspect) + MARGIN


def suspicion(evidence: Floats) -> Floats:
    """Return the evidence behind a caller's score: at all looks, then of its parts."""
    added = np.full(evidence.shape[1], ADDED_TO_NEWEST)
    added[: len(GRID)] = np.where(GRID >= SETTLED, ADDED, 0.0)
    return evidence + added


def found_shares(every: Streams, evidence: Floats, suspect: float) -> Floats:
    """Return the share of sweeps found within each bound, averaged by corpus; shape (2, bounds)."""
    first = _first_calls(every, evidence, suspect)
    rows = []
    for kind in SWEEPS:
        here = (every.kind == kind) & ~every.thin
        names = sorted(set(every.corpus[here]))
        rows.append(
            [
                np.mean([(first[here & (every.corpus == n)] <= bound).mean() for n in names])
                for bound in BOUNDS
            ]
        )
    return np.array(rows)


def _parts(every: Streams, seed: int) -> NDArray[np.int64]:
    """Return the fold of each stream: whole sources, each kind spread over the folds."""
    draw, fold = random.Random(seed), dict[str, int]()
    for kind in (*HONEST, "gateway", *SWEEPS):
        names = sorted({*every.source[every.kind == kind]} - fold.keys())
        draw.shuffle(names)
        offset = draw.randrange(FOLDS)
        fold.update((name, (n + offset) % FOLDS) for n, name in enumerate(names))
    return np.array([fold[source] for source in every.source])


def _highest(evidence: Floats) -> Floats:
    highest: Floats = evidence[:, ~_early(evidence)].max(1)
    return highest


def _early(evidence: Floats) -> NDArray[np.bool_]:
    """Return which looks come before the first that can make a caller suspect."""
    return np.arange(evidence.shape[1]) < np.searchsorted(GRID, FIRST_LOOK)


def _first_calls(every: Streams, evidence: Floats, suspect: float) -> NDArray[np.int64]:
    """Return the calls each stream had made when it was first suspect; a billion for never."""
    over = (suspicion(evidence) > suspect) & ~_early(evidence)
    calls = np.concatenate([every.calls, every.part_calls], axis=1)
    first: NDArray[np.int64] = np.where(over, calls, 10**9).min(1)
    return first


def _tails(every: Streams, evidence: Floats) -> list[list[float]]:
    """Return for each look of pools the bounds that honest thin accounts exceed by `TAILS`."""
    rows = []
    for look in POOL_LOOKS:
        found = evidence[:, int(np.searchsorted(GRID, look))]
        here = np.isin(every.kind, HONEST) & every.thin & np.isfinite(found)
        weights = balanced(every.source[here], np.zeros(here.sum(), bool))
        order = np.argsort(found[here])
        along = np.cumsum(weights[order]) / weights.sum()
        places = np.searchsorted(along, [1 - tail for tail in TAILS])
        rows.append([float(found[here][order][min(p, len(order) - 1)]) for p in places])
    return rows


def pool_shares(every: Streams, evidence: Floats, tails: Sequence[Sequence[float]]) -> Floats:
    """Return for each tail the share of a pool's members in it from which on it is suspect.

    Accounts of one honest source are a pool, as users of one application are. They join in any
    order, and the pool is looked at whenever one has: what counts is the highest share that 19 in
    20 orders ever show. No source has a higher one, but for `ALIKE_SWEEPS`.
    """
    found: dict[str, list[Floats]] = {}
    for look, bounds in zip(POOL_LOOKS, tails, strict=True):
        at_look = evidence[:, int(np.searchsorted(GRID, look))]
        honest = np.isin(every.kind, HONEST) & every.thin & np.isfinite(at_look)
        for source in np.unique(every.source[honest]):
            beyond = at_look[honest & (every.source == source), None] > np.array(bounds)
            if len(beyond) >= FEWEST:
                found.setdefault(str(source), []).append(_highest_share(beyond))
    worst = np.sort([np.max(shares, axis=0) for shares in found.values()], axis=0)
    return np.maximum(worst[-1 - ALIKE_SWEEPS], LEAST_SHARES)


def _highest_share(beyond: NDArray[np.bool_]) -> Floats:
    """Return the highest lower bound of the share beyond each tail, as members come one by one."""
    draw, highest = np.random.default_rng(0), []
    for _ in range(ORDERS):
        order = draw.permutation(len(beyond))[:MOST_MEMBERS]
        shares = [
            [lower_bound(int(count), n) if count >= FEWEST else 0.0 for count in counts]
            for n, counts in enumerate(np.cumsum(beyond[order], axis=0), 1)
        ]
        highest.append(np.max(shares, axis=0))
    return np.quantile(highest, SURE, axis=0)


def _print_found(name: str, every: Streams, evidence: Floats, suspect: float) -> None:
    broad, narrow = found_shares(every, evidence, suspect)
    print(f"{name:22} broad within {BOUNDS}: {formatted(broad)}  narrow: {formatted(narrow)}")


def _print_each(every: Streams, evidence: Floats, suspect: float) -> None:
    first, highest = _first_calls(every, evidence, suspect), _highest(suspicion(evidence))
    for name in sorted(set(every.corpus)):
        here = (every.corpus == name) & np.isin(every.kind, [*HONEST, "gateway", *SWEEPS])
        here &= ~every.thin
        kind, over = every.kind[here][0], first[here] < 10**9
        if kind in SWEEPS:
            shares = np.array([(first[here] <= bound).mean() for bound in BOUNDS])
            print(f"    {kind:8} {name:24} {formatted(shares)}")
        elif over.any():
            print(
                f"    {kind:8} {name:24} {over.sum()} of {here.sum()} suspected,"
                f" up to {highest[here].max():.2f}"
            )


def formatted(row: Floats) -> str:
    return " ".join(f"{share:.2f}" for share in row)
