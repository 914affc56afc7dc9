"""The tests of a policy: calls at virtual times, and what is expected to become of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from querybudget.policy.history import NEWCOMER, History
from querybudget.units import MICRO

DECISIONS = ("admitted", "refused", "slowed", "degraded", "priced")
"""What becomes of calls, as `querybudget.testing.Decisions` counts it."""

SOME = -1
"""In `Expected.counts`: at least one call."""


class ScenarioCaller(Struct, frozen=True):
    """What a request says of who sends it.

    Attributes:
        api_key: Sent as the bearer token; empty for none.
        user: What authentication found; empty for none.
        address: The client's.
        headers: Further headers by name, in lower case.
        claims: Claims of the verified token, nested or by their paths, as JSON holds them.
        age: µs for which the store knows it when the test begins; 0 for a newcomer.
        calls: Its calls that were answered in the year before.
        spent: µ-dollars that they cost.
        clean: µs since it was last in trouble then; None for never.
    """

    api_key: str = ""
    user: str = ""
    address: str = ""
    headers: Mapping[str, str] = {}
    claims: Mapping[str, Any] = {}
    age: int = 0
    calls: int = 0
    spent: int = 0
    clean: int | None = None

    def history(self, now: int) -> History:
        """Return what the store knows of it when the test begins."""
        if not (self.age or self.calls or self.spent or self.clean is not None):
            return NEWCOMER
        return History.at(now, age=self.age, calls=self.calls, spent=self.spent, clean=self.clean)


class Expected(Struct, frozen=True):
    """What is expected of calls.

    Attributes:
        counts: Each of `DECISIONS` that matters to the number of calls; `SOME` for at least one.
        by: Budgets that refuse, slow or degrade them; empty for any.
        wait: µs after which refused calls fit; None for any.
        over: Calls that are ``priced`` are charged more than this, in millionths.
        status: HTTP status of each answer; None for any.
        charged: Budgets to the µ-units that the calls take together in the end.
    """

    counts: Mapping[str, int] = {}
    by: tuple[str, ...] = ()
    wait: int | None = None
    over: int = MICRO
    status: int | None = None
    charged: Mapping[str, int] = {}


class ScenarioCalls(Struct, frozen=True):
    """Calls of one caller that are alike.

    Attributes:
        line: Where they are written; 0 where there is no text.
        caller: The caller as the test names it; empty for none.
        at: µs since the scenario began; None for when the calls before began.
        times: Their number.
        every: µs from one to the next.
        lasts: µs until each is answered.
        method: HTTP method.
        path: Path.
        headers: Further headers.
        model: The model asked for.
        prompt: What is asked; None for text of about `input` tokens.
        sweep: Whether they ask the prompts of `querybudget.testing.sweep`, one after the other.
        max_tokens: The most that is asked for; None to leave it open.
        stream: Whether streams are asked for.
        body: The request's body as JSON, in place of all this; empty for none.
        input: Tokens that the answer reports as read; None for what `FakeModel` reports.
        output: Tokens that the answer reports as generated; likewise.
        answer: The answer's body as JSON; empty for that of `FakeModel`.
        fails: HTTP status with which the application fails; 0 if it answers.
        spent: Budgets to what the caller has used before, as `spend` takes it.
        expected: What becomes of them; None if that does not matter.
    """

    line: int = 0
    caller: str = ""
    at: int | None = None
    times: int = 1
    every: int = 0
    lasts: int = 0
    method: str = "POST"
    path: str = "/v1/chat/completions"
    headers: Mapping[str, str] = {}
    model: str = "model"
    prompt: str | None = None
    sweep: bool = False
    max_tokens: int | None = None
    stream: bool = False
    body: str = ""
    input: int | None = None
    output: int | None = None
    answer: str = ""
    fails: int = 0
    spent: Mapping[str, str] = {}
    expected: Expected | None = None


class Scenario(Struct, frozen=True):
    """A test of a policy.

    Attributes:
        name: What it shows.
        line: Where it is written; 0 where there is no text.
        mode: The mode of every budget in it; empty for the policy's own.
        start: When it begins, µs since the epoch; 0 for when a `ManualClock` does.
        callers: Callers by the names that its calls have for them. Others are named to the server
            by the first resolver of the policy's `identity`.
        calls: In order of their times.
    """

    name: str
    line: int = 0
    mode: str = ""
    start: int = 0
    callers: Mapping[str, ScenarioCaller] = {}
    calls: tuple[ScenarioCalls, ...] = ()
