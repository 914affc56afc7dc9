"""Answers made in the background, and fetched later: OpenAI's responses, Anthropic's batches.

The reservation of such a call stays open until a fetched answer says what it used, whoever fetches
it. Each process knows the answers that it has seen begin. What another process fetches, or nobody,
stays charged at the estimate, which is what an open reservation becomes when it expires.
"""

from __future__ import annotations

from typing import Any

from querybudget.adapters.answer_totals import FINISHED, UNFINISHED, AnswerTotals
from querybudget.adapters.base import Adapter, Meter, settled_usage
from querybudget.adapters.metering import BodyMeter, StreamMeter
from querybudget.asgi.encodings import codings_of
from querybudget.asgi.types import Message, Scope, Send
from querybudget.limiter import Admission, Limiter, Outcome
from querybudget.limiter.scopes import method_of, paths_of

MAX_ANSWERS = 10_000
"""Answers that are kept; of more, the oldest is charged at its estimate."""

LONGEST_ID = 200
"""A longer id is not kept, and its answer is charged at its estimate."""

_OK = 200  # a part of an answer (206) does not say what all of it used
_WHOLE = frozenset({b"accept-encoding", b"if-range", b"range"})
"""Headers by which a client gets an answer that cannot be read, or a part of it."""
_PARTS = 16  # steps of a path that are looked at


def totals_of(meter: Meter | None) -> AnswerTotals | None:
    """Return all that a meter has read; None of a meter that says less."""
    return meter.totals if isinstance(meter, BodyMeter | StreamMeter) else None


class BackgroundAnswer:
    """One answer that is still being made.

    Args:
        limiter: Settles its call.
        admission: Its call, still open.
        adapter: Reads its answers.
        name: The id by which it is fetched.
    """

    __slots__ = ("_admission", "_limiter", "adapter", "name")

    def __init__(self, limiter: Limiter, admission: Admission, adapter: Adapter, name: str) -> None:
        self._limiter = limiter
        self._admission = admission
        self.adapter = adapter
        self.name = name

    def new_meter(self, content_type: str) -> Meter:
        """Return a meter for an answer that is fetched."""
        return self.adapter.meter(self._admission.call, content_type)

    async def settle(self, meter: Meter | None, status: int) -> None:
        """Charge what a fetched answer says it used; without a meter, the estimate."""
        estimate = self._admission.estimate
        usage = estimate.usage
        totals = totals_of(meter)
        if totals is not None and not totals.answer_id:
            usage = totals.usage or usage  # the results of a batch say all that it used
        elif meter is not None:
            usage = settled_usage(
                self._admission.call,
                meter,
                usage.input,
                estimate.bytes_per_token,
                output_estimate=usage.output,
            )
        await self._limiter.settle_call(self._admission, Outcome.ANSWERED, usage, status)

    async def end(self) -> None:
        """Charge the estimate: this process ends."""
        await self.settle(None, 0)


class BackgroundAnswers:
    """The answers that are being made.

    Args:
        limit: Answers that are kept.

    Attributes:
        answers: Those that are kept, by their ids.
    """

    __slots__ = ("_limit", "answers")

    def __init__(self, limit: int = MAX_ANSWERS) -> None:
        self._limit = limit
        self.answers: dict[str, BackgroundAnswer] = {}

    def __len__(self) -> int:
        return len(self.answers)

    async def keep(
        self, limiter: Limiter, admission: Admission, adapter: Adapter, meter: Meter | None
    ) -> bool:
        """Keep a call open whose answer is still being made.

        Returns:
            True if it is kept; its admission is then not to be settled by others.
        """
        totals = totals_of(meter)
        if totals is None or totals.status not in UNFINISHED:
            return False
        name = totals.answer_id
        if not 0 < len(name) <= LONGEST_ID:
            return False
        kept = admission.without_request()
        admission.settled = True
        limiter.renewals.remove(admission)  # it is held for `hold`, not for ever
        replaced = self.take(name)
        if replaced is None and len(self.answers) >= self._limit:
            replaced = self.take(next(iter(self.answers)))
        self.answers[name] = BackgroundAnswer(limiter, kept, adapter, name)
        if replaced is not None:
            await replaced.end()
        return True

    def take(self, name: str) -> BackgroundAnswer | None:
        """Return an answer, and keep it no longer."""
        return self.answers.pop(name, None)

    def watched(self, scope: Scope, send: Send) -> tuple[Scope, Send]:
        """Return the scope and `send` of a request, by which an answer that it fetches is read."""
        for part in {part for path in paths_of(scope) for part in path.split("/", _PARTS)}:
            answer = self.answers.get(part)
            if answer is not None:
                headers = [pair for pair in scope["headers"] if pair[0] not in _WHOLE]
                return {**scope, "headers": headers}, _Watch(self, answer, scope, send).send
        return scope, send

    async def end(self) -> None:
        """Charge every answer that is kept at its estimate."""
        while self.answers:
            await self.answers.pop(next(iter(self.answers))).end()


class _Watch:
    """Reads one answer that is fetched."""

    def __init__(
        self, answers: BackgroundAnswers, answer: BackgroundAnswer, scope: Scope, send: Send
    ) -> None:
        self._answers = answers
        self._answer = answer
        self._deletes = method_of(scope) == "DELETE"
        self._send = send
        self._status = 0
        self._meter: Meter | None = None

    async def send(self, message: Message) -> None:
        """ASGI's `send`: pass on every message; settle before the last."""
        kind = message["type"]
        if kind == "http.response.start":
            self._start(message)
        elif kind == "http.response.body" and self._meter is not None:
            if body := message.get("body"):
                self._meter.feed(body)
            if not message.get("more_body"):
                self._meter.end()
                await self._settle(self._meter)
        await self._send(message)

    def _start(self, message: Message) -> None:
        self._status = message["status"]
        headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
        if self._status == _OK and not codings_of(headers):
            kind: Any = next((v for n, v in headers if n.lower() == b"content-type"), b"")
            self._meter = self._answer.new_meter(kind.decode("latin-1"))

    async def _settle(self, meter: Meter) -> None:
        totals, name = totals_of(meter), self._answer.name
        if totals is None or totals.answer_id not in {"", name}:
            return
        final = self._deletes or totals.status in FINISHED
        if final and self._answers.take(name) is self._answer:
            await self._answer.settle(None if self._deletes else meter, self._status)
