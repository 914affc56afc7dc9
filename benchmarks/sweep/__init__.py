"""Effect of coverage budgets on real prompts: honest callers, sweeps, baselines, ablations.

corpora.py       reads a folder of prompts and divides it into identities
timing.py        arrival times on the virtual clock
bodies.py        bodies of requests as clients send them
workloads.py     what one account sends, in order
accounts.py      splits a sweep among accounts
tricks/          ways of asking a sweep's prompts so that a limiter may not see them
simulation.py    requests through the real adapters, limiter and store
replay.py        one stream, streams together, or requests of a trick
campaign.py      many accounts for thirty days, retrying what was refused
analysis.py      the real analyzer, with each text embedded once
scoring.py       which fit scores a caller: one that has seen no text of its source
folds.py         makes those fits
policies.py      the policy under test and its variants
ablation.py      the score without one of its views
baselines/       published detectors and plain limits, on the same streams
thresholds.py    baselines at the policy's own rate of honest disturbance
context.py       settings, and what a process keeps between experiments
honest.py, several.py, groups.py, ways.py, deployment.py    experiments on honest callers
sweeps.py, trials.py    experiments on sweeps
run.py           order of the experiments, and processes
speed.py         processor time added to a call
figures.py       shares with intervals, quantiles with "never"
goals.py         goals beside what was measured
result.py        assembles the result
report.py, plots.py, page.py    tables, plots, one page
"""
