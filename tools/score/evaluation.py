"""Evaluates the score on corpora that it has not seen: cross-validation by corpus."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from querybudget.coverage.score import VIEWS
from tools.score.model import Floats, Model, fit
from tools.score.streams import EARLY, GRID, PART, SWEEPS, Streams

MAX_FALSE_SHARE = 0.0025
"""Share of honest persons and applications that may ever be suspect, in their whole life."""
FOLDS, SEEDS = 6, 4
BOUNDS = (50, 100, 200, 1000)
HONEST = ("person", "app")
UNSCORED = len(EARLY)


def folds(every: Streams, seed: int) -> Iterator[tuple[NDArray[np.bool_], Model]]:
    """Yield models that have not seen some corpora, and the streams of these corpora."""
    draw = random.Random(seed)
    parts: list[list[str]] = [[] for _ in range(FOLDS)]
    for kind in ("person", "app", "broad", "narrow"):
        names = sorted(set(every.corpus[every.kind == kind]))
        draw.shuffle(names)
        offset = draw.randrange(FOLDS)
        for place, name in enumerate(names):
            parts[(place + offset) % FOLDS].append(name)
    for part in parts:
        held = np.isin(every.corpus, part)
        seen = ~held & (every.kind != "gateway")
        yield held, fit(every.rates[seen], every.swept[seen], every.corpus[seen])


def evaluate(every: Streams) -> float:
    """Print the results on unseen corpora, and return the evidence that is suspect."""
    honest = np.isin(every.kind, HONEST)
    suspects = []
    for without in ((), *((view,) for view in VIEWS)):
        runs = []
        for seed in range(SEEDS):
            evidence = np.full(every.rates.shape[:2], -np.inf)
            for held, model in folds(every, seed):
                evidence[held] = model.evidence(every.rates[held], without)
            evidence[:, :UNSCORED] = -np.inf
            highest = evidence[honest].max(1)
            suspect = float(np.quantile(highest, 1 - MAX_FALSE_SHARE))
            runs.append(found_shares(every, evidence, suspect))
            if not without:
                suspects.append(suspect)
        name = f"without {without[0]}" if without else "everything"
        mean = np.mean(runs, axis=0)
        print(
            f"{name:22} broad within {BOUNDS}: {formatted(mean[0])}  narrow: {formatted(mean[1])}"
        )
        if not without:
            _print_each(every, evidence, suspect)
    print(f"suspect: {np.round(suspects, 2)}")
    return float(np.median(suspects))


def found_shares(every: Streams, evidence: Floats, suspect: float) -> Floats:
    """Return the share of sweeps found within each bound, averaged by corpus; shape (2, bounds)."""
    over = np.maximum.accumulate(evidence, axis=1) > suspect
    places = [int(np.searchsorted(GRID, bound, "right")) - 1 for bound in BOUNDS]
    rows = []
    for kind in SWEEPS:
        names = sorted(set(every.corpus[every.kind == kind]))
        rows.append(
            np.mean(
                [
                    over[(every.corpus == n) & (every.kind == kind)][:, places].mean(0)
                    for n in names
                ],
                0,
            )
        )
    return np.array(rows)


def _print_each(every: Streams, evidence: Floats, suspect: float) -> None:
    over = np.maximum.accumulate(evidence, axis=1) > suspect
    for name in sorted(set(every.corpus)):
        here = (every.corpus == name) & (every.kind != PART)
        kind = every.kind[here][0]
        if kind in SWEEPS:
            part = over[here][:, [int(np.searchsorted(GRID, b, "right")) - 1 for b in BOUNDS]]
            print(f"    {kind:8} {name:24} {formatted(part.mean(0))}")
        elif over[here][:, -1].any():
            print(f"    {kind:8} {name:24} {over[here][:, -1].sum()} of {here.sum()} suspected")


def formatted(row: Floats) -> str:
    return " ".join(f"{share:.2f}" for share in row)
