"""Campaigns: many accounts share a sweep, beside honest newcomers and established callers.

scenarios.py    what is simulated, as data, and how large
sharing.py      a corpus shared out to accounts
templates.py    the system prompts of accounts
rhythms.py      when the accounts of a campaign ask
sweepers.py     accounts that retry what they did not get, or are replaced
people.py       honest callers, built from the corpora by source
observing.py    the real analyzer, which looks at every text once
deployment.py   the real limiter and memory store on a virtual clock
world.py        everybody's calls in the order of time
outcome.py      the figures of one scenario
undefended.py   the same campaign without any limit
oracle.py       what a perfect oracle at an account's first look would leave
goals.py        goals beside what was measured
run.py          a scenario from its corpora to its figures
processes.py    all scenarios, over several processes
page.py         the tables of docs/campaigns.md
policy.yaml     the policy under test
"""
