"""Effect of coverage budgets on real prompts: honest callers, sweeps, baselines, ablations.

corpora.py       reads a folder of prompts and divides it into identities
timing.py        arrival times on the virtual clock
workloads.py     what one account sends, in order: orders of a sweep, cover traffic
accounts.py      splits a sweep among accounts
replay.py        sends one stream through the real limiter and store
campaign.py      many accounts for thirty days, retrying what was refused
analysis.py      the real analyzer with a large cache, so that a prompt is embedded once
policies.py      the policy under test and its variants
baselines/       published detectors and plain limits, on the same streams
thresholds.py    baselines at the policy's own rate of honest disturbance
context.py       settings, and what a process keeps between experiments
honest.py, sweeps.py, dilution.py, pools.py    the experiments, one corpus at a time
run.py           order of the experiments, and processes
figures.py       shares with intervals, quantiles with "never"
goals.py         goals beside what was measured
result.py        assembles the result
report.py, plots.py, page.py    tables, plots, one page
"""
