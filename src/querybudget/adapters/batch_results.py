"""The answers of Anthropic's batches: the state of a batch, and the lines of its results.

``POST /v1/messages/batches`` answers with the batch's id. ``GET .../ID/results``, once it has
ended, answers a line for each request, which has the whole message with its usage.
"""

from __future__ import annotations

import msgspec

from querybudget.adapters.answer_totals import AnswerTotals
from querybudget.adapters.anthropic import reported
from querybudget.adapters.base import Usage
from querybudget.adapters.usage_sums import added


class _Message(msgspec.Struct):
    usage: dict[str, object] | None = None


class _Result(msgspec.Struct):
    message: _Message | None = None


class _Batch(msgspec.Struct):
    """A batch, or a line of its results."""

    id: str | None = None
    result: _Result | None = None


_BATCH = msgspec.json.Decoder(_Batch)


def read_batch(data: bytes, totals: AnswerTotals) -> None:
    """Read the state of a batch, or one line of its results.

    Results have no id of their own, and are what the batch used, all of it. A request that failed
    used nothing. A state says nothing of usage, even once the batch has ended.
    """
    batch = _BATCH.decode(data)
    if batch.result is None:
        totals.answer_id, totals.status = batch.id or "", "in_progress"
        return
    message = batch.result.message
    usage = None if message is None or message.usage is None else reported(message.usage)
    totals.usage = added(totals.usage or Usage(), usage or Usage())
    totals.status = "completed"
