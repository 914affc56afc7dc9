"""Fit the sweep score, judge it on corpora it has not seen, and write it into the package.

    python -m tools.score.fit --corpora DIR [--write]

Needs scikit-learn besides querybudget itself. Nothing is set for any corpus by name. What stands in
`querybudget.coverage.weights` afterwards:

    honest curves  mean and spread of every rate over the number of calls
    weights        of a logistic regression, gateways left out: by content they are what a sweep is
    SUSPECT        the evidence that at most `FALSE` of honest persons and applications ever reach
                   in their whole life, in cross-validation by corpus: each is judged by a fit that
                   saw neither its corpus nor others of its fold
    POOL_SUSPECT   the same for pools, by the number of their identities
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from tools.score.judging import HONEST, UNJUDGED, found, judge, shares
from tools.score.model import Model, fit
from tools.score.pools import judge_pools
from tools.score.streams import Streams, streams
from tools.score.write import write

DRAWS = 20


def main() -> None:
    """Fit, judge, and write if asked to."""
    parser = argparse.ArgumentParser(description="Fit the sweep score.")
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="into querybudget.coverage")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    every = streams(arguments.corpora, DRAWS)
    print(f"{len(every.observations)} streams of {len(np.unique(every.corpus))} corpora")
    suspect = judge(every)
    pools = judge_pools(every)
    used = every.kind != "gateway"
    final = fit(every.rates[used], every.swept[used], every.corpus[used])
    _say_final(every, final, suspect)
    if arguments.write:
        write(final, suspect, pools, sorted(np.unique(every.corpus[used])))
    print(f"{time.perf_counter() - begun:.0f} s")


def _say_final(every: Streams, final: Model, suspect: float) -> None:
    said = final.evidence(every.rates)
    said[:, :UNJUDGED] = -np.inf
    within = found(every, said, suspect)
    print(f"fitted on all:         broad {shares(within[0])}  narrow {shares(within[1])}")
    for kind in (*HONEST, "gateway"):
        over = said[every.kind == kind].max(1) > suspect
        print(f"    {kind:8} {over.sum()} of {len(over)} suspected")


if __name__ == "__main__":
    main()
