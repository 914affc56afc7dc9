"""What coverage budgets do to real prompts: honest callers, sweeps, baselines, ablations.

corpora.py     a folder of prompts, and how identities are cut from it
timing.py      when they ask, on the virtual clock
streams.py     what one account sends, in order: draws of a sweep, cover traffic
accounts.py    a sweep shared out among accounts
replay.py      one stream through the real limiter and store
campaign.py    many accounts for thirty days, retrying what was refused
observing.py   the real observer with a memory, so that a prompt is embedded once
policies.py    the policy under test and its variants
baselines/     published detectors and plain limits, on the same streams
honest.py, sweeps.py, covered.py, pools.py    the experiments, one corpus at a time
figures.py     shares with their intervals, quantiles with "never"
goals.py       what is wanted, beside what was measured
report.py, plots.py, page.py    tables, pictures, one page
"""
