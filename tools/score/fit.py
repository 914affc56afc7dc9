"""Fit the evidence, evaluate it on sources it has not seen, and write it into the package.

    python -m tools.score.fit --corpora DIR [--write]

Needs scikit-learn in addition to querybudget. Nothing is set for any corpus by name. Contents of
`querybudget.coverage.fitted`:

    MEAN, SPREAD     mean and spread of every rate of honest callers, over the chunks of new ground
    WEIGHT, BIAS     of a logistic regression without gateways, whose content is that of a sweep
    SUSPECT          evidence that at most `MAX_FALSE_SHARE` of honest persons and applications ever
                     reach in their whole life, in cross-validation by source: each is scored with
                     a fit that saw no corpus that shares a source with it
    CERTAIN          evidence beyond what any of them reached
    POOL_TAILS       evidence that 10, 3, 1 and 0.3 % of honest accounts reach at the first looks
    POOL_SHARE       the share of an application's accounts beyond each of these that none of the
                     honest sources reaches, but for one

and of `querybudget.coverage.leaning`: what the same regression says of the mean vector.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from querybudget.embedding.codebook import Codebook
from tools.score.evaluation import evaluate
from tools.score.model import fit
from tools.score.streams import streams
from tools.score.write import write

DRAWS = 12


def main() -> None:
    parser = argparse.ArgumentParser(prog="tools.score.fit")
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="write the fit into the package")
    arguments = parser.parse_args()
    began = time.perf_counter()
    every = streams(arguments.corpora, DRAWS)
    print(f"{len(every.kind)} streams, {time.perf_counter() - began:.0f} s")
    bounds = evaluate(every)
    chosen = (every.kind != "gateway") & ~every.thin
    if arguments.write:
        corpora = sorted(set(every.corpus[chosen]))
        final = fit(every.some(chosen))
        write(final, bounds, Codebook.load().name, [*map(str, corpora)])
    print(f"{time.perf_counter() - began:.0f} s", bounds)


if __name__ == "__main__":
    main()
