"""The limiter: from a caller and a call to a decision, and from an answer to a settlement.

limiter.py     Limiter: admit, settle
admission.py      Admission: one call, from one to the other
observing.py   what looks at the prompts
settling.py    what a call takes of each budget in the end
telling.py     the event of a call
desk.py        where calls are charged: at the store, or without it
without_store.py  what becomes of calls that the store could not decide
journal.py     what the store is told when it answers again
health.py      how the store is
"""

from __future__ import annotations

from querybudget.limiter.admission import Admission, Outcome, Refusal
from querybudget.limiter.analysis import PromptAnalyzer
from querybudget.limiter.limiter import Limiter
from querybudget.resilience.health import Health, StoreHealth

__all__ = ["Admission", "Health", "Limiter", "Outcome", "PromptAnalyzer", "Refusal", "StoreHealth"]
