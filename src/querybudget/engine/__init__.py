"""The limiter: from a caller and a call to a decision, and from an answer to a settlement.

limiter.py     Limiter: admit, settle
ticket.py      Ticket: one call, from one to the other
observing.py   what looks at the prompts
settling.py    what a call takes of each budget in the end
telling.py     the event of a call
"""

from __future__ import annotations

from querybudget.engine.limiter import Limiter
from querybudget.engine.observing import Observer
from querybudget.engine.ticket import Outcome, Refusal, Ticket

__all__ = ["Limiter", "Observer", "Outcome", "Refusal", "Ticket"]
